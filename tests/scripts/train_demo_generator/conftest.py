"""A tiny world: forty glyphs of one look, no emoji set installed."""

import numpy as np
import pytest

from scripts.train_demo_clip.captions import Captioner
from scripts.train_demo_clip.scenes import ScenePlanner
from scripts.train_demo_clip.sprites import SPRITE_PX, SpriteSheet
from scripts.train_demo_clip.vocabulary import LANGUAGES, Glyph, Vocabulary, with_clear_keywords
from scripts.train_demo_generator.latents import Studio
from scripts.train_demo_generator.prompts import STYLES


@pytest.fixture(scope="session")
def studio() -> Studio:
    glyphs = [
        Glyph(
            f"1F4{number}",
            f"thing{number}",
            7,
            dict.fromkeys(LANGUAGES, f"thing{number}"),
            dict.fromkeys(LANGUAGES, ()),
        )
        for number in range(40)
    ]
    vocabulary = Vocabulary(with_clear_keywords(glyphs))
    pixels = np.zeros((len(STYLES), len(glyphs), SPRITE_PX, SPRITE_PX, 4), np.uint8)
    pixels[:, :, 20:70, 10:80] = (220, 40, 40, 255)
    sheet = SpriteSheet(STYLES, pixels, np.ones((len(STYLES), len(glyphs)), bool))
    own_colours = np.zeros((len(STYLES), len(glyphs), 11), bool)
    return Studio(ScenePlanner(vocabulary, sheet, STYLES), Captioner(vocabulary, own_colours))
