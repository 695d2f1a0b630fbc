"""The only place that picks concrete classes."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.catalog.catalog import Catalog
from app.errors import InvalidSettings
from app.models.calibration import Calibration, sample_calibration
from app.settings import ModelSettings, Settings, StorageSettings
from app.storage.base import ObjectStore
from app.storage.local import LocalStore
from app.vectors.base import VectorServer

if TYPE_CHECKING:
    from app.models.base import Embedder


@dataclass(frozen=True)
class Components:
    """The parts of a running image2search, ready to use."""

    settings: Settings
    store: ObjectStore
    embedder: "Embedder"
    catalog: Catalog


def build(settings: Settings) -> Components:
    """Make every part. Raises InvalidSettings, ModelUnavailable."""
    store = open_store(settings.storage)
    return Components(settings, store, load_embedder(settings.model), open_catalog(settings, store))


def open_catalog(settings: Settings, store: ObjectStore) -> Catalog:
    """The catalog of the store, over the engine that `VECTOR_STORE` names. Raises InvalidSettings."""
    return Catalog(store, settings.index, vectors=settings.vector, server=open_vectors(settings))


def load_embedder(
    settings: ModelSettings, calibration: Calibration | None = None, *, for_batches: bool = False
) -> "Embedder":
    """The model that `MODEL` names, ready to encode. Raises ModelUnavailable.

    `for_batches` makes an index run faster and a single picture slower.
    8-bit arithmetic is fitted to `calibration`, or to the sample pictures where `PRECISION=int8` asks for it.
    """
    from app.models import choose as runtimes  # OpenVINO takes half a second to import, and storage needs none of it

    if calibration is None and settings.precision == "int8":
        calibration = sample_calibration()
    return runtimes.load_embedder(settings, calibration, for_batches=for_batches)


def open_store(settings: StorageSettings) -> ObjectStore:
    """The object store that `STORAGE_URL` names. Raises InvalidSettings."""
    scheme = settings.url.partition("://")[0]
    if scheme == "file":
        return LocalStore.from_url(settings.url)
    if scheme == "s3":
        from app.storage.s3 import S3Store  # boto3 takes most of a second to import

        return S3Store(settings)
    raise InvalidSettings(f"STORAGE_URL={settings.url} has no known scheme. Use file://folder or s3://bucket.")


def open_vectors(settings: Settings) -> VectorServer | None:
    """The vector server that `VECTOR_STORE` names, asked for nothing yet; None for FAISS. Raises InvalidSettings."""
    match settings.vector.store:
        case "milvus":
            from app.vectors.servers.milvus import MilvusServer  # each engine's client is an extra of its own

            return MilvusServer(settings.milvus, settings.vector.recall)
        case "chroma":
            from app.vectors.servers.chroma import ChromaServer

            return ChromaServer(settings.chroma)
        case "faiss":
            return None
