"""Tiny dual encoders in Hugging Face's folder format, built here in milliseconds: real architectures, random weights.

Session-scoped fixtures: a `conftest.py` that imports `tiny_clip` from here gives it to every test of its folder.
The `build_...` functions need no pytest; a seed decides the weights, so two builds are the same model.
transformers is imported where it is used, so that tests without a model start fast.
"""

import fcntl
import json
import os
import shutil
import string
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from tests.support.model_cache import MODELS_VARIABLE

if TYPE_CHECKING:
    from transformers import CLIPTokenizer, PreTrainedTokenizerFast, Siglip2Tokenizer

IMAGE_SIZE = 32
DIMENSION = 16
TEXT = """
a photo of dog dogs running on the beach at sunset black cat sleeping red sofa in house mountains and forests under
blue sky nature photos two children playing football park people smiling boats lake white bird over green water old
city streets night animals pictures
"""
WORDS = sorted(set(TEXT.split()))
LETTERS = string.ascii_lowercase
TOWER = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
VISION = TOWER | {"image_size": IMAGE_SIZE, "patch_size": 8}


class Build(Protocol):
    """Builds a model in a folder, which must not exist yet, and returns the folder."""

    def __call__(self, folder: Path, *, seed: int = 0) -> Path: ...


def built_once(build: Callable[[Path, int], Path]) -> Build:
    """Build once in a test run, for all its workers, and copy from there: the other workers need no PyTorch for it."""

    @wraps(build)
    def copied(folder: Path, *, seed: int = 0) -> Path:
        kept = Path(os.environ[MODELS_VARIABLE], f"{build.__name__}-{seed}")
        with kept.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not kept.exists():
                build(kept.with_suffix(".new"), seed).rename(kept)
        shutil.copytree(kept, folder, dirs_exist_ok=True)
        return folder

    return copied


@built_once
def build_tiny_clip(folder: Path, seed: int) -> Path:
    """A CLIP of 32 px, 16 dimensions, a context of 24 tokens, and a byte-level BPE tokenizer that knows `WORDS`."""
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPTextConfig, CLIPVisionConfig

    tokenizer = _clip_tokenizer()
    special = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    text = CLIPTextConfig(**TOWER, vocab_size=len(tokenizer), max_position_embeddings=24, **special)
    config = CLIPConfig(
        text_config=text.to_dict(), vision_config=CLIPVisionConfig(**VISION).to_dict(), projection_dim=DIMENSION
    )
    processor = CLIPImageProcessorPil(size={"shortest_edge": IMAGE_SIZE}, crop_size=_square())
    return save(folder, seeded(CLIPModel, config, seed), tokenizer, processor)


@built_once
def build_tiny_siglip(folder: Path, seed: int) -> Path:
    """A SigLIP, which squashes pictures to a square and pads text to its full context without a mask."""
    from transformers import SiglipConfig, SiglipImageProcessorPil, SiglipModel, SiglipTextConfig

    tokenizer = wordpiece_tokenizer(context=16)
    text = _siglip_text(len(tokenizer))
    config = SiglipConfig(text_config=SiglipTextConfig(**text), vision_config=VISION)
    processor = SiglipImageProcessorPil(size=_square())
    return save(folder, seeded(SiglipModel, config, seed), tokenizer, processor)


@built_once
def build_tiny_siglip2(folder: Path, seed: int) -> Path:
    """A SigLIP 2 of the NaFlex kind, which keeps a picture's aspect and takes patches with a mask."""
    from transformers import Siglip2Config, Siglip2ImageProcessorPil, Siglip2Model, Siglip2TextConfig

    tokenizer = _gemma_tokenizer(context=16)
    text = _siglip_text(len(tokenizer))
    config = Siglip2Config(
        text_config=Siglip2TextConfig(**text), vision_config=TOWER | {"num_patches": 16, "patch_size": 8}
    )
    processor = Siglip2ImageProcessorPil(patch_size=8, max_num_patches=16)
    return save(folder, seeded(Siglip2Model, config, seed), tokenizer, processor)


@built_once
def build_tiny_vision_text(folder: Path, seed: int) -> Path:
    """A `VisionTextDualEncoder` of a ViT and a BERT."""
    from transformers import (
        BertConfig,
        CLIPImageProcessorPil,
        VisionTextDualEncoderConfig,
        VisionTextDualEncoderModel,
        ViTConfig,
    )

    tokenizer = wordpiece_tokenizer(context=24)
    text = BertConfig(**TOWER, vocab_size=len(tokenizer), max_position_embeddings=24)
    config = VisionTextDualEncoderConfig.from_vision_text_configs(ViTConfig(**VISION), text, projection_dim=DIMENSION)
    processor = CLIPImageProcessorPil(size={"shortest_edge": 40}, crop_size=_square(), resample=2)
    return save(folder, seeded(VisionTextDualEncoderModel, config, seed), tokenizer, processor)


@built_once
def build_tiny_tipsv2(folder: Path, seed: int) -> Path:
    """A TIPSv2. transformers has its image processor for torchvision alone, so its settings are written here."""
    from transformers import Tipsv2Config, Tipsv2Model

    tokenizer = _gemma_tokenizer(context=16)
    text = TOWER | {"vocab_size": len(tokenizer), "max_position_embeddings": 16}
    vision = {name: size for name, size in VISION.items() if name != "intermediate_size"}
    seeded(Tipsv2Model, Tipsv2Config(text_config=text, vision_config=vision), seed).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    settings = {"image_processor_type": "Tipsv2ImageProcessor", "size": _square()}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return folder


