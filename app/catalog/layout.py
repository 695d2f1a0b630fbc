"""Which keys of the bucket are pictures, and where the catalog keeps its own files."""

import re

INDEX_PREFIX = "_index/"
THUMBNAIL_PREFIX = "_thumbnails/"
RESERVED_PREFIXES = (INDEX_PREFIX, THUMBNAIL_PREFIX, "_atlas/", "_uploads/")
"""Written by this service; never taken for the user's pictures."""

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp")

POINTER_KEY = INDEX_PREFIX + "current.json"
LOCK_KEY = INDEX_PREFIX + "lock.json"

GENERATION = re.compile(r"\d{8,}-[0-9a-f]{8}")
"""A number that grows with every generation, and a token that no other writer picks."""


def is_picture_key(key: str) -> bool:
    """Whether the indexer takes the object for a picture, by its name alone."""
    hidden = any(part.startswith(".") for part in key.split("/"))
    return key.lower().endswith(PICTURE_SUFFIXES) and not hidden and not key.startswith(RESERVED_PREFIXES)


def index_key(generation: str) -> str:
    return f"{INDEX_PREFIX}{generation}/image_faiss_index.bin"


def metadata_key(generation: str) -> str:
    return f"{INDEX_PREFIX}{generation}/image_metadata.json"


def journal_key(generation: str, number: int) -> str:
    return f"{INDEX_PREFIX}{generation}/journal/{number}.json"


def generation_of(key: str) -> str | None:
    """The generation that a key below `_index/` belongs to; None for whatever else lies there."""
    name, slash, _ = key.removeprefix(INDEX_PREFIX).partition("/")
    return name if slash and GENERATION.fullmatch(name) else None


def generation_number(generation: str) -> int:
    return int(generation.partition("-")[0])
