"""What goes in and out of `/api/v1/index` and `/health`."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field

from app.catalog.hubs import Examination
from app.encoder.batching import TextCache
from app.http.openapi import Schema, utc
from app.indexing.jobs import Job
from app.types import ModelIdentity
from app.vectors.base import Accuracy


class IndexRun(Schema):
    model_config = ConfigDict(json_schema_extra={"examples": [{}, {"rebuild": False, "allow_shrink": False}]})

    rebuild: Annotated[bool, Field(strict=True, description="embed everything again and replace the index")] = False
    allow_shrink: Annotated[bool, Field(strict=True, description="remove gone pictures, however many they are")] = False
    captions: Annotated[
        bool, Field(strict=True, description="describe pictures that have no caption; 501 without CAPTION_MODEL")
    ] = False


class ModelInfo(Schema):
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
        return cls(**asdict(identity))


class VectorStoreInfo(Schema):
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


class TextCacheInfo(Schema):
    texts: Annotated[int, Field(description="texts whose vectors are remembered")]
    hits: Annotated[int, Field(description="searches that found theirs, since the start")]
    misses: int

    @classmethod
    def of(cls, cache: TextCache) -> Self:
        return cls(texts=len(cache), hits=cache.hits, misses=cache.misses)


class FewerHubsInfo(Schema):
    """How many captions found their own picture as the first or among the first ten, when the index was published."""

    captions: Annotated[int, Field(description="how many looked for their picture")]
    recall_at_1: Annotated[float, Field(description="the share that found it first, by cosine")]
    recall_at_10: Annotated[float, Field(description="and among the first ten")]
    fewer_hubs_recall_at_1: Annotated[float, Field(description="the same with fewer hubs")]
    fewer_hubs_recall_at_10: float
    gains: Annotated[bool, Field(description="searches of texts rank with fewer hubs, unless SEARCH_FEWER_HUBS is off")]

    @classmethod
    def of(cls, found: Examination) -> Self:
        return cls(
            captions=found.captions,
            recall_at_1=found.plain[0],
            recall_at_10=found.plain[1],
            fewer_hubs_recall_at_1=found.corrected[0],
            fewer_hubs_recall_at_10=found.corrected[1],
            gains=found.gains,
        )


class IndexInfo(Schema):
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
    fewer_hubs: Annotated[
        FewerHubsInfo | None,
        Field(description="whether the library's captions find their pictures better with fewer hubs; null: not known"),
    ]
    text_cache: TextCacheInfo
    problem: Annotated[str | None, Field(description="why the newest published state is not the one served")]


class JobProgress(Schema):
    phase: str
    done: int | None
    total: int | None


class JobInfo(Schema):
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
            progress=JobProgress(**asdict(job.progress)) if job.progress else None,
            report=job.report.as_dict() if job.report else None,
            error=job.error,
            created_at=utc(job.created_at),
            finished_at=utc(job.finished_at) if job.finished_at else None,
        )


class Live(Schema):
    status: Literal["ok"] = "ok"


class Ready(Schema):
    state: Annotated[Literal["ready", "degraded"], Field(description="degraded: an older generation is served")]
    generation: str
    reasons: list[str]


def accuracy_statement(engine: str, accuracy: Accuracy) -> str:
    """What a person should know about the answers."""
    if accuracy.exact:
        return "Exact: every vector is compared."
    way = f"Approximate: {engine} looks where near vectors are likely ({accuracy.shape})"
    if accuracy.recall is None:
        return f"{way}; how many of the true nearest it finds was not measured."
    share, queries = 100 * accuracy.recall, accuracy.queries
    return f"{way}; it found {share:.1f} % of the true 10 nearest on {queries} queries when the index was built."
