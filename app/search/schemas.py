"""What goes in and out over HTTP under `/api/v1`. Unknown fields are refused."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from fastapi import UploadFile
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from starlette.requests import Request

from app.encoder.text_cache import TextCache
from app.http.addresses import Addresses
from app.indexing.jobs import Job
from app.library.service import FolderCount
from app.search.service import FoundImage, SearchAnswer
from app.types import ModelIdentity
from app.vectors.base import Accuracy

MAX_FOLDER_CHARS = 1024
"""S3's longest key."""

MAX_QUERY_CHARS = 2000
"""Far more than any model reads; it bounds what one query may cost."""


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("say what to look for; it can't be empty")
    return text


def utc(seconds: float) -> datetime:
    """RFC 3339 in the answer, for seconds since the epoch inside."""
    return datetime.fromtimestamp(seconds, UTC)


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", protected_namespaces=())


Query = Annotated[
    str,
    Field(min_length=1, max_length=MAX_QUERY_CHARS, description="what to look for, in words"),
    AfterValidator(_not_blank),
]
Folder = Annotated[
    str | None,
    Field(max_length=MAX_FOLDER_CHARS, description="search only in and below this folder; unknown: 404"),
]


class TextSearch(Model):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"query": "red car in the city", "k": 3},
                {"query": "show me nature photos"},
                {"query": "a dog at the beach", "k": 10, "folder": None, "auto_folder": False},
            ]
        }
    )

    query: Query
    k: Annotated[int, Field(ge=1, le=100, strict=True, description="how many pictures, at most")] = 5
    folder: Folder = None
    auto_folder: Annotated[bool, Field(strict=True, description="look for a folder's name in the query")] = True


class ImageSearch(Model):
    """A form, `multipart/form-data`."""

    file: Annotated[UploadFile, Field(description="a picture: PNG, JPEG, GIF, BMP, TIFF or WebP")]
    k: Annotated[int, Field(ge=1, le=100, description="how many pictures, at most", examples=[3])] = 5
    folder: Folder = None


class IndexRun(Model):
    model_config = ConfigDict(json_schema_extra={"examples": [{}, {"rebuild": False, "allow_shrink": False}]})

    rebuild: Annotated[bool, Field(strict=True, description="embed everything again and replace the index")] = False
    allow_shrink: Annotated[bool, Field(strict=True, description="remove gone pictures, however many they are")] = False


class ImageResult(Model):
    image_id: Annotated[str, Field(examples=["9f2c4b1d00aa37e5"])]
    object_key: Annotated[str, Field(examples=["nature/sunset1.jpg"])]
    folder: Annotated[str, Field(examples=["nature"])]
    s3_path: Annotated[str, Field(examples=["s3://image2search/nature/sunset1.jpg"])]
    score: Annotated[float, Field(description="cosine, higher is better", examples=[0.31])]
    distance: Annotated[float, Field(description="Euclidean, lower is better, 0 to 2", examples=[1.17])]
    image_url: str
    thumbnail_url: str
    caption: str | None = None

    @classmethod
    def of(cls, image: FoundImage, addresses: Addresses) -> Self:
        record = image.record
        return cls(
            image_id=record.image_id,
            object_key=record.object_key,
            folder=record.folder,
            s3_path=image.uri,
            score=image.score,
            distance=image.distance,
            image_url=addresses.image(image),
            thumbnail_url=addresses.thumbnail(image),
            caption=record.caption,
        )


class SearchedFolder(Model):
    path: Annotated[str, Field(examples=["nature"])]
    source: Literal["asked", "detected"]
    words: Annotated[list[str], Field(description="the words of the query that named it", examples=[["nature"]])]
    also: Annotated[list[str], Field(description="further folders of the same name, searched too")]
    embedded_text: Annotated[str | None, Field(description="the text that was left to look for")]


class SearchResult(Model):
    results: list[ImageResult]
    folder: SearchedFolder | None
    next_cursor: str | None = None
    generation: str
    took_ms: float

    @classmethod
    def of(cls, answer: SearchAnswer, request: Request) -> Self:
        choice = answer.folder
        folder = choice and SearchedFolder(
            path=choice.path,
            source=choice.source,
            words=list(choice.words),
            also=list(choice.also),
            embedded_text=choice.embedded_text,
        )
        addresses = Addresses(request)
        results = [ImageResult.of(image, addresses) for image in answer.images]
        return cls(results=results, folder=folder, generation=answer.generation, took_ms=answer.took_ms)


class ImageInfo(Model):
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
    def of(cls, image: FoundImage, request: Request) -> Self:
        record = image.record
        return cls(
            image_id=record.image_id,
            object_key=record.object_key,
            folder=record.folder,
            s3_path=image.uri,
            image_url=Addresses(request).image(image),
            thumbnail_url=Addresses(request).thumbnail(image),
            caption=record.caption,
            width=record.width,
            height=record.height,
            size_bytes=record.size_bytes,
            modified_at=utc(record.modified_at),
            etag=record.etag,
        )


class FolderInfo(Model):
    path: Annotated[str, Field(examples=["nature/beach"])]
    direct: Annotated[int, Field(description="pictures in the folder itself")]
    nested: Annotated[int, Field(description="pictures in it and in everything below")]

    @classmethod
    def of(cls, folder: FolderCount) -> Self:
        return cls(path=folder.path, direct=folder.direct, nested=folder.nested)


