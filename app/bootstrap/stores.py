"""Where things are kept: object stores, the catalog over them, vector servers, sessions, and web searches."""

from importlib.util import find_spec
from pathlib import Path

from app.catalog.bucket_backend import BucketBackend
from app.catalog.catalog import Catalog
from app.catalog.server_backend import ServerBackend
from app.errors import InvalidSettings
from app.ingest.web.provider import Provider
from app.sessions.store import MemoryStore, SessionStore
from app.settings import SessionSettings, Settings, StorageSettings, WebSettings
from app.storage.base import ObjectStore
from app.storage.local import STATE_FOLDER, LocalStore
from app.storage.urls import folder_of_url, scheme_of
from app.types import hash_content
from app.vectors.base import VectorServer


def open_store(
    settings: StorageSettings, *, etag_cache: Path | None = None, setting: str = "STORAGE_URL"
) -> ObjectStore:
    """The object store at `settings.url`, which messages call `setting`. Raises InvalidSettings.

    `etag_cache` is the file for the etags of a folder that may be read-only; by default it lies in the folder itself.
    """
    scheme = scheme_of(settings.url)
    if scheme == "file":
        return LocalStore.from_url(settings.url, etag_cache=etag_cache, setting=setting)
    if scheme == "s3":
        from app.storage.s3 import S3Store  # boto3 takes most of a second to import

        return S3Store(settings)
    raise InvalidSettings(f"{setting}={settings.url} has no known scheme. Use a path, file://folder or s3://bucket.")


def open_index_store(settings: Settings, store: ObjectStore) -> ObjectStore:
    """Where index and thumbnails are kept: as `INDEX_URL` says, else in `store`. Raises InvalidSettings."""
    if not settings.index.url:
        return store
    return open_store(settings.storage.model_copy(update={"url": settings.index.url}), setting="INDEX_URL")


def etag_cache_of(settings: Settings) -> Path | None:
    """The file for the etags of a folder that stays read-only: beside its index, or with the models' files.

    None where the index lies with the pictures. Raises InvalidSettings.
    """
    if not settings.index.url:
        return None
    name = f"etags-{hash_content(settings.storage.url.encode())[:16]}.sqlite3"
    if scheme_of(settings.index.url) == "file":
        return folder_of_url(settings.index.url, "INDEX_URL") / STATE_FOLDER / name
    return settings.model.cache.expanduser() / name


def open_catalog(settings: Settings, store: ObjectStore) -> Catalog:
    """The catalog of the store that has the index; vectors are where `VECTOR_STORE` says. Raises InvalidSettings."""
    server = open_vector_server(settings)
    backend = ServerBackend(store, server) if server else BucketBackend(store, settings.vector)
    return Catalog(store, settings.index, backend)


def open_vector_server(settings: Settings) -> VectorServer | None:
    """The vector server that `VECTOR_STORE` names, not yet connected; None for FAISS. Raises InvalidSettings."""
    match settings.vector.store:
        case "milvus":
            from app.vectors.servers.milvus import MilvusServer  # each server's client is an extra of its own

            return MilvusServer(settings.milvus, settings.vector.recall)
        case "chroma":
            from app.vectors.servers.chroma import ChromaServer

            return ChromaServer(settings.chroma)
        case "faiss":
            return None


def check_session_store(settings: SessionSettings) -> None:
    """Raise InvalidSettings where `REDIS_URL` is set and its package is not installed."""
    if settings.redis_url and find_spec("redis") is None:
        raise InvalidSettings(
            "REDIS_URL needs the package redis, which is not installed here. Install with `pip install "
            "'image2search[redis]'`, or leave REDIS_URL empty."
        )


def open_session_store(settings: SessionSettings) -> SessionStore:
    """Where search sessions are kept, as `REDIS_URL` says; not yet connected. Raises InvalidSettings."""
    if not settings.redis_url:
        return MemoryStore(settings.idle_s, settings.max)
    from app.sessions.redis_store import open_redis  # an extra

    return open_redis(settings.redis_url, idle_s=settings.idle_s, limit=settings.max)


def open_provider(name: str, settings: WebSettings) -> Provider:
    """The web search of this name. `WEB_PROVIDERS` says which ones clients of the service may use."""
    if name == "ddgs":
        from app.ingest.web.ddgs_search import Ddgs  # an extra

        return Ddgs()
    from app.ingest.web.openverse import Openverse  # httpx2 takes a tenth of a second to import

    return Openverse(settings)
