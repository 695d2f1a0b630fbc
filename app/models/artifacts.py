"""Folders of files that are costly to make, such as a converted model. A folder is used again only while it is intact.

`manifest.json` in each folder has the hashes of its files and what made them (versions, formats). `find` answers None
when a hash or a version differs; `make` then writes the folder anew.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from app.scratch import scratch_folder
from app.types import hash_file

MANIFEST: Final = "manifest.json"


def find(folder: Path, made_by: Mapping[str, Any]) -> dict[str, Any] | None:
    """The folder's manifest. None when a file is missing or damaged, or when the manifest differs from `made_by`."""
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_bytes())
        intact = all(_hash_of(folder / name) == digest for name, digest in manifest["files"].items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return manifest if intact and made_by.items() <= manifest.items() else None


def make(folder: Path, made_by: Mapping[str, Any], fill: Callable[[Path], Mapping[str, Any]]) -> dict[str, Any]:
    """Make the folder, in place of an older one, and return its manifest.

    `fill` writes the files into the folder that it is given, and returns further entries for the manifest.
    Raises OSError. Exceptions of `fill` propagate, and the older folder stays.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(folder.parent, ".being-made-") as workplace:
        made = workplace / "new"
        made.mkdir()
        entries = fill(made)
        manifest = {**made_by, **entries, "files": {path.name: _hash_of(path) for path in sorted(made.iterdir())}}
        (made / MANIFEST).write_text(json.dumps(manifest, indent=1))
        if folder.exists():
            folder.rename(workplace / "old")
        _put(made, folder)
    return manifest


def _put(made: Path, folder: Path) -> None:
    """Move a finished folder into place. When another process was faster, its folder stays. Raises OSError."""
    try:
        made.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise


def _hash_of(path: Path) -> str:
    with path.open("rb") as file:
        return hash_file(file)
