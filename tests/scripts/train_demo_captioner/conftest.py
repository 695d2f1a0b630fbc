"""The tiny world of the demo CLIP's tests: four glyphs, two styles."""

from tests.scripts.train_demo_clip.conftest import sheet, vocabulary

__all__ = ["sheet", "vocabulary"]