class FolderList(Model):
    folders: list[FolderInfo]
    root: Annotated[int, Field(description="pictures outside of every folder")]
    count: Annotated[int, Field(description="all pictures")]
    generation: str


class ModelInfo(Model):
    name: str
    fingerprint: str
    dimension: int
    precision: Annotated[str, Field(description="arithmetic of its vectors: fp32, bf16, int8")]
    runtime: Annotated[str, Field(description="what computed them")]
    agreement: Annotated[
        float | None, Field(description="mean cosine of its vectors with those of fp32; null where it was not measured")
    ]

    @classmethod
    def of(cls, identity: ModelIdentity) -> Self:
        return cls(
            name=identity.name,
            fingerprint=identity.fingerprint,
            dimension=identity.dimension,
            precision=identity.precision,
            runtime=identity.runtime,
            agreement=identity.agreement,
        )


class VectorStoreInfo(Model):
    engine: str
    shape: Annotated[str | None, Field(description="how it keeps the vectors; null while no index is loaded")]
    exact: Annotated[bool | None, Field(description="every vector is compared: no neighbour is missed")]
    recall: Annotated[
        float | None, Field(description="share of the true 10 nearest that were found when the index was built")
    ]
    recall_queries: Annotated[int, Field(description="how many queries that share is of")]
    statement: Annotated[str, Field(description="what is approximate, in a sentence")]

    @classmethod
    def of(cls, engine: str, accuracy: Accuracy | None) -> Self:
        return cls(
            engine=engine,
            shape=accuracy.shape if accuracy else None,
            exact=accuracy.exact if accuracy else None,
            recall=accuracy.recall if accuracy else None,
            recall_queries=accuracy.queries if accuracy else 0,
            statement=accuracy_statement(engine, accuracy) if accuracy else "No index is loaded.",
        )


class TextCacheInfo(Model):
    texts: Annotated[int, Field(description="texts whose vectors are remembered")]
    hits: Annotated[int, Field(description="searches that found theirs, since the start")]
    misses: int

    @classmethod
    def of(cls, cache: TextCache) -> Self:
        return cls(texts=len(cache), hits=cache.hits, misses=cache.misses)


class IndexInfo(Model):
    generation: Annotated[str | None, Field(description="null while no index is loaded")]
    count: int
    folders: int
    skipped: Annotated[int, Field(description="pictures that could not be read")]
    journal: Annotated[int, Field(description="number of the last appended change")]
    created_at: datetime | None
    model: Annotated[ModelInfo, Field(description="the model that answers queries")]
    indexed_by: Annotated[ModelInfo | None, Field(description="the model that made the index")]
    made_with: Annotated[
        list[str], Field(description="precision and runtime of every run that made vectors; several mean a mixture")
    ]
    notice: Annotated[str | None, Field(description="what the model's makers want you to know")]
    vector_store: VectorStoreInfo
    text_cache: TextCacheInfo
    problem: Annotated[str | None, Field(description="why the newest published state is not the one served")]


class JobProgress(Model):
    phase: str
    done: int | None
    total: int | None


class JobInfo(Model):
    id: str
    state: Literal["queued", "running", "succeeded", "failed"]
    progress: JobProgress | None
    report: dict[str, Any] | None
    error: str | None
    created_at: datetime
    finished_at: datetime | None

    @classmethod
    def of(cls, job: Job) -> Self:
        return cls(
            id=job.id,
            state=job.state.value,
            progress=JobProgress(**job.progress) if job.progress else None,
            report=job.report,
            error=job.error,
            created_at=utc(job.created_at),
            finished_at=utc(job.finished_at) if job.finished_at else None,
        )


class Live(Model):
    status: Literal["ok"] = "ok"


class Ready(Model):
    state: Annotated[Literal["ready", "degraded"], Field(description="degraded: an older generation is served")]
    generation: str
    reasons: list[str]


class Problem(BaseModel):
    """RFC 9457."""

    type: Annotated[str, Field(examples=["urn:image2search:problem:folder-not-found"])]
    title: Annotated[str, Field(examples=["No such folder"])]
    status: Annotated[int, Field(examples=[404])]
    detail: Annotated[str, Field(examples=["No indexed picture lies in the folder 'natur'. Did you mean 'nature'?"])]
    instance: Annotated[str, Field(examples=["/api/v1/search/text"])]
    request_id: Annotated[str, Field(examples=["2f1f0d5c6b0a4a3f9a1b6a8d3f0c9e21"])]
    errors: Annotated[list[dict[str, Any]] | None, Field(description="of a 422: where and what")] = None
    reasons: Annotated[list[str] | None, Field(description="of /health/ready")] = None


def accuracy_statement(engine: str, accuracy: Accuracy) -> str:
    """What a person should know of the answers."""
    if accuracy.exact:
        return "Exact: every vector is compared."
    way = f"Approximate: {engine} looks where near vectors are likely ({accuracy.shape})"
    if accuracy.recall is None:
        return f"{way}; how many of the true nearest it finds was not measured."
    share, queries = 100 * accuracy.recall, accuracy.queries
    return f"{way}; it found {share:.1f} % of the true 10 nearest on {queries} queries when the index was built."
