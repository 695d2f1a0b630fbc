"""One service for the tests that only read, with a real tiny CLIP; tests that change things make their own."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.bootstrap import Components
from app.models.choose import load_embedder
from app.models.embedder import DualEncoder
from app.settings import ImageSettings, ModelSettings
from tests.support.service import make_components, serving_components
from tests.support.tiny_models import build_tiny_clip


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_clip(tmp_path_factory.mktemp("model") / "tiny-clip")


@pytest.fixture(scope="session")
def embedder(model_folder: Path) -> DualEncoder:
    return load_embedder(ModelSettings(name=str(model_folder), device="cpu"))


@pytest.fixture(scope="session")
def components(tmp_path_factory: pytest.TempPathFactory, embedder: DualEncoder) -> Components:
    images = ImageSettings(max_bytes=100_000, max_pixels=1_000_000)
    return make_components(tmp_path_factory.mktemp("bucket"), embedder, image=images)


@pytest.fixture(scope="session")
def client(components: Components) -> Iterator[httpx.Client]:
    with serving_components(components) as client:
        yield client
