"""Models of a named architecture with random weights: their results mean nothing, but their speed is real.

`python -m scripts.bench.architectures vit-b-32 FOLDER` writes one.
"""

import sys
from pathlib import Path
from typing import Final

ARCHITECTURES: Final = ("vit-b-32", "vit-b-16", "blip-base", "git-base")
DEMO: Final = Path(__file__).parents[2] / "models" / "demo-clip"


def named(model: str, workplace: Path) -> str:
    """A value for MODEL or CAPTION_MODEL. If `model` names an architecture, its model is built in `workplace` first."""
    return str(build(model, workplace / model)) if model in ARCHITECTURES else model


def build(architecture: str, folder: Path) -> Path:
    """Write the model in Hugging Face's format, with the demo model's tokenizer."""
    import torch

    torch.manual_seed(0)
    make = {"blip-base": _build_blip, "git-base": _build_git}.get(architecture)
    return make(folder) if make else _build_clip(architecture, folder)


def _build_clip(architecture: str, folder: Path) -> Path:
    """A CLIP with the sizes of OpenAI's."""
    from transformers import AutoTokenizer, CLIPConfig, CLIPImageProcessorPil, CLIPModel

    tokenizer = AutoTokenizer.from_pretrained(DEMO)
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    config = CLIPConfig(
        text_config={**ids, "pad_token_id": tokenizer.pad_token_id},
        vision_config={"patch_size": int(architecture.rpartition("-")[2])},
    )
    CLIPModel(config).save_pretrained(folder)
    tokenizer.model_max_length = config.text_config.max_position_embeddings
    tokenizer.save_pretrained(folder)
    CLIPImageProcessorPil().save_pretrained(folder)
    return folder


def _build_blip(folder: Path) -> Path:
    """The sizes of Salesforce/blip-image-captioning-base, which looks at 577 patches of 384 x 384 pixels."""
    from transformers import AutoTokenizer, BlipConfig, BlipForConditionalGeneration, BlipImageProcessorPil

    vision = {"image_size": 384, "patch_size": 16}
    BlipForConditionalGeneration(BlipConfig(vision_config=vision)).save_pretrained(folder)
    AutoTokenizer.from_pretrained(DEMO).save_pretrained(folder)
    BlipImageProcessorPil().save_pretrained(folder)
    return folder


def _build_git(folder: Path) -> Path:
    """The sizes of microsoft/git-base, which looks at 197 patches of 224 x 224 pixels."""
    from transformers import AutoTokenizer, CLIPImageProcessorPil, GitConfig, GitForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(DEMO)
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    GitForCausalLM(GitConfig(**ids, pad_token_id=tokenizer.pad_token_id)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    CLIPImageProcessorPil().save_pretrained(folder)
    return folder


if __name__ == "__main__":
    build(sys.argv[1], Path(sys.argv[2]))
