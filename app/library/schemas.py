"""What goes out of `/api/v1/folders` and `/api/v1/images`."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import Field

from app.http.addresses import Addresses
from app.http.openapi import Schema, utc
from app.http.schemas import SourceInfo
from app.library.service import FolderCount
from app.pictures.formats import format_of_name
from app.types import Hit, ImageRecord


class Location(Schema):
    """Degrees."""

    latitude: Annotated[float, Field(examples=[52.52])]
    longitude: Annotated[float, Field(examples=[13.405])]


class ImageInfo(Schema):
    """Everything that is known of one picture."""

    image_id: Annotated[str, Field(examples=["9f2c4b1d00aa37e5"])]
    object_key: Annotated[str, Field(examples=["nature/sunset1.jpg"])]
    folder: Annotated[str, Field(examples=["nature"])]
    s3_path: Annotated[str, Field(examples=["s3://image2search/nature/sunset1.jpg"])]
    image_url: str
    thumbnail_url: str
    caption: str | None
    caption_by: Annotated[str | None, Field(description="`person`, or the model that wrote the caption")]
    tags: Annotated[list[str], Field(examples=[["holiday", "sea"]])]
    format: Annotated[str | None, Field(description="null where neither content nor name says it", examples=["JPEG"])]
    width: Annotated[int, Field(description="pixels, as the picture is shown", examples=[4000])]
    height: Annotated[int, Field(examples=[3000])]
    size_bytes: Annotated[int, Field(examples=[2_345_678])]
    date: Annotated[datetime, Field(description="when it was taken, or else last modified")]
    taken_at: Annotated[datetime | None, Field(description="by the camera's clock, as UTC where it names no zone")]
    modified_at: datetime
    added_at: Annotated[datetime | None, Field(description="null for pictures indexed before this was kept")]
    camera: Annotated[str | None, Field(examples=["Canon EOS R5"])]
    location: Annotated[Location | None, Field(description="only where `METADATA_GPS` is on")]
    source: SourceInfo | None
    etag: str

    @classmethod
    def of(cls, hit: Hit, addresses: Addresses) -> Self:
        record = hit.record
        return cls(
            image_id=record.image_id,
            object_key=record.object_key,
            folder=record.folder,
            s3_path=hit.uri,
            image_url=addresses.image(hit),
            thumbnail_url=addresses.thumbnail(hit),
            caption=record.caption,
            caption_by=record.caption_by,
            tags=list(record.tags),
            format=_format_of(record),
            width=record.width,
            height=record.height,
            size_bytes=record.size_bytes,
            date=utc(record.date),
            taken_at=_utc(record.taken_at),
            modified_at=utc(record.modified_at),
            added_at=_utc(record.added_at),
            camera=record.camera,
            location=record.location and Location(latitude=record.location[0], longitude=record.location[1]),
            source=record.source and SourceInfo.of(record.source),
            etag=record.etag,
        )


def _format_of(record: ImageRecord) -> str | None:
    """By its content, or else by its name."""
    named = format_of_name(record.object_key.rpartition("/")[2])
    return record.format or (named.name if named else None)


def _utc(seconds: float | None) -> datetime | None:
    return None if seconds is None else utc(seconds)


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
