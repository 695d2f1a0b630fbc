"""A tiny world for the generator's tests: four glyphs, two styles, no emoji set installed."""

import numpy as np
import pytest

from scripts.train_demo_clip.colours import COLOURS
from scripts.train_demo_clip.sprites import SPRITE_PX, SpriteSheet
from scripts.train_demo_clip.vocabulary import LANGUAGES, Glyph, Vocabulary, with_clear_keywords

_WORDS = {
    "cat": (("cat", "katze", "chat", "gato"), "kitten"),
    "automobile": (("automobile", "auto", "voiture", "coche"), "car"),
    "red apple": (("red apple", "roter apfel", "pomme rouge", "manzana roja"), "fruit"),
    "racing car": (("racing car", "rennauto", "voiture de course", "coche de carreras"), "car"),
}


@pytest.fixture
def vocabulary() -> Vocabulary:
    glyphs = [
        Glyph(
            f"1F{number:03d}",
            label,
            7,
            dict(zip(LANGUAGES, names, strict=True)),
            dict.fromkeys(LANGUAGES, (tag,)),
        )
        for number, (label, (names, tag)) in enumerate(_WORDS.items())
    ]
    return Vocabulary(with_clear_keywords(glyphs))


@pytest.fixture
def sheet(vocabulary: Vocabulary) -> SpriteSheet:
    """Discs: Noto's are red, the held-out style's are blue."""
    rows, columns = np.mgrid[0:SPRITE_PX, 0:SPRITE_PX]
    disc = (rows - 48) ** 2 + (columns - 48) ** 2 < 46**2
    pixels = np.zeros((2, len(vocabulary.glyphs), SPRITE_PX, SPRITE_PX, 4), np.uint8)
    for style, colour in enumerate((COLOURS["red"], COLOURS["blue"])):
        pixels[style, :, disc] = (*colour, 255)
    return SpriteSheet(("noto", "twemoji"), pixels, np.ones((2, len(vocabulary.glyphs)), bool))
