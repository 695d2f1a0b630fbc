"""Settings of searches: the index, where vectors are searched, relevance, sessions."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_settings import SettingsConfigDict

from app.settings.addresses import check_redis_address
from app.settings.group import Group


class SearchSettings(Group):
    """How pictures are found."""

    model_config = SettingsConfigDict(env_prefix="SEARCH_")

    relevance: bool = Field(
        True,
        description="whether answers say how relevant each picture is; 3,500 texts are embedded for it, once per model",
    )
    fewer_hubs: Literal["auto", "off"] = Field(
        "auto",
        description="whether pictures that are near to every text come first less often (docs/relevance.md); auto: "
        "where the index run saw that the library's captions find their pictures better",
    )
    cursor_key: str = Field(
        "",
        validation_alias="CURSOR_KEY",
        description="secret with which cursors of pages are signed, the same for all replicas; empty: a new one at "
        "each start, so that a cursor is good for one process",
    )
    page_states: int = Field(
        16, ge=1, description="earlier states of the index that are kept in memory for pages of searches"
    )
    page_keep_s: float = Field(600, gt=0, description="how long each is kept after its last page, seconds")


class SessionSettings(Group):
    """Search sessions (`/api/v1/sessions`): how long they are kept, how many, and where."""

    model_config = SettingsConfigDict(env_prefix="SESSION_")

    idle_s: float = Field(
        1800, gt=0, description="a search session and its uploads are deleted after this time without requests, seconds"
    )
    uploads: int = Field(5, ge=0, description="pictures that one session keeps, as vectors and thumbnails")
    max: int = Field(1000, ge=1, description="sessions at the same time; above it: 503 + Retry-After")
    redis_url: Annotated[str, AfterValidator(check_redis_address)] = Field(
        "",
        validation_alias="REDIS_URL",
        description="Redis that keeps the sessions, such as `redis://localhost:6379/0`, so that replicas share them "
        "and a restart loses none; empty: the memory of the process",
    )


class IndexSettings(Group):
    """How the index is made, kept and followed."""

    model_config = SettingsConfigDict(env_prefix="INDEX_")

    url: str = Field(
        "",
        description="where index and thumbnails are kept, a folder or `s3://bucket`, for pictures that stay read-only; "
        "empty: with the pictures",
    )
    batch_size: int = Field(64, ge=1, description="pictures embedded together by the indexer")
    readers: int = Field(8, ge=1, description="threads that read and decode pictures")
    look_ahead: int = Field(128, ge=1, description="pictures read ahead of the model; bounds the indexer's memory")
    thumbnails: bool = Field(
        False,
        description="whether the indexer makes the small thumbnails of the pictures that it reads; else each one is "
        "made when it is first asked for",
    )
    max_shrink: float = Field(0.5, ge=0, le=1, description="share of the index that one run may remove without a word")
    keep_generations: int = Field(3, ge=1, description="generations kept in the bucket, the current one included")
    journal_max_rows: int = Field(
        5000, ge=0, description="changes up to this many are appended; above it they are folded into a new generation"
    )
    journal_max_files: int = Field(32, ge=0, description="appended files above which they are folded as well")
    poll_s: float = Field(5, gt=0, description="how often the service looks for a new index, seconds")
    lock_ttl_s: float = Field(
        60, ge=3, description="how long a lock must stay unchanged before the next indexer takes it over, seconds"
    )


class VectorSettings(Group):
    """Where vectors are searched."""

    model_config = SettingsConfigDict(env_prefix="VECTOR_")

    store: Literal["faiss", "milvus", "chroma"] = Field(
        "faiss", description="which engine searches the vectors: FAISS in the process, or a server"
    )
    shape: Literal["auto", "flat", "ivf_sq8", "ivf_rabitq"] = Field(
        "auto", description="how FAISS keeps them (docs/scale.md); auto: by their number"
    )
    recall: float = Field(
        0.98, gt=0, le=1, description="share of the true 10 nearest that FAISS is tuned to find when not exact"
    )


class MilvusSettings(Group):
    """The Milvus that `VECTOR_STORE=milvus` uses."""

    model_config = SettingsConfigDict(env_prefix="MILVUS_")

    uri: str = Field(
        "milvus.db",
        description="Milvus, standalone or distributed (`http://localhost:19530`), or a folder for Milvus Lite",
    )
    token: str = Field("", description="`user:password` or API key, where the server asks for one")
    database: str = Field("", description="database in the server; empty: its default one")
    timeout_s: float = Field(10, gt=0, description="seconds to wait for an answer")


class ChromaSettings(Group):
    """The Chroma that `VECTOR_STORE=chroma` uses."""

    model_config = SettingsConfigDict(env_prefix="CHROMA_")

    url: str = Field("http://localhost:8001", description="address of a Chroma server (`chroma run`)")
    token: str = Field("", description="sent as `Authorization: Bearer`, where the server asks for one")
    timeout_s: float = Field(10, gt=0, description="seconds to wait for an answer")
