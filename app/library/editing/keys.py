"""Object keys for pictures that people add: from the folder and the file name that they give."""

import re
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath

from app.catalog.layout import RESERVED_FOLDERS, is_picture_key
from app.errors import InvalidInput
from app.pictures.formats import Format
from app.storage.base import check_key

MAX_KEY_BYTES = 900
"""S3 allows 1024; a number may be added."""

MAX_NAME_BYTES = 200
"""Most file systems allow 255."""

DEFAULT_NAME = "picture"

_NOT_IN_NAMES = re.compile(r'[\x00-\x1f\x7f-\x9f<>:"|?*\\/\u200e\u200f\u202a-\u202e\u2066-\u2069]+')
"""What some file system does not take, and marks that turn the direction of writing: they hide a name's ending."""


def checked_folder(folder: str, is_excluded: Callable[[str], bool]) -> str:
    """The folder without slashes at its ends; empty for the root.

    Raises InvalidInput when the indexer would not look there: hidden and reserved folders, and excluded ones.
    """
    path = unicodedata.normalize("NFC", folder).replace("\\", "/").strip("/ ")
    if not path:
        return ""
    check_key(path)
    if len(path.encode()) > MAX_KEY_BYTES - MAX_NAME_BYTES:
        raise InvalidInput(f"The folder's name is too long: at most {MAX_KEY_BYTES - MAX_NAME_BYTES} bytes.")
    parts = path.split("/")
    if any(part.startswith(".") for part in parts) or not RESERVED_FOLDERS.isdisjoint(parts):
        reserved = ", ".join(sorted(RESERVED_FOLDERS))
        raise InvalidInput(
            f"Pictures can't be added to {path!r}: no folder's name may begin with a dot or be one of {reserved}."
        )
    if is_excluded(f"{path}/"):
        raise InvalidInput(f"Pictures can't be added to {path!r}: STORAGE_EXCLUDE leaves this folder out.")
    return path


def checked_name(name: str, kind: Format, is_excluded: Callable[[str], bool]) -> str:
    """A file name from what the client calls the file, with an ending of its format."""
    base = unicodedata.normalize("NFC", name).replace("\\", "/").rpartition("/")[2]
    base = _NOT_IN_NAMES.sub("_", base).strip(" .")
    if not _is_text(base):
        base = ""
    stem = _cut(PurePosixPath(base).stem.strip(" .") if "." in base else base, MAX_NAME_BYTES)
    suffix = PurePosixPath(base).suffix
    suffix = suffix if suffix.lower() in kind.suffixes else kind.suffixes[0]
    found = f"{stem or DEFAULT_NAME}{suffix}"
    return found if is_picture_key(found) and not is_excluded(found) else f"{DEFAULT_NAME}{suffix}"


def numbered(folder: str, name: str) -> Iterator[str]:
    """Keys for this name: `beach/a.jpg`, `beach/a-2.jpg`, `beach/a-3.jpg`, ..."""
    stem, dot, ending = name.rpartition(".")
    before = f"{folder}/" if folder else ""
    yield before + name
    number = 2
    while True:
        yield f"{before}{stem}-{number}{dot}{ending}"
        number += 1


def _cut(text: str, max_bytes: int) -> str:
    return text.encode()[:max_bytes].decode(errors="ignore")


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
