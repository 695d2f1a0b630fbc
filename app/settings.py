"""Every setting, its default and its meaning, as one frozen tree read from the environment and `.env`.

Each group below reads the variables of its prefix: `settings.storage.url` is `STORAGE_URL`. Nothing is read at import;
the entry points call `load_settings`.
"""

import os
import re
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.env_file import read_env_file
from app.errors import InvalidSettings


class Group(BaseSettings):
    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, env_ignore_empty=True, protected_namespaces=()
    )


class StorageSettings(Group):
    """Where the pictures are. Credentials and region come from boto3's own `AWS_*` variables."""

    model_config = SettingsConfigDict(env_prefix="STORAGE_")

    url: str = Field(
        "data/demo",
        description="a folder such as `~/Pictures`, or `s3://bucket` / `s3://bucket/prefix` at any S3 endpoint "
        "(`AWS_ENDPOINT_URL`)",
    )
    region: str = Field(
        "",
        validation_alias="AWS_REGION",
        description="region of the bucket; empty: what boto3 finds (`AWS_DEFAULT_REGION`, the profile)",
    )
    exclude: str = Field(
        "@eaDir,#recycle,.thumbnails,?RECYCLE.BIN,lost+found,.Trash*",
        description="names of files and folders that are not indexed, at any depth, as globs with commas between them; "
        "with a slash: paths from the top; `,`: none",
    )
    links: Literal["presigned", "public", "service"] = Field(
        "presigned",
        description="how results link to pictures in S3: signed for a while, by plain public address, or through us",
    )
    public_url: str = Field("", description="base address of public links, such as a CDN; empty: the endpoint's own")
    link_expires_s: int = Field(3600, ge=1, le=604_800, description="how long a signed link works, seconds")
    connect_timeout_s: float = Field(5, gt=0, description="seconds to wait for a connection")
    read_timeout_s: float = Field(
        10, gt=0, description="seconds to wait for data, and after which a request is not tried again"
    )
    max_attempts: int = Field(4, ge=1, description="tries of one S3 request, the first included")
    connections: int = Field(32, ge=1, description="S3 connections kept open")
    multipart_bytes: int = Field(32 << 20, ge=5 << 20, description="objects above this go up in parts, bytes")


class ModelSettings(Group):
    """Which network turns texts and pictures into vectors."""

    model_config = SettingsConfigDict(env_prefix="MODEL_")

    name: str = Field(
        "demo",
        validation_alias="MODEL",
        description="`demo`, or any Hugging Face dual encoder (CLIP, SigLIP, ...) by name or folder",
    )
    revision: str = Field("main", description="branch, tag or commit of a model taken from the hub by name")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where the model runs; auto: CUDA if present")
    runtime: Literal["auto", "openvino", "torch"] = Field(
        "auto", description="what runs the model; auto: PyTorch on CUDA, OpenVINO on the CPU if it can run the model"
    )
    precision: Literal["auto", "fp32", "bf16", "int8"] = Field(
        "auto",
        validation_alias="PRECISION",
        description="arithmetic of the model: `auto`, `fp32`, `bf16`, `int8`; auto: the fastest that keeps the quality",
    )
    cache: Path = Field(
        Path("~/.cache/image2search"),
        description="folder for models converted to OpenVINO, once each; share it between indexer and service",
    )
    threads: int = Field(0, ge=0, description="CPU threads of the model; 0: as many as there are cores")


class ImageSettings(Group):
    """What is accepted as a picture, in uploads and in the bucket."""

    model_config = SettingsConfigDict(env_prefix="IMAGE_")

    max_bytes: int = Field(20 << 20, ge=1, description="largest picture file, bytes")
    max_pixels: int = Field(100_000_000, ge=1, description="largest picture, width x height, checked before decoding")
    max_memory_bytes: int = Field(
        400 << 20,
        ge=32 << 20,
        description="memory for decoding pictures, all at once; a picture that needs more is refused",
    )
    timeout_s: float = Field(10, gt=0, description="processor time that decoding one picture may take, seconds")


class MetadataSettings(Group):
    """What is kept of what the files say about themselves."""

    model_config = SettingsConfigDict(env_prefix="METADATA_")

    gps: bool = Field(
        False,
        description="whether the place where a picture was taken, which cameras write into it, goes into the index",
    )


class BatchSettings(Group):
    """How concurrent requests share the model."""

    model_config = SettingsConfigDict(env_prefix="BATCH_")

    max_size: int = Field(32, ge=1, description="most texts or pictures in one forward pass")
    max_queue: int = Field(256, ge=1, description="requests that may wait for the model; above it: 503 + Retry-After")
    max_wait_ms: float = Field(
        0, ge=0, le=1000, description="how long several requests wait for more to share a pass; a lone one never waits"
    )
    text_cache: int = Field(4096, ge=0, description="texts whose vectors are remembered; 0: none")


