"""The pictures of a folder on this machine, and how they are copied into the store, where an index run finds them."""

import mimetypes
from pathlib import Path

from app.catalog.layout import is_picture_key
from app.errors import InvalidInput
from app.ingest.reading import HEAD_BYTES
from app.pictures.formats import format_of, is_picture_name
from app.storage.base import ObjectStore, Selection


def pictures_in(folder: Path) -> dict[str, Path]:
    """The pictures below `folder` by their relative paths, sorted: those that an index run over it would find.

    Raises InvalidInput when there are none.
    """
    paths = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    pictures = {key: path for key, path in paths.items() if is_picture_key(key) and _is_picture(path)}
    if not pictures:
        raise InvalidInput(f"There are no pictures in {folder}. Name another folder.")
    return pictures


def put_pictures(store: ObjectStore, folder: Path) -> int:
    """Put each picture below `folder` under its relative path, if nothing is stored there. Returns how many were put.

    Raises InvalidInput when `folder` holds no pictures, StorageUnavailable.
    """
    pictures = pictures_in(folder)
    present = {info.key for info in store.list(selection=Selection(needs_etag=None, report=lambda unlisted: None))}
    missing = sorted(pictures.keys() - present)
    for key in missing:
        path = pictures[key]
        store.put(key, path.read_bytes(), content_type=mimetypes.guess_type(key)[0] or "application/octet-stream")
    return len(missing)


def _is_picture(path: Path) -> bool:
    """By its name, or by its first bytes where the name says nothing."""
    if is_picture_name(path.name):
        return True
    with path.open("rb") as file:
        return format_of(file.read(HEAD_BYTES)) is not None
