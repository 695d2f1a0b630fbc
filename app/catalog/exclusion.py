"""Which objects of a bucket are never indexed: our own files at any depth, and what `STORAGE_EXCLUDE` names."""

import re
from collections.abc import Callable, Sequence
from fnmatch import translate
from functools import lru_cache

from app.catalog.layout import RESERVED_FOLDERS


def exclusion(globs: str) -> Callable[[str], bool]:
    """Whether to leave out an object's key, or a folder with all that is in it: its key ends with a slash.

    `globs` are separated by commas; upper and lower case are the same. One without a slash matches a file or folder of
    that name at any depth, one with a slash a path from the top of the bucket.
    """
    patterns = [glob.strip().strip("/") for glob in globs.split(",")]
    names = _compiled([glob for glob in patterns if glob and "/" not in glob])
    paths = [[_compiled([part]) for part in glob.split("/")] for glob in patterns if "/" in glob]

    def leads_to(folders: Sequence[str]) -> bool:
        return any(
            len(parts) <= len(folders) and all(part(name) for part, name in zip(parts, folders, strict=False))
            for parts in paths
        )

    @lru_cache(maxsize=1024)
    def is_folder_excluded(folder: str) -> bool:
        parts = folder.split("/")
        return any(part in RESERVED_FOLDERS or names(part) for part in parts) or leads_to(parts)

    def is_excluded(key: str) -> bool:
        folder, slash, name = key.rpartition("/")
        if slash and is_folder_excluded(folder):
            return True
        return bool(name) and (names(name) or (bool(paths) and leads_to(key.split("/"))))

    return is_excluded


def _compiled(globs: Sequence[str]) -> Callable[[str], bool]:
    """Whether one of `globs` matches a whole name."""
    if not globs:
        return lambda name: False
    matches = re.compile("|".join(map(translate, globs)), re.IGNORECASE).match
    return lambda name: matches(name) is not None
