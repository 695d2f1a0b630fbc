"""`journal/<n>.json`: one small change, with its vectors unless a server has them.

A vector is base64 of its little-endian float32 values.
"""

import base64
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import numpy as np
import orjson

from app.catalog.changes import Changes
from app.types import ImageRecord, Skip


def journal_to_json(changes: Changes, *, with_vectors: bool) -> bytes:
    added = _dicts(changes.added)
    if with_vectors:
        for item, row in zip(added, np.ascontiguousarray(changes.vectors, "<f4"), strict=True):
            item["vector"] = base64.b64encode(row.tobytes()).decode()
    return orjson.dumps(
        {
            "added": added,
            "removed": sorted(changes.removed),
            "skipped": _dicts(changes.skipped),
            "forgotten": sorted(changes.forgotten),
        }
    )


def journal_from_json(data: bytes) -> Changes:
    content = orjson.loads(data)
    rows = [np.frombuffer(base64.b64decode(item.pop("vector")), "<f4") for item in content["added"] if "vector" in item]
    return Changes(
        added=tuple(ImageRecord(**item) for item in content["added"]),
        vectors=np.array(rows, np.float32),
        removed=frozenset(content["removed"]),
        skipped=tuple(Skip(**item) for item in content["skipped"]),
        forgotten=frozenset(content["forgotten"]),
    )


def _dicts(items: Iterable[ImageRecord | Skip]) -> list[dict[str, Any]]:
    return [asdict(item) for item in items]
