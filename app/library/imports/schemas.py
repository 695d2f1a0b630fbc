"""What goes in and out of `/api/v1/images/import`."""

from datetime import datetime
from typing import Annotated, Literal, Self

from fastapi import UploadFile
from pydantic import ConfigDict, Field, model_validator

from app.http.openapi import Schema, utc
from app.ingest.fetching import Url
from app.ingest.web.provider import MAX_PICTURES
from app.library.editing.schemas import Folder
from app.library.imports.job import Import, ImportState, Item, Outcome

MAX_FILES = 100
"""In one form. Their names and contents up to 1 MB each are in memory."""


class ImportFiles(Schema):
    """A form, `multipart/form-data`."""

    files: Annotated[list[UploadFile], Field(min_length=1, max_length=MAX_FILES, description="the pictures")]
    folder: Folder = ""


class ImportFromWeb(Schema):
    """Pictures by their addresses, or what to look for on the web."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"urls": ["https://example.org/a.jpg", "https://example.org/b.jpg"], "folder": "holidays"},
                {"query": "lighthouse at night", "provider": "openverse", "count": 20, "folder": "lighthouses"},
            ]
        }
    )

    urls: Annotated[list[Url] | None, Field(min_length=1, description="at most `IMPORT_MAX_PICTURES`")] = None
    query: Annotated[
        str | None, Field(min_length=1, max_length=200, pattern=r"\S", description="what to look for on the web")
    ] = None
    provider: Annotated[
        Literal["openverse", "ddgs"], Field(description="where to look; the service must allow it (`WEB_PROVIDERS`)")
    ] = "openverse"
    count: Annotated[int, Field(ge=1, le=MAX_PICTURES, strict=True, description="how many pictures to look for")] = 20
    folder: Folder = ""

    @model_validator(mode="after")
    def _is_one_or_the_other(self) -> Self:
        if (self.urls is None) == (self.query is None):
            raise ValueError("give either urls or query")
        return self


class ImportedItem(Schema):
    """One picture."""

    name: Annotated[str, Field(description="file name or address, as it was sent", examples=["sunset.jpg"])]
    outcome: Annotated[
        Outcome,
        Field(
            description="`present`: the folder had a picture of the same content; `refused`: it can't be added as it "
            "is; `failed`: it could not be fetched or added now and may work another time; `left`: the import "
            "was cancelled, or the service stopped, before its turn"
        ),
    ]
    image_id: Annotated[str | None, Field(examples=["9f2c4b1d00aa37e5"])]
    object_key: Annotated[str | None, Field(examples=["holidays/sunset.jpg"])]
    reason: Annotated[str | None, Field(description="why it was not added")]

    @classmethod
    def of(cls, item: Item) -> Self:
        return cls(
            name=item.name,
            outcome=item.outcome,
            image_id=item.image_id,
            object_key=item.object_key,
            reason=item.reason,
        )


class ImportCounts(Schema):
    """Pictures by their outcome."""

    waiting: int
    added: int
    present: int
    refused: int
    failed: int
    left: int


class ImportProgress(Schema):
    """How far an import is."""

    id: str
    state: Annotated[
        ImportState,
        Field(
            description="`failed`: the web search failed; `cancelled`: a client cancelled it; `stopped`: the service "
            "stopped before the end"
        ),
    ]
    folder: str
    query: str | None
    total: Annotated[int | None, Field(description="null until the web search has answered")]
    counts: ImportCounts
    error: str | None
    created_at: datetime
    finished_at: datetime | None

    @classmethod
    def of(cls, job: Import) -> Self:
        is_searching = job.query and not job.items and not job.is_over
        return cls(
            id=job.id,
            state=job.state,
            folder=job.folder,
            query=job.query and job.query.query,
            total=None if is_searching else len(job.items),
            counts=ImportCounts(**job.counts()),
            error=job.error,
            created_at=utc(job.created_at),
            finished_at=utc(job.finished_at) if job.finished_at else None,
        )


class ImportInfo(ImportProgress):
    """How far an import is, and what became of each picture."""

    items: list[ImportedItem] = Field(default_factory=list)

    @classmethod
    def of(cls, job: Import) -> Self:
        return super().of(job).model_copy(update={"items": [ImportedItem.of(item) for item in job.items]})
