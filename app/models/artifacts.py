"""Folders on this disk with what was costly to make, trusted only when they are whole and were made by the same means.

Each holds files and a `manifest.json` with their hashes and what they were made by.
"""

import hashlib
import json
import logging
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

logger = logging.getLogger(__name__)

MANIFEST: Final = "manifest.json"


def find(folder: Path, made_by: Mapping[str, Any]) -> dict[str, Any] | None:
    """Its manifest; None when that, or a file it names, is missing, damaged, or made by other means."""
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_bytes())
        whole = all(_hash(folder / name) == digest for name, digest in manifest["files"].items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return manifest if whole and made_by.items() <= manifest.items() else None


def make(folder: Path, made_by: Mapping[str, Any], fill: Callable[[Path], Mapping[str, Any]]) -> dict[str, Any]:
    """Have `fill` write the files of a new folder and say what its manifest is to tell besides; answers that.

    What was there before is dropped. Raises OSError, and what `fill` raises.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".making-") as workplace:
        made = Path(workplace, "new")
        made.mkdir()
        said = fill(made)
        manifest = {**made_by, **said, "files": {path.name: _hash(path) for path in sorted(made.iterdir())}}
        (made / MANIFEST).write_text(json.dumps(manifest, indent=1))
        if folder.exists():
            folder.rename(Path(workplace, "old"))
        _put(made, folder)
    return manifest


def _put(made: Path, folder: Path) -> None:
    """Move a whole folder into place, unless another process was first. Raises OSError."""
    try:
        made.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, partial(hashlib.blake2b, digest_size=16)).hexdigest()
