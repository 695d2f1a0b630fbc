"""Tiny captioners in Hugging Face's folder format, built here in milliseconds: real architectures, random weights.

As `tests.support.tiny_models`.
"""

from pathlib import Path
from typing import Any

from tests.support.tiny_models import IMAGE_SIZE, TOWER, VISION, built_once, save, seeded, wordpiece_tokenizer

SQUARE = {"height": IMAGE_SIZE, "width": IMAGE_SIZE}
MARKS = {"bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0}
"""[CLS], [SEP] and [PAD] of the tokenizer."""


@built_once
def build_tiny_git(folder: Path, seed: int) -> Path:
    """A GIT, whose patches are the first tokens of its decoder."""
    from transformers import CLIPImageProcessorPil, GitConfig, GitForCausalLM

    tokenizer = wordpiece_tokenizer(context=24)
    config = GitConfig(**TOWER, **MARKS, **_words(tokenizer), vision_config=VISION)
    processor = CLIPImageProcessorPil(size={"shortest_edge": IMAGE_SIZE}, crop_size=SQUARE)
    return save(folder, seeded(GitForCausalLM, config, seed), tokenizer, processor)


@built_once
def build_tiny_blip(folder: Path, seed: int) -> Path:
    """A BLIP, whose decoder looks at the patches by cross-attention."""
    from transformers import BlipConfig, BlipForConditionalGeneration, BlipImageProcessorPil

    tokenizer = wordpiece_tokenizer(context=24)
    text = TOWER | MARKS | _words(tokenizer) | {"sep_token_id": 3, "encoder_hidden_size": TOWER["hidden_size"]}
    config = BlipConfig(text_config=text, vision_config=VISION, projection_dim=16)
    network = seeded(BlipForConditionalGeneration, config, seed)
    return save(folder, network, tokenizer, BlipImageProcessorPil(size=SQUARE))


@built_once
def build_tiny_blip2(folder: Path, seed: int) -> Path:
    """A BLIP-2 with an OPT."""
    from transformers import Blip2Config, Blip2ForConditionalGeneration, BlipImageProcessorPil

    tokenizer = wordpiece_tokenizer(context=24)
    size = _words(tokenizer)
    language = size | MARKS | {
        "model_type": "opt", "hidden_size": 32, "ffn_dim": 64, "num_hidden_layers": 1, "word_embed_proj_dim": 32,
        "num_attention_heads": 2, "max_position_embeddings": 40,
    }  # fmt: skip
    config = Blip2Config(
        vision_config=VISION, qformer_config=TOWER | size | {"encoder_hidden_size": 32}, text_config=language,
        num_query_tokens=4, image_token_index=1, image_text_hidden_size=16,
    )  # fmt: skip
    network = seeded(Blip2ForConditionalGeneration, config, seed)
    return save(folder, network, tokenizer, BlipImageProcessorPil(size=SQUARE))


@built_once
def build_tiny_vit_gpt2(folder: Path, seed: int) -> Path:
    """A vision encoder-decoder of a ViT and a GPT-2."""
    from transformers import (
        GPT2Config,
        VisionEncoderDecoderConfig,
        VisionEncoderDecoderModel,
        ViTConfig,
        ViTImageProcessorPil,
    )

    tokenizer = wordpiece_tokenizer(context=24)
    decoder = GPT2Config(
        vocab_size=len(tokenizer), n_positions=24, n_embd=32, n_layer=2, n_head=2, **MARKS,
        add_cross_attention=True, is_decoder=True,
    )  # fmt: skip
    config = VisionEncoderDecoderConfig.from_encoder_decoder_configs(
        ViTConfig(**VISION), decoder, decoder_start_token_id=2, pad_token_id=0, eos_token_id=3
    )
    network = seeded(VisionEncoderDecoderModel, config, seed)
    return save(folder, network, tokenizer, ViTImageProcessorPil(size=SQUARE))


def _words(tokenizer: Any) -> dict[str, int]:
    return {"vocab_size": len(tokenizer), "max_position_embeddings": 24}
