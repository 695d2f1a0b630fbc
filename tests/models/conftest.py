"""The tiny models, for every test in this folder."""

from tests.support.tiny_models import tiny_clip, tiny_siglip, tiny_siglip2, tiny_vision_text

__all__ = ["tiny_clip", "tiny_siglip", "tiny_siglip2", "tiny_vision_text"]
