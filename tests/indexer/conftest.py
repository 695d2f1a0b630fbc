from pathlib import Path

import pytest

from app.models.choose import load_embedder
from app.models.embedder import DualEncoder
from app.settings import ModelSettings
from app.storage.local import LocalStore
from tests.indexer.picture_collection import Collection, CountingEmbedder
from tests.support.tiny_models import build_tiny_clip


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_clip(tmp_path_factory.mktemp("models") / "tiny-clip")


@pytest.fixture(scope="session")
def real_embedder(model_folder: Path) -> DualEncoder:
    return load_embedder(ModelSettings(name=str(model_folder)))


@pytest.fixture
def embedder(real_embedder: DualEncoder) -> CountingEmbedder:
    return CountingEmbedder(real_embedder)


@pytest.fixture
def collection(tmp_path: Path, embedder: CountingEmbedder) -> Collection:
    (tmp_path / "bucket").mkdir(exist_ok=True)
    return Collection(LocalStore(tmp_path / "bucket"), embedder)
