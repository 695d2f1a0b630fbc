"""Converts a model to OpenVINO inside its own folder, so that machines without PyTorch can run it.

    python -m scripts.convert_model [FOLDER]      # models/demo-clip without FOLDER

Dual encoders, captioners (GIT, BLIP) and Stable Diffusion pipelines are told apart by their files. The form is written
into `FOLDER/openvino`, with weights in half precision. It is used as long as the model's fingerprint is the one that it
was made for: run this again after each change of the model.
"""

import argparse
from pathlib import Path

from app.models.captioner.loading import ship as ship_captioner
from app.models.captioner.source import find_captioner
from app.models.checkpoint import DEMO_FOLDER, find_checkpoint
from app.models.hugging_face import SourceModel
from app.models.openvino.conversion import Converter
from app.settings import CaptionSettings, ModelSettings

CAPTIONERS = frozenset({"GitForCausalLM", "BlipForConditionalGeneration"})
"""Among the `architectures` of config.json."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=DEMO_FOLDER, help="the model's folder")
    folder = convert(parser.parse_args().folder)
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{folder}: {size / 1e6:.1f} MB")


def convert(folder: Path) -> Path:
    """Returns the folder of the converted form. Raises ModelUnavailable, NotConvertible, OSError."""
    if (folder / "model_index.json").is_file():
        from app.models.generator.conversion import ship as ship_generator

        return ship_generator(folder)
    checkpoint = find_checkpoint(ModelSettings(name=str(folder)))
    if not CAPTIONERS.isdisjoint(checkpoint.config.get("architectures") or []):
        checkpoint = find_captioner(CaptionSettings(model=str(folder)))
        checkpoint.check()
        return ship_captioner(checkpoint)
    checkpoint.check()
    return Converter(checkpoint, SourceModel(checkpoint)).ship()


if __name__ == "__main__":
    main()
