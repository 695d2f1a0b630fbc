"""One service for the tests that only read, with a real tiny CLIP. Tests that change something make their own.

OpenVINO is imported where it is used: most tests need no model.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
import pytest

from app.bootstrap import Parts
from app.settings import ImageSettings, ModelSettings
from tests.support.service import make_parts, serving_parts
from tests.support.tiny_models import build_tiny_clip

if TYPE_CHECKING:
    from app.models.embedder import DualEncoder


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_clip(tmp_path_factory.mktemp("model") / "tiny-clip")


@pytest.fixture(scope="session")
def embedder(model_folder: Path) -> "DualEncoder":
    from app.models.choose import load_embedder

    return load_embedder(ModelSettings(name=str(model_folder), device="cpu"))


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory, embedder: "DualEncoder") -> Parts:
    images = ImageSettings(max_bytes=100_000, max_pixels=1_000_000)
    return make_parts(tmp_path_factory.mktemp("bucket"), embedder, image=images)


@pytest.fixture(scope="session")
def client(parts: Parts) -> Iterator[httpx2.Client]:
    with serving_parts(parts) as client:
        yield client