class SearchSettings(Group):
    """How pictures are found."""

    model_config = SettingsConfigDict(env_prefix="SEARCH_")

    relevance: bool = Field(
        True,
        description="whether answers say how relevant each picture is; 3,500 texts are embedded for it, once per model",
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


class DeleteSettings(Group):
    """What becomes of pictures that people delete."""

    model_config = SettingsConfigDict(env_prefix="DELETE_")

    mode: Literal["trash", "permanent"] = Field(
        "trash",
        description="trash: deleted pictures are kept in `_trash/` beside the others and can be brought back; "
        "permanent: they are gone",
    )
    keep_days: float = Field(30, ge=0, description="how long the trash keeps them, days")


class DuplicatesSettings(Group):
    """What counts as duplicates (`GET /api/v1/duplicates`)."""

    model_config = SettingsConfigDict(env_prefix="DUPLICATES_")

    burst_s: float = Field(10, ge=0, description="longest pause between two shots of one burst, seconds")


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


def _in_lower_case(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


_HOST_NAME = re.compile(r"\*|(\*\.)?[\w-]+(\.[\w-]+)*", re.ASCII)


def _host_names(value: str) -> str:
    """The names without spaces."""
    names = [name.strip() for name in value.split(",") if name.strip()]
    for name in names:
        if not _HOST_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no host name. Give names without scheme, port and path")
    return ",".join(names)


def _fetched_hosts(value: str) -> str:
    """The names, addresses and networks without spaces, in lower case."""
    hosts = [each.strip().lower() for each in value.split(",") if each.strip()]
    for each in hosts:
        if each == "*" or not (_HOST_NAME.fullmatch(each) or _is_network(each)):
            raise ValueError(
                f"{each!r} is no host. Give names, such as nas.lan, addresses and networks, such as 10.0.0.0/8"
            )
    return ",".join(hosts)


def _is_network(text: str) -> bool:
    try:
        ip_network(text)
    except ValueError:
        return False
    return True


class FetchSettings(Group):
    """How pictures are fetched whose address a client names."""

    model_config = SettingsConfigDict(env_prefix="FETCH_")

    allowed_hosts: Annotated[str, AfterValidator(_fetched_hosts)] = Field(
        "",
        description="hosts that pictures may be fetched from although they are not public: names, addresses and "
        "networks with commas between them, such as `nas.lan,10.1.0.0/16`; empty: none",
    )
    timeout_s: float = Field(20, gt=0, description="seconds that fetching one picture may take, redirects included")
    max_redirects: int = Field(5, ge=0, description="redirects followed for one picture")


class ImportSettings(Group):
    """How much one import may bring (`POST /api/v1/images/import`)."""

    model_config = SettingsConfigDict(env_prefix="IMPORT_")

    max_bytes: int = Field(256 << 20, ge=1, description="largest form of files for one import, bytes")
    max_pictures: int = Field(1000, ge=1, description="most addresses in one import")


_PROVIDERS = ("openverse", "ddgs")


def _providers(value: str) -> str:
    """The names without spaces."""
    names = [each.strip() for each in value.split(",") if each.strip()]
    for each in names:
        if each not in _PROVIDERS:
            raise ValueError(f"{each!r} is no provider of pictures. There are {' and '.join(_PROVIDERS)}")
    return ",".join(names)


class WebSettings(Group):
    """Where pictures are looked for on the web: `image2search fetch`, and imports with a query."""

    model_config = SettingsConfigDict(env_prefix="WEB_")

    providers: Annotated[str, AfterValidator(_providers)] = Field(
        "",
        description="which of `openverse,ddgs` clients of the service may search, with commas between them; empty: "
        "none (`image2search fetch` needs no setting)",
    )
    openverse_url: str = Field(
        "", description="address of another server that answers as Openverse's API; empty: Openverse itself"
    )
    openverse_token: str = Field(
        "", description="access token of an application that is registered at Openverse: more searches a day"
    )


_PUBLIC_URL = re.compile(r"https?://([\w-]+(\.[\w-]+)*|\[[0-9a-f:.]+\])(:\d+)?(/[\w.~-]+)*", re.ASCII)


def _public_url(value: str) -> str:
    """The address without a slash at its end."""
    address = value.rstrip("/")
    if address and not _PUBLIC_URL.fullmatch(address):
        raise ValueError(
            f"{value!r} is no address. Write it as in https://photos.example or https://example.com/photos"
        )
    return address


def _proxies(value: str) -> str:
    """The addresses and networks without spaces; `*` alone where it is one of them."""
    proxies = [each.strip() for each in value.split(",") if each.strip()]
    for each in proxies:
        try:
            if each != "*":
                ip_network(each)
        except ValueError as error:
            raise ValueError(f"{error}. Give addresses, such as 10.0.0.7, and networks, such as 10.0.0.0/8") from error
    return "*" if "*" in proxies else ",".join(proxies)


_ORIGIN = re.compile(r"\*|[a-z][a-z0-9+.-]*://[^/\s?#@]+")


def _origins(value: str) -> str:
    """The origins without spaces, in lower case, as browsers send them."""
    origins = [each.strip().lower() for each in value.split(",") if each.strip()]
    for each in origins:
        if not _ORIGIN.fullmatch(each):
            raise ValueError(f"{each!r} is no origin. Give scheme, host and port, as in https://shop.example, no path")
    return ",".join(origins)


COMPAT = ("flask_clip", "image_backend", "image_search_v2", "openai")
"""Modules of `app.compat`."""


def _compat(value: str) -> str:
    """The names without spaces."""
    names = [each.strip() for each in value.split(",") if each.strip()]
    for each in names:
        if each not in COMPAT and names not in (["all"], ["none"]):
            raise ValueError(f"{each!r} is no API of another system. Give all, none, or some of {','.join(COMPAT)}")
    return ",".join(names) or "none"


class CaptionSettings(Group):
    """Which network describes pictures in words, and how."""

    model_config = SettingsConfigDict(env_prefix="CAPTION_")

    model: str = Field(
        "",
        description="`demo`, or any Hugging Face image-to-text model (BLIP, BLIP-2, GIT, vision encoder-decoder) by "
        "name or folder; empty: pictures get no captions",
    )
    revision: str = Field("main", description="branch, tag or commit of a model taken from the hub by name")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where it runs; auto: CUDA if present")
    runtime: Literal["auto", "openvino", "torch"] = Field(
        "auto", description="what runs the captioner; auto: OpenVINO on the CPU where it gains, else PyTorch"
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="its arithmetic in OpenVINO; auto: bf16 where the CPU multiplies it, else fp32"
    )
    batch_size: int = Field(8, ge=1, description="pictures described together")
    max_tokens: int = Field(30, ge=1, le=500, description="longest caption, in the model's tokens")
    beams: int = Field(
        1, ge=1, le=16, description="captions that are followed at once to find the best; 1: the fastest"
    )


class GenerationSettings(Group):
    """Which network draws pictures from words, and how much of it callers may ask for."""

    model_config = SettingsConfigDict(env_prefix="GENERATION_")

    model: str = Field(
        "",
        description="`demo`, or any diffusers text-to-image pipeline (Stable Diffusion, SDXL, PixArt, ...) by name or "
        "folder; empty: no pictures are generated",
    )
    revision: str = Field("main", description="branch, tag or commit of a model taken from the hub by name")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where it runs; auto: CUDA if present")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="its arithmetic; auto: fp16 or bf16 on CUDA, fp32 on the CPU"
    )
    threads: int = Field(0, ge=0, description="CPU threads of the generator; 0: as many as there are cores")
    attention_slicing: bool = Field(False, description="less memory for a little time")
    offload: Literal["none", "model", "sequential"] = Field(
        "none", description="parts of the pipeline that wait in main memory, for GPUs that can't hold all of it"
    )
    idle_s: float = Field(600, ge=0, description="the model is unloaded after this time without work, seconds")
    max_queue: int = Field(32, ge=1, description="jobs that may wait; above it: 503 + Retry-After")
    max_pixels: int = Field(1 << 20, ge=1, description="largest picture, width x height")
    max_steps: int = Field(100, ge=1, description="most steps of one picture")
    max_count: int = Field(4, ge=1, le=16, description="most pictures of one job")
    max_prompt_chars: int = Field(1000, ge=1, description="longest prompt, characters")
    keep_days: float = Field(7, ge=0, description="how long results are kept that are not saved into a folder, days")
    blocklist: str = Field(
        "", description="a file with words and phrases, one a line, that no prompt may have; empty: none"
    )


class ServerSettings(Group):
    """How the service is reached and what it logs."""

    host: str = Field("127.0.0.1", description="address the service listens on; 0.0.0.0 for every interface")
    port: int = Field(8000, ge=0, le=65535, description="port the service listens on; 0 picks a free one")
    allowed_hosts: Annotated[str, AfterValidator(_host_names)] = Field(
        "",
        description="names of the service besides `localhost`, IP addresses and `HOST`, with commas between them, such "
        "as `photos.example,*.lan`; `*`: any name",
    )
    public_url: Annotated[str, AfterValidator(_public_url)] = Field(
        "",
        description="address of the service as clients see it, such as `https://photos.example/search`, with which "
        "links begin; empty: as the request or a trusted proxy says",
    )
    forwarded_allow_ips: Annotated[str, AfterValidator(_proxies)] = Field(
        "127.0.0.1,::1",
        description="trusted proxies, addresses and networks with commas between them, whose `X-Forwarded-Proto`, "
        "`-Host` and `-Prefix` count; `*`: anyone's; `,`: none",
    )
    cors_origins: Annotated[str, AfterValidator(_origins)] = Field(
        "",
        description="origins whose pages may use the service from a browser, with commas between them, such as "
        "`https://shop.example`; `*`: any page",
    )
    compat: Annotated[str, AfterValidator(_compat)] = Field(
        "all",
        description="other systems' APIs that the service answers too: `all`, `none`, or some of "
        f"`{','.join(COMPAT)}`, with commas between them",
    )
    read_only: bool = Field(
        False, description="whether requests that add, change or delete pictures are refused; index runs go on"
    )
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_in_lower_case)] = Field(
        "info", description="least level that is logged"
    )

    def answers_as(self, name: str) -> bool:
        """Whether `compat` has this system's API."""
        return self.compat == "all" or name in self.compat.split(",")

    @property
    def names(self) -> list[str]:
        """The names by which clients may ask for the service, besides local ones and IP addresses."""
        public = urlsplit(self.public_url).hostname
        return [self.host, *([public] if public else []), *filter(None, self.allowed_hosts.split(","))]


