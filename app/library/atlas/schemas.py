"""What goes out of `/api/v1/atlas`."""

from typing import Annotated, Final

import orjson
from pydantic import Field

from app.http.openapi import Schema
from app.library.atlas.layout import PAGE_SIDE, AtlasLayout
from app.library.atlas.service import Place


class AtlasPageInfo(Schema):
    page: int
    url: str
    width: Annotated[int, Field(description=f"pixels, at most {PAGE_SIDE}", examples=[2048])]
    height: Annotated[int, Field(examples=[2048])]


class AtlasImage(Schema):
    id: Annotated[str, Field(description="the picture's `image_id`", examples=["9f2c4b1d00aa37e5"])]
    page: int
    x: Annotated[int, Field(description="pixels from the left of the page", examples=[64])]
    y: Annotated[int, Field(description="pixels from the top", examples=[0])]
    w: Annotated[int, Field(description="pixels, at most `cell`", examples=[64])]
    h: Annotated[int, Field(examples=[48])]


class AtlasInfo(Schema):
    """Every picture that the caller may see, in small, and the pages to cut it from."""

    cell: int
    count: Annotated[int, Field(description="pictures")]
    generation: str
    pages: list[AtlasPageInfo]
    images: list[AtlasImage]


EXAMPLE: Final = {
    "cell": 64,
    "count": 2,
    "generation": "00000001-5d2c1a90",
    "pages": [
        {"page": 0, "url": "http://localhost:8000/api/v1/atlas/0?v=4b1d00aa9f2c37e5", "width": 128, "height": 64}
    ],
    "images": [
        {"id": "9f2c4b1d00aa37e5", "page": 0, "x": 0, "y": 0, "w": 64, "h": 48},
        {"id": "0564ce1a42029c3c", "page": 0, "x": 64, "y": 0, "w": 43, "h": 64},
    ],
}


def to_json(layout: AtlasLayout, urls: list[str], generation: str, places: list[Place]) -> bytes:
    """An `AtlasInfo`: its models would take seconds for 100,000 pictures. `urls` are the addresses of the pages."""
    sizes = map(layout.size_of, range(layout.pages))
    pages = [
        {"page": page, "url": url, "width": width, "height": height}
        for page, (url, (width, height)) in enumerate(zip(urls, sizes, strict=True))
    ]
    answer = {"cell": layout.cell, "count": len(places), "generation": generation, "pages": pages, "images": places}
    return orjson.dumps(answer)
