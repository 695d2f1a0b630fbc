"""What goes out of `/api/v1/folders` and `/api/v1/images`."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import Field
from starlette.requests import Request

from app.http.addresses import Addresses
from app.http.openapi import Schema, utc
from app.library.service import FolderCount
from app.types import Hit


class ImageInfo(Schema):
    image_id: str
    object_key: str
    folder: str
    s3_path: str
    image_url: str
    thumbnail_url: str
    caption: str | None
    width: int
    height: int
    size_bytes: int
    modified_at: datetime
    etag: str

    @classmethod
    def of(cls, hit: Hit, request: Request) -> Self:
        record, addresses = hit.record, Addresses(request)
        return cls(
            image_id=record.image_id,
            object_key=record.object_key,
            folder=record.folder,
            s3_path=hit.uri,
            image_url=addresses.image(hit),
            thumbnail_url=addresses.thumbnail(hit),
            caption=record.caption,
            width=record.width,
            height=record.height,
            size_bytes=record.size_bytes,
            modified_at=utc(record.modified_at),
            etag=record.etag,
        )


class FolderInfo(Schema):
    path: Annotated[str, Field(examples=["nature/beach"])]
    direct: Annotated[int, Field(description="pictures in the folder itself")]
    nested: Annotated[int, Field(description="pictures in it and in everything below")]

    @classmethod
    def of(cls, folder: FolderCount) -> Self:
        return cls(path=folder.path, direct=folder.direct, nested=folder.nested)


class FolderList(Schema):
    folders: list[FolderInfo]
    root: Annotated[int, Field(description="pictures outside of every folder")]
    count: Annotated[int, Field(description="all pictures")]
    generation: str
