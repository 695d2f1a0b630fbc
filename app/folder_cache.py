"""The indexes of folders on this machine, in the user's cache folder: one for each folder and model.

The pictures' folder is only read. An index run starts only where the folder looks different from the last time: by the
names, sizes and times of its files.
"""

import json
import logging
import os
import shutil
import time
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from app.bootstrap import etag_cache_of, open_catalog, open_index_store, open_store
from app.catalog.catalog import Catalog
from app.catalog.exclusion import exclusion
from app.catalog.layout import is_picture_key
from app.catalog.snapshot import Snapshot
from app.errors import IndexCorrupt, IndexNotReady, InvalidInput, InvalidSettings
from app.indexing.foreground import run_indexer
from app.models.checkpoint import find_checkpoint
from app.settings import Settings
from app.storage.base import ObjectStore, Selection, Unlisted
from app.storage.local import STATE_FOLDER
from app.storage.urls import folder_of_url, url_of_folder
from app.types import hash_content

log = logging.getLogger(__name__)

CACHE = "folders"
"""The folder in MODEL_CACHE that has the indexes."""

SETTLE_S = 2.0
"""A file that was written this shortly before could be written again within the same time stamp."""


def settings_for(folder: Path, settings: Settings) -> Settings:
    """The settings with this folder as the storage, and its index in the user's cache folder.

    Raises InvalidInput, InvalidSettings, ModelUnavailable.
    """
    if not folder.is_dir():
        raise InvalidInput(f"There is no folder {folder}. Give --images-dir the folder of your pictures.")
    place = folder.resolve()
    model = find_checkpoint(settings.model).fingerprint()
    name = hash_content(os.fsencode(place) + model.encode())[:16]
    index = settings.model.cache.expanduser().absolute() / CACHE / name
    try:
        index.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidSettings(
            f"The index can't be kept in {index}: {error.strerror}. Set MODEL_CACHE to a folder that can be written."
        ) from error
    return settings.model_copy(
        update={
            "storage": settings.storage.model_copy(update={"url": url_of_folder(place)}),
            "index": settings.index.model_copy(update={"url": url_of_folder(index)}),
            "vector": settings.vector.model_copy(update={"store": "faiss"}),
        }
    )


def bring_up_to_date(settings: Settings) -> bool:
    """Index what has changed since the last time. Returns whether an index run was needed.

    Raises InvalidInput when the folder has no pictures, StorageUnavailable; CalledProcessError and KeyboardInterrupt as
    `run_indexer`.
    """
    store = _store_of(settings)
    look = _look_at(store, settings)
    if not look.files:
        raise InvalidInput(f"There are no pictures in {folder_of_url(settings.storage.url)}.")
    seen = _index_folder(settings) / STATE_FOLDER / "seen.json"
    if _remembered(seen) == look.digest:
        return False
    _remove_damaged(settings)
    report = run_indexer(settings, "--yes", "--allow-shrink")
    if look.is_settled and not report.failed:
        _remember(seen, look.digest, folder_of_url(settings.storage.url))
    return True


def load_index(settings: Settings) -> Snapshot:
    """Raises IndexCorrupt, IndexNotReady."""
    snapshot = _catalog_of(settings).load()
    if snapshot is None:
        raise IndexNotReady("The folder's index is gone from the cache.")
    return snapshot


def remake(settings: Settings) -> None:
    """Make the index of a folder anew: it was damaged or removed. Raises as `bring_up_to_date`."""
    _clear(settings)
    bring_up_to_date(settings)


@dataclass(frozen=True)
class _Look:
    """What a folder looks like, without reading a file."""

    digest: str
    files: int
    """Files that may be pictures by their names."""
    is_settled: bool
    """Whether every later change will show."""


def _look_at(store: ObjectStore, settings: Settings) -> _Look:
    """Raises StorageUnavailable."""
    digest = blake2b(f"{settings.storage.exclude}\n{settings.image!r}\n".encode(), digest_size=16)
    files, is_settled, now = 0, True, time.time()

    def note(unlisted: Unlisted) -> None:
        digest.update(f"{unlisted.key}\n".encode())

    selection = Selection(exclusion(settings.storage.exclude), needs_etag=None, report=note)
    for info in store.list(selection=selection):
        if is_picture_key(info.key):
            files += 1
            is_settled = is_settled and not now - SETTLE_S < info.modified_at <= now
            digest.update(f"{info.key} {info.etag}\n".encode())
    return _Look(digest.hexdigest(), files, is_settled)


def _remembered(seen: Path) -> str:
    try:
        return str(json.loads(seen.read_bytes())["digest"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _remember(seen: Path, digest: str, folder: Path) -> None:
    part = seen.with_suffix(".part")
    try:
        seen.parent.mkdir(exist_ok=True)
        part.write_text(json.dumps({"folder": str(folder), "digest": digest}))
        part.replace(seen)
    except OSError as error:
        log.warning("%s can't be written (%s): the next search looks for changes again.", seen, error.strerror)


def _remove_damaged(settings: Settings) -> None:
    """The index run would refuse a damaged index."""
    try:
        _catalog_of(settings).load()
    except IndexCorrupt as error:
        log.warning("The folder's index in the cache is damaged and is made again: %s", error)
        _clear(settings)


def _catalog_of(settings: Settings) -> Catalog:
    return open_catalog(settings, open_index_store(settings, _store_of(settings)))


def _store_of(settings: Settings) -> ObjectStore:
    return open_store(settings.storage, etag_cache=etag_cache_of(settings), setting="--images-dir")


def _clear(settings: Settings) -> None:
    shutil.rmtree(_index_folder(settings), ignore_errors=True)
    _index_folder(settings).mkdir(parents=True, exist_ok=True)


def _index_folder(settings: Settings) -> Path:
    return folder_of_url(settings.index.url)
