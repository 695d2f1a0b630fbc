"""What goes in and out of the routes that change the library: adding, describing, deleting, bringing back."""

from typing import Annotated, Literal, Self

from fastapi import UploadFile
from pydantic import ConfigDict, Field, model_validator

from app.catalog.filters import Filters
from app.http.filters import PictureFilters
from app.http.openapi import Schema
from app.ingest.fetching import Url
from app.library.editing.curating import MAX_CAPTION_CHARS, MAX_TAGS, UNSET, Words, checked_caption, checked_tags
from app.library.editing.deleting import Deletion, Selected, Selection

MAX_IDS = 10_000

FOLDER = "folder to put it into; a new one comes into being; empty: the top"
NAME = "file name to store it under; a name that is taken gets a number"

Folder = Annotated[str, Field(max_length=1024, description=FOLDER, examples=["nature/beach"])]
Name = Annotated[str, Field(max_length=1024, description=NAME, examples=["sunset.jpg"])]
Caption = Annotated[str | None, Field(max_length=MAX_CAPTION_CHARS, description="what it shows, in your words")]
Tags = Annotated[list[str], Field(max_length=4 * MAX_TAGS, description=f"at most {MAX_TAGS}", examples=[["summer"]])]


class AddFile(Schema):
    """A form, `multipart/form-data`."""

    file: Annotated[
        UploadFile, Field(description="a picture: JPEG, PNG, GIF, BMP, TIFF, WebP, HEIC, AVIF or JPEG 2000")
    ]
    folder: Folder = ""
    name: Annotated[str, Field(max_length=1024, description=f"{NAME}; empty: the name of the file", examples=[""])] = ""
    caption: Annotated[str, Field(max_length=MAX_CAPTION_CHARS, description="what it shows", examples=[""])] = ""
    tags: Tags = Field(default_factory=list)


class AddUrl(Schema):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"url": "https://example.org/photos/sunset.jpg", "folder": "nature", "tags": ["evening"]}]
        }
    )

    url: Url
    folder: Folder = ""
    name: Annotated[str, Field(max_length=1024, description=f"{NAME}; empty: as at its address", examples=[""])] = ""
    caption: Caption = None
    tags: Tags = Field(default_factory=list)


class Description(Schema):
    """What is left out stays as it is."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"caption": "Anna at the lake", "tags": ["summer", "family"]}, {"tags": []}]}
    )

    caption: Caption = None
    tags: Tags | None = None

    def words(self) -> Words:
        """Raises InvalidInput."""
        given = self.model_fields_set
        return Words(
            checked_caption(self.caption) if "caption" in given else UNSET,
            checked_tags(self.tags or []) if "tags" in given else UNSET,
        )


class CaptionRequest(Schema):
    model_config = ConfigDict(json_schema_extra={"examples": [{}, {"replace": True}]})

    replace: Annotated[
        bool, Field(strict=True, description="also where a person has written or deleted the caption; 409 otherwise")
    ] = False


class SelectedPictures(Schema):
    """Pictures by their ids, or all that fit the filters; with a query the ones that fit it best."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"image_ids": ["9f2c4b1d00aa37e5"]},
                {"filters": {"folder": ["imports/2024"]}, "dry_run": True},
                {"filters": {}, "query": "blurry screenshot", "limit": 100, "dry_run": True},
            ]
        }
    )

    image_ids: Annotated[list[str] | None, Field(min_length=1, max_length=MAX_IDS)] = None
    filters: Annotated[PictureFilters | None, Field(description="`{}` means every picture")] = None
    query: Annotated[str, Field(max_length=2000, description="only with `filters`, and with a limit of some kind")] = ""
    limit: Annotated[int | None, Field(ge=1, description="how many of the best, at most")] = None
    min_score: Annotated[float | None, Field(ge=-1, le=1, description="at least this cosine with the query")] = None

    @model_validator(mode="after")
    def _is_one_or_the_other(self) -> Self:
        if (self.image_ids is None) == (self.filters is None):
            raise ValueError("give either image_ids or filters")
        if not self.query.strip():
            if self.limit is not None or self.min_score is not None:
                raise ValueError("limit and min_score need a query, which says which pictures are the best")
        elif self.filters is None or (self.limit is None and self.min_score is None):
            raise ValueError("a query needs filters (they may be {}), and a limit or min_score: it ranks all pictures")
        return self

    def selection(self) -> Selection:
        filters: Filters | None = self.filters.filters() if self.filters is not None else None
        return Selection(tuple(self.image_ids or ()), filters, self.query.strip(), self.limit, self.min_score)


class DeletePictures(SelectedPictures):
    dry_run: Annotated[bool, Field(strict=True, description="only count the pictures")] = False
    permanently: Annotated[bool, Field(strict=True, description="keep nothing in the trash")] = False


class DeletionInfo(Schema):
    deletion_id: Annotated[str | None, Field(description="null in a dry run")]
    state: Literal["dry_run", "running", "done", "failed"]
    total: Annotated[int, Field(description="pictures that are meant")]
    count: Annotated[int, Field(description="pictures that are deleted so far")]
    missing: Annotated[list[str], Field(description="ids that no picture has")]
    can_undo: Annotated[bool, Field(description="whether POST .../undo brings them back")]
    error: str | None = None

    @classmethod
    def of(cls, deletion: Deletion) -> Self:
        return cls(
            deletion_id=deletion.id,
            state=deletion.state.value,
            total=deletion.total,
            count=deletion.count,
            missing=list(deletion.missing),
            can_undo=deletion.keeps and deletion.count > 0,
            error=deletion.error,
        )

    @classmethod
    def of_dry_run(cls, selected: Selected) -> Self:
        total, missing = len(selected.rows), list(selected.missing)
        return cls(deletion_id=None, state="dry_run", total=total, count=0, missing=missing, can_undo=False)


class RestoredInfo(Schema):
    restored: Annotated[list[str], Field(description="ids of the pictures that are back")]
    lost: Annotated[list[str], Field(description="keys of pictures whose files were gone before they were deleted")]
