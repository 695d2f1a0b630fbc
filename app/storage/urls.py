"""The settings that name a place: a folder, as people write one, or an address such as `s3://bucket/prefix`.

A path stands for itself, apart from `~` and `$HOME`. In a `file://` address `%20` is a space too (RFC 8089).
"""

import os
import re
from pathlib import Path
from urllib.parse import quote, unquote

from app.errors import InvalidSettings

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+(?=:)")
"""Two letters or more: one letter is a drive."""


def scheme_of(url: str) -> str:
    """`file` for a folder, however it is written; else what stands before the colon, in lower case."""
    found = _SCHEME.match(url)
    return found[0].lower() if found else "file"


def folder_of_url(url: str, setting: str = "STORAGE_URL") -> Path:
    """The folder that a path or a `file://` address names; a relative one lies in the working directory.

    Raises InvalidSettings, which names the setting.
    """
    path = os.path.expandvars(url)
    is_folder = scheme_of(url) == scheme_of(path) == "file"
    if found := _SCHEME.match(path):
        path = unquote(path[found.end() + 1 :].removeprefix("//"), errors="surrogateescape")
    if not is_folder or not path or "\0" in path:
        raise InvalidSettings(f"{setting}={url} names no folder. Use a path such as ~/Pictures, or file://folder.")
    return Path(os.path.expanduser(path))  # noqa: PTH111 - Path.expanduser raises for a user who does not exist


def url_of_folder(folder: Path) -> str:
    """The `file://` address of an absolute folder, from which `folder_of_url` makes the same path."""
    return f"file://{quote(os.fsencode(folder))}"
