"""What goes out of `/api/v1/map`: as JSON, or in a compact binary form that a browser draws from without parsing.

The binary form, little endian:

| bytes | |
|---|---|
| 0-3 | `I2SM` |
| 4-7 | uint32, version of this form: 1 |
| 8-11 | uint32, N: how many pictures |
| 12-15 | uint32, J: bytes of JSON at the end |
| 16-31 | 4 float32: least x, least y, greatest x, greatest y |
| 32 | N uint64: the ids; in hex, with 16 digits, the `image_id` |
| 32 + 8N | N pairs of uint16: x and y, from 0 (least) to 65535 (greatest) |
| 32 + 12N | J bytes: the JSON form without `image_ids` and `points` |

    const [n, j] = new Uint32Array(buffer, 8, 2), ids = new BigUint64Array(buffer, 32, n)
    const xy = new Uint16Array(buffer, 32 + 8 * n, 2 * n), imageId = ids[0].toString(16).padStart(16, "0")
    const rest = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 32 + 12 * n, j)))
"""

import struct
from dataclasses import asdict
from typing import Annotated, Any, Final, Literal

import numpy as np
import orjson
from pydantic import Field

from app.http.openapi import Schema
from app.library.map.cartography import PictureMap

BINARY_TYPE: Final = "application/vnd.image2search.map"

MAGIC: Final = b"I2SM"
VERSION: Final = 1

_STEPS: Final = 65535


class MapQuery(Schema):
    format: Annotated[
        Literal["json", "binary"] | None,
        Field(description=f"the form of the answer; without it, as `Accept` says: `{BINARY_TYPE}` for the binary form"),
    ] = None


class MapRegion(Schema):
    name: Annotated[str | None, Field(description="what its pictures show; null until the model has read the words")]
    x: Annotated[float, Field(description="the centre of its pictures")]
    y: float
    count: int


class MapAnswer(Schema):
    generation: str
    layout: Annotated[Literal["pca", "umap"], Field(description="how the coordinates were made")]
    pending: Annotated[
        list[Literal["umap", "names"]],
        Field(description="what is still being worked out; ask again in a while, the answer will be another"),
    ]
    placed: Annotated[int, Field(description="pictures that came later and lie beside their nearest neighbours")]
    count: int
    bounds: Annotated[tuple[float, float, float, float], Field(description="least x, least y, greatest x, greatest y")]
    regions: list[MapRegion]
    image_ids: Annotated[list[str], Field(examples=[["9f2c4b1d00aa37e5"]])]
    points: Annotated[list[tuple[float, float]], Field(description="x and y of each id", examples=[[[0.31, -1.2]]])]


def to_json(answer: PictureMap) -> bytes:
    """The fields of `MapAnswer`, written without making an object for each picture."""
    digits = answer.rows.astype(">i8").tobytes().hex()
    body = _head(answer) | {
        "image_ids": [digits[start : start + 16] for start in range(0, len(digits), 16)],
        "points": np.round(answer.points, 5),
    }
    return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)


def to_binary(answer: PictureMap) -> bytes:
    least, greatest = _bounds(answer)
    span = np.where(greatest > least, greatest - least, 1)
    steps = np.rint((answer.points.astype(np.float64) - least) / span * _STEPS).astype("<u2")
    rest = orjson.dumps(_head(answer))
    return b"".join(
        [
            struct.pack("<4sIII4f", MAGIC, VERSION, len(answer.rows), len(rest), *least, *greatest),
            answer.rows.astype("<i8").tobytes(),
            steps.tobytes(),
            rest,
        ]
    )


def _head(answer: PictureMap) -> dict[str, Any]:
    least, greatest = _bounds(answer)
    return {
        "generation": answer.generation,
        "layout": answer.layout,
        "pending": answer.pending,
        "placed": answer.placed,
        "count": len(answer.rows),
        "bounds": [round(float(each), 5) for each in (*least, *greatest)],
        "regions": [asdict(region) for region in answer.regions],
    }


def _bounds(answer: PictureMap) -> tuple[Any, Any]:
    """(2,) float64 each: the least and the greatest coordinates; 0 without pictures."""
    if not len(answer.points):
        return np.zeros(2), np.zeros(2)
    return answer.points.min(axis=0).astype(np.float64), answer.points.max(axis=0).astype(np.float64)
