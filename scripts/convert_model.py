"""Converts a model to OpenVINO inside its own folder, so that machines without PyTorch can run it.

    python -m scripts.convert_model [FOLDER]      # models/demo-clip without FOLDER

The form is written into `FOLDER/openvino`, with weights in half precision. It is used as long as the model's
fingerprint is the one that it was made for: run this again after each change of the model.
"""

import argparse
from pathlib import Path

from app.models.checkpoint import DEMO_FOLDER, find_checkpoint
from app.models.hugging_face import SourceModel
from app.models.openvino.conversion import Converter
from app.settings import ModelSettings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=DEMO_FOLDER, help="the model's folder")
    folder = convert(parser.parse_args().folder)
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{folder}: {size / 1e6:.1f} MB")


def convert(folder: Path) -> Path:
    """Returns the folder of the converted form. Raises ModelUnavailable, NotConvertible, OSError."""
    checkpoint = find_checkpoint(ModelSettings(name=str(folder)))
    checkpoint.check()
    return Converter(checkpoint, SourceModel(checkpoint)).ship()


if __name__ == "__main__":
    main()