@built_once
def build_tiny_flava(folder: Path, seed: int) -> Path:
    """A FLAVA, which makes a vector of each token."""
    from transformers import CLIPImageProcessorPil, FlavaConfig, FlavaModel

    tokenizer = wordpiece_tokenizer(context=24)
    text = TOWER | {"vocab_size": len(tokenizer), "max_position_embeddings": 24}
    books = {"hidden_size": 8, "num_groups": 1, "vocab_size": 16}
    config = FlavaConfig(
        text_config=text, image_config=VISION, multimodal_config=TOWER, image_codebook_config=books,
        hidden_size=32, projection_dim=DIMENSION,
    )  # fmt: skip
    processor = CLIPImageProcessorPil(size={"shortest_edge": IMAGE_SIZE}, crop_size=_square())
    return save(folder, seeded(FlavaModel, config, seed), tokenizer, processor)


@built_once
def build_tiny_blip2(folder: Path, seed: int) -> Path:
    """A BLIP-2, which makes no vector of a text."""
    from transformers import Blip2Config, Blip2Model, CLIPImageProcessorPil

    tokenizer = wordpiece_tokenizer(context=24)
    size = {"vocab_size": len(tokenizer), "max_position_embeddings": 24}
    language = {
        "model_type": "opt",
        "hidden_size": 32,
        "ffn_dim": 64,
        "num_hidden_layers": 1,
        "word_embed_proj_dim": 32,
    }
    config = Blip2Config(
        vision_config=VISION, qformer_config=TOWER | size | {"encoder_hidden_size": 32},
        text_config=language | size | {"num_attention_heads": 2}, num_query_tokens=4,
        image_text_hidden_size=DIMENSION,
    )  # fmt: skip
    processor = CLIPImageProcessorPil(size={"shortest_edge": IMAGE_SIZE}, crop_size=_square())
    return save(folder, seeded(Blip2Model, config, seed), tokenizer, processor)


@pytest.fixture(scope="session")
def tiny_tipsv2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_tipsv2(tmp_path_factory.mktemp("models") / "tiny-tipsv2")


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_clip(tmp_path_factory.mktemp("models") / "tiny-clip")


@pytest.fixture(scope="session")
def tiny_siglip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_siglip(tmp_path_factory.mktemp("models") / "tiny-siglip")


@pytest.fixture(scope="session")
def tiny_siglip2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_siglip2(tmp_path_factory.mktemp("models") / "tiny-siglip2")


@pytest.fixture(scope="session")
def tiny_vision_text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_vision_text(tmp_path_factory.mktemp("models") / "tiny-vision-text")


def seeded(model_class: Any, config: Any, seed: int) -> Any:
    """Weights drawn wider than at the start of a training, so that different inputs lie clearly apart."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = model_class(config)
        with torch.no_grad():
            for name, weights in model.named_parameters():
                if weights.ndim > 1:
                    weights.normal_(std=1.0 if "embed" in name else 0.3)
    return model.eval()


def save(folder: Path, model: Any, tokenizer: Any, processor: Any) -> Path:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    processor.save_pretrained(folder)
    _write_class_name(folder, type(processor).__name__.removesuffix("Pil"))
    return folder


def _write_class_name(folder: Path, name: str) -> None:
    """As published models have it: the image processor's name without the backend that happened to save it."""
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"image_processor_type": name}, indent=2))


def _siglip_text(vocab_size: int) -> dict[str, Any]:
    no_special = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": 0}
    return TOWER | {"vocab_size": vocab_size, "max_position_embeddings": 16} | no_special


def _square() -> dict[str, int]:
    return {"height": IMAGE_SIZE, "width": IMAGE_SIZE}


def _clip_tokenizer() -> "CLIPTokenizer":
    from tokenizers import pre_tokenizers
    from transformers import CLIPTokenizer

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [[*word[:-1], f"{word[-1]}</w>"] for word in WORDS]
    vocab, merges = _bpe([*letters, *(f"{letter}</w>" for letter in letters)], words)
    for special in ("<|startoftext|>", "<|endoftext|>"):
        vocab[special] = len(vocab)
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=24)


def _gemma_tokenizer(context: int) -> "Siglip2Tokenizer":
    from transformers import Siglip2Tokenizer

    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    words = [["▁", *word] for word in WORDS]
    vocab, merges = _bpe([*special, "▁", *LETTERS], words)
    return Siglip2Tokenizer(vocab=vocab, merges=merges, model_max_length=context, padding_side="right")


def _bpe(symbols: Sequence[str], words: Sequence[Sequence[str]]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Vocabulary and merges of a byte-pair encoding that knows each of the words as one token."""
    vocab = {symbol: i for i, symbol in enumerate(symbols)}
    merges: dict[tuple[str, str], None] = {}
    for first, *others in words:
        token = first
        for symbol in others:
            merges[token, symbol] = None
            token += symbol
            vocab.setdefault(token, len(vocab))
    return vocab, list(merges)


def wordpiece_tokenizer(context: int) -> "PreTrainedTokenizerFast":
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    pieces = [*special, *LETTERS, *(f"##{letter}" for letter in LETTERS), *(word for word in WORDS if len(word) > 1)]
    tokenizer = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=context,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
    )
