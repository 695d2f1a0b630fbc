"""The tiny models, and one of them converted, for every test in this folder."""

from pathlib import Path

import pytest

from tests.support.tiny_models import tiny_clip, tiny_siglip, tiny_siglip2, tiny_tipsv2, tiny_vision_text

__all__ = ["tiny_clip", "tiny_siglip", "tiny_siglip2", "tiny_tipsv2", "tiny_vision_text"]


@pytest.fixture(scope="session")
def converted_cache(tiny_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A MODEL_CACHE that has `tiny_clip` converted. Tests that change it work on a copy."""
    from app.models.choose import load_embedder
    from app.settings import ModelSettings

    cache = tmp_path_factory.mktemp("converted")
    load_embedder(ModelSettings(name=str(tiny_clip), device="cpu", precision="fp32", cache=cache))
    return cache
