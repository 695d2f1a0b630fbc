"""Models of a named architecture with random weights: their results mean nothing, but their speed is real.

`python -m scripts.bench.architectures vit-b-32 FOLDER` writes one.
"""

import sys
from pathlib import Path
from typing import Final

ARCHITECTURES: Final = ("vit-b-32", "vit-b-16")
DEMO: Final = Path(__file__).parents[2] / "models" / "demo-clip"


def named(model: str, workplace: Path) -> str:
    """A value for MODEL. If `model` names an architecture, its model is built in `workplace` first."""
    return str(build(model, workplace / model)) if model in ARCHITECTURES else model


def build(architecture: str, folder: Path) -> Path:
    """Write a CLIP with the sizes of OpenAI's, in Hugging Face's format, with the demo model's tokenizer."""
    import torch
    from transformers import AutoTokenizer, CLIPConfig, CLIPImageProcessorPil, CLIPModel

    tokenizer = AutoTokenizer.from_pretrained(DEMO)
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    config = CLIPConfig(
        text_config={**ids, "pad_token_id": tokenizer.pad_token_id},
        vision_config={"patch_size": int(architecture.rpartition("-")[2])},
    )
    torch.manual_seed(0)
    CLIPModel(config).save_pretrained(folder)
    tokenizer.model_max_length = config.text_config.max_position_embeddings
    tokenizer.save_pretrained(folder)
    CLIPImageProcessorPil().save_pretrained(folder)
    return folder


if __name__ == "__main__":
    build(sys.argv[1], Path(sys.argv[2]))
