"""The built app, read once: at most half a megabyte, kept as it is and compressed."""

import gzip
import hashlib
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

INDEX: Final = "index.html"

_PACKAGED: Final = Path(__file__).parent / "dist"
"""Where a wheel has it."""
_CHECKOUT: Final = Path(__file__).parents[2] / "web" / "dist"

_TYPES: Final = {".js": "text/javascript", ".md": "text/plain", ".svg": "image/svg+xml"}
"""The system's table of types may say otherwise."""


@dataclass(frozen=True, slots=True)
class BuiltFile:
    content: bytes
    gzipped: bytes
    media_type: str
    etag: str
    """In quotation marks, as the header has it."""


def built_file(name: str, content: bytes) -> BuiltFile:
    media_type = _TYPES.get(Path(name).suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    etag = f'"{hashlib.blake2b(content, digest_size=12).hexdigest()}"'
    return BuiltFile(content, gzip.compress(content, mtime=0), media_type, etag)


@cache
def built_app() -> Mapping[str, BuiltFile]:
    """What `make web` has built, as it was when it was first asked for."""
    return read_built_app(_PACKAGED if _PACKAGED.is_dir() else _CHECKOUT)


def read_built_app(folder: Path) -> Mapping[str, BuiltFile]:
    """By paths below the folder, such as `assets/index-Bq2x.js`; empty where the app is not built."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {
        name: built_file(name, path.read_bytes()) for path in paths for name in (path.relative_to(folder).as_posix(),)
    }