class Settings(BaseModel):
    """The root of the tree: one group a field, each of which reads its own variables."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    storage: StorageSettings = Field(default_factory=StorageSettings)
    model: ModelSettings = Field(default_factory=ModelSettings)
    image: ImageSettings = Field(default_factory=ImageSettings)
    caption: CaptionSettings = Field(default_factory=CaptionSettings)
    generation: GenerationSettings = Field(default_factory=GenerationSettings)
    metadata: MetadataSettings = Field(default_factory=MetadataSettings)
    batch: BatchSettings = Field(default_factory=BatchSettings)
    search: SearchSettings = Field(default_factory=SearchSettings)
    index: IndexSettings = Field(default_factory=IndexSettings)
    delete: DeleteSettings = Field(default_factory=DeleteSettings)
    duplicates: DuplicatesSettings = Field(default_factory=DuplicatesSettings)
    vector: VectorSettings = Field(default_factory=VectorSettings)
    milvus: MilvusSettings = Field(default_factory=MilvusSettings)
    chroma: ChromaSettings = Field(default_factory=ChromaSettings)
    fetch: FetchSettings = Field(default_factory=FetchSettings)
    imports: ImportSettings = Field(default_factory=ImportSettings)
    web: WebSettings = Field(default_factory=WebSettings)
    server: ServerSettings = Field(default_factory=ServerSettings)


def variables() -> Iterator[tuple[str, object, str]]:
    """(name, default, description) of every environment variable, in the order of the tree."""
    for group in Group.__subclasses__():
        for name, field in group.model_fields.items():
            yield _variable(group, name), field.default, field.description or ""


def environment_of(settings: Settings) -> dict[str, str]:
    """The variables from which another process's `load_settings` makes the same settings."""
    groups: list[Group] = [getattr(settings, name) for name in Settings.model_fields]
    return {
        _variable(type(group), name): str(getattr(group, name)) for group in groups for name in type(group).model_fields
    }


def _variable(group: type[Group], field_name: str) -> str:
    alias = group.model_fields[field_name].validation_alias
    return str(alias) if alias else f"{group.model_config.get('env_prefix', '')}{field_name}".upper()


def load_settings(env_file: Path | None = Path(".env")) -> Settings:
    """Settings from the environment, and from `env_file` for what the environment does not say.

    The file's variables are put into the environment, where boto3 finds its `AWS_*` ones.
    Raises InvalidSettings naming each bad variable, an unknown variable of the file, and a line that can't be read.
    """
    if env_file is not None and env_file.is_file():
        known = [name for name, _, _ in variables()]
        for name, value in read_env_file(env_file, known).items():
            os.environ.setdefault(name, value)
    try:
        return Settings()
    except ValidationError as error:
        problems = "; ".join(f"{_variable_of(error, item['loc'])}: {item['msg']}" for item in error.errors())
        raise InvalidSettings(f"Settings can't be used. {problems}. See .env.example.") from error


def _variable_of(error: ValidationError, location: tuple[int | str, ...]) -> str:
    name = str(location[0])
    group = next(cls for cls in Group.__subclasses__() if cls.__name__ == error.title)
    return _variable(group, name) if name in group.model_fields else name
