"""Draw 32 prompts on one sheet: `python -m scripts.train_demo_generator.contact_sheet`.

Nothing is chosen: the number of each line of `contact_prompts.txt` is its seed, and its first picture is shown.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from scripts.train_demo_generator.drawing import draw, load_pipeline

_PROMPTS = Path(__file__).with_name("contact_prompts.txt")
_COLUMNS, _SIDE, _TEXT, _GAP = 8, 144, 22, 8


def lay_out(pictures: Sequence[np.ndarray], texts: Sequence[str]) -> Image.Image:
    """A white sheet with eight pictures a row, each above its prompt."""
    rows = -(-len(pictures) // _COLUMNS)
    sheet = Image.new("RGB", (_COLUMNS * (_SIDE + _GAP) + _GAP, rows * (_SIDE + _TEXT + _GAP) + _GAP), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for number, (pixels, text) in enumerate(zip(pictures, texts, strict=True)):
        left = _GAP + number % _COLUMNS * (_SIDE + _GAP)
        top = _GAP + number // _COLUMNS * (_SIDE + _TEXT + _GAP)
        sheet.paste(Image.fromarray(pixels).resize((_SIDE, _SIDE), Image.Resampling.BICUBIC), (left, top))
        pen.text((left + _SIDE / 2, top + _SIDE + 4), text, "black", font, anchor="ma")
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", type=Path, default=Path("models/demo-generator"))
    parser.add_argument("--out", type=Path, default=Path("docs/demo-generator.png"))
    arguments = parser.parse_args()
    texts = _PROMPTS.read_text("utf-8").splitlines()
    pictures = draw(load_pipeline(arguments.model), texts, range(len(texts)))
    lay_out(list(pictures), texts).save(arguments.out, optimize=True)


if __name__ == "__main__":
    main()
