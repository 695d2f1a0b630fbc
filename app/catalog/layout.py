"""Names of objects in the bucket: which keys are pictures, and where the catalog keeps its own files."""

import re

from app.pictures.formats import PICTURE_SUFFIXES

INDEX_PREFIX = "_index/"
THUMBNAIL_PREFIX = "_thumbnails/"
RESERVED_PREFIXES = (INDEX_PREFIX, THUMBNAIL_PREFIX, "_atlas/", "_uploads/")
"""Objects below these were written by this service and are not the user's pictures."""

POINTER_KEY = INDEX_PREFIX + "current.json"
LOCK_KEY = INDEX_PREFIX + "lock.json"

INDEX_NAME = "image_faiss_index.bin"
METADATA_NAME = "image_metadata.json"

GENERATION = re.compile(r"\d{8,}-[0-9a-f]{8}")
"""A number that grows with every generation, and a random token, so that two writers never pick the same name."""


def is_picture_key(key: str) -> bool:
    """Whether the indexer treats the object as a picture; only the name decides."""
    hidden = any(part.startswith(".") for part in key.split("/"))
    return key.lower().endswith(PICTURE_SUFFIXES) and not hidden and not key.startswith(RESERVED_PREFIXES)


def index_key(generation: str) -> str:
    return f"{INDEX_PREFIX}{generation}/{INDEX_NAME}"


def metadata_key(generation: str) -> str:
    return f"{INDEX_PREFIX}{generation}/{METADATA_NAME}"


def journal_key(generation: str, number: int) -> str:
    return f"{INDEX_PREFIX}{generation}/journal/{number}.json"


def generation_of(key: str) -> str | None:
    """The generation that a key below `_index/` belongs to; None for a key of no generation."""
    name, slash, _ = key.removeprefix(INDEX_PREFIX).partition("/")
    return name if slash and GENERATION.fullmatch(name) else None


def generation_number(generation: str) -> int:
    return int(generation.partition("-")[0])
