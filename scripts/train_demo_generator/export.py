"""Write the newest checkpoint as a pipeline folder: `python -m scripts.train_demo_generator.export`.

Weights are stored in half precision to save space. Load them with `dtype=torch.float32` on a CPU.
"""

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from transformers import CLIPTextModel, CLIPTokenizer

from app.models.generator.quiet import quiet_diffusers
from scripts.train_demo_clip.plot_log import draw_curve
from scripts.train_demo_generator.latents import latent_file, load_autoencoder
from scripts.train_demo_generator.model import build_denoiser, build_pipeline
from scripts.train_demo_generator.train import scale_of

_DEFAULTS = {"steps": 20, "guidance": 4.0, "scheduler": "dpm++"}
_PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler", "openvino")


def load_checkpoint(cache: Path) -> StableDiffusionPipeline:
    """The pipeline with the averaged denoiser of the newest checkpoint."""
    autoencoder = load_autoencoder(cache)
    autoencoder.register_to_config(scaling_factor=round(scale_of(np.load(latent_file(cache, 0))), 4))
    denoiser = build_denoiser()
    denoiser.load_state_dict(torch.load(cache / "denoiser.pt", weights_only=True, map_location="cpu")["average"])
    texts = CLIPTextModel.from_pretrained(cache / "clip", dtype=torch.float32)
    return build_pipeline(autoencoder, texts, CLIPTokenizer.from_pretrained(cache / "clip"), denoiser.eval())


def write_pipeline(pipeline: StableDiffusionPipeline, folder: Path) -> None:
    """Replaces the parts of an older one. Converted graphs of the older one go, too: they are not of these weights."""
    for part in _PARTS:
        shutil.rmtree(folder / part, ignore_errors=True)
    pipeline.to(torch.float16).save_pretrained(folder)
    for file in [folder / "model_index.json", *folder.glob("*/*config.json")]:
        _drop_traces(file)
    for file in folder.rglob("*.safetensors"):
        file.chmod(0o644)  # only its owner could read it, but a service runs as another user
    (folder / "image2search.json").write_text(json.dumps(_DEFAULTS) + "\n")


def _drop_traces(config: Path) -> None:
    """Remove the notes about where a part was loaded from; the weights are for float32, half precision is storage."""
    settings = json.loads(config.read_text())
    for trace in ("_name_or_path", "is_local", "local_files_only"):
        settings.pop(trace, None)
    if "dtype" in settings:
        settings["dtype"] = "float32"
    config.write_text(json.dumps(settings, indent=2) + "\n")


def write_curve(cache: Path, folder: Path) -> int:
    """The log up to the checkpoint, also drawn; returns how many pictures the checkpoint has learnt from."""
    seen = torch.load(cache / "denoiser.pt", weights_only=True, mmap=True)["seen"]
    lines = (cache / "training_log.jsonl").read_text().splitlines()
    kept = [line for line in lines if json.loads(line)["images"] <= seen]
    (folder / "training_log.jsonl").write_text("".join(f"{line}\n" for line in kept))
    points = [(row["images"] / 1000, row["loss"]) for row in map(json.loads, kept)]
    (folder / "training_curve.svg").write_text(draw_curve(points))
    return int(seen)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "demo-generator")
    parser.add_argument("--out", type=Path, default=Path("models/demo-generator"))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with quiet_diffusers():
        write_pipeline(load_checkpoint(arguments.cache), arguments.out)
    seen = write_curve(arguments.cache, arguments.out)
    print(f"{arguments.out}: learnt from {seen:,} pictures")


if __name__ == "__main__":
    main()
