"""Names of objects in the bucket: which keys are pictures, and where the catalog keeps its own files."""

import re
from functools import lru_cache

from app.pictures.formats import is_picture_name, kind_of_name

INDEX_PREFIX = "_index/"
THUMBNAIL_PREFIX = "_thumbnails/"
TRASH_PREFIX = "_trash/"
ATLAS_PREFIX = "_atlas/"
MAP_PREFIX = "_map/"
GENERATED_PREFIX = "_generated/"
RESERVED_FOLDERS = frozenset({"_index", "_thumbnails", "_trash", "_generated", "_atlas", "_map", "_uploads"})
"""What lies in folders of these names was written by this service and is no picture of the user's. They may lie at any
depth: one library may be a folder of another."""

POINTER_KEY = INDEX_PREFIX + "current.json"
LOCK_KEY = INDEX_PREFIX + "lock.json"

INDEX_NAME = "image_faiss_index.bin"
METADATA_NAME = "image_metadata.json"
WORDS_NAME = "image_words.bin"

GENERATION = re.compile(r"\d{8,}-[0-9a-f]{8}")
"""A number that grows with every generation, and a random token, so that two writers never pick the same name."""


def is_picture_key(key: str) -> bool:
    """Whether the indexer may find a picture in the object: its name says so, or says nothing about its kind."""
    folder, _, name = key.rpartition("/")
    may_be = is_picture_name(name) or kind_of_name(name) is None
    return may_be and not _is_hidden(name) and _is_users_folder(folder)


@lru_cache(maxsize=1024)
def _is_users_folder(path: str) -> bool:
    parts = path.split("/")
    return RESERVED_FOLDERS.isdisjoint(parts) and not any(map(_is_hidden, parts))


def _is_hidden(part: str) -> bool:
    return part.startswith(".") and part not in (".", "..")


def index_key(generation: str) -> str:
    return f"{INDEX_PREFIX}{generation}/{INDEX_NAME}"


def metadata_key(generation: str) -> str:
    return f"{INDEX_PREFIX}{generation}/{METADATA_NAME}"


def words_key(generation: str) -> str:
    return f"{INDEX_PREFIX}{generation}/{WORDS_NAME}"


def journal_key(generation: str, number: int) -> str:
    return f"{INDEX_PREFIX}{generation}/journal/{number}.json"


def journal_number(key: str) -> int:
    """Of what `journal_key` made."""
    return int(key.rpartition("/")[2].removesuffix(".json"))


def generation_of(key: str) -> str | None:
    """The generation that a key below `_index/` belongs to; None for a key of no generation."""
    name, slash, _ = key.removeprefix(INDEX_PREFIX).partition("/")
    return name if slash and GENERATION.fullmatch(name) else None


def generation_number(generation: str) -> int:
    return int(generation.partition("-")[0])
