"""Writes a trained model in Hugging Face's CLIP format: config, safetensors, tokenizer, preprocessor.

Weights are stored in half precision to save space. `config.dtype` is float32, so they are loaded as float32.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import CLIPModel, CLIPTokenizer

from scripts.train_demo_clip.network import PIXEL_MEAN, PIXEL_STD
from scripts.train_demo_clip.scenes import IMAGE_PX

_PREPROCESSOR = {
    "image_processor_type": "CLIPImageProcessor",
    "processor_class": "CLIPProcessor",
    "do_convert_rgb": True,
    "do_resize": True,
    "size": {"shortest_edge": IMAGE_PX},
    "resample": 3,
    "do_center_crop": True,
    "crop_size": {"height": IMAGE_PX, "width": IMAGE_PX},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [PIXEL_MEAN] * 3,
    "image_std": [PIXEL_STD] * 3,
}


def export_model(model: CLIPModel, tokenizer: CLIPTokenizer, folder: Path) -> None:
    """Write a model into `folder` that `AutoModel` and `AutoProcessor` can load."""
    folder.mkdir(parents=True, exist_ok=True)
    model.config.dtype = torch.float32
    model.config.architectures = ["CLIPModel"]
    model.config.save_pretrained(folder)
    write_weights(model, folder)
    tokenizer.save_pretrained(folder)
    _drop_traces(folder / "tokenizer_config.json")
    (folder / "preprocessor_config.json").write_text(json.dumps(_PREPROCESSOR, indent=2) + "\n")


def write_weights(model: CLIPModel, folder: Path) -> None:
    """Write the weights alone."""
    kept = {name: value.half().contiguous() for name, value in model.state_dict().items() if "position_ids" not in name}
    weights = folder / "model.safetensors"
    save_file(kept, weights, metadata={"format": "pt"})
    weights.chmod(0o644)  # only its owner could read it, but a service runs as another user


def _drop_traces(config: Path) -> None:
    """Remove the notes about where the tokenizer was loaded from."""
    settings = json.loads(config.read_text())
    kept = {name: value for name, value in settings.items() if name not in ("is_local", "local_files_only")}
    config.write_text(json.dumps(kept, indent=2) + "\n")
