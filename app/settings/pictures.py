"""Settings of the pictures: where they are, what is accepted, how they come and go."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_settings import SettingsConfigDict

from app.settings.addresses import check_fetched_hosts
from app.settings.group import Group


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


class FetchSettings(Group):
    """How pictures are fetched whose address a client names."""

    model_config = SettingsConfigDict(env_prefix="FETCH_")

    allowed_hosts: Annotated[str, AfterValidator(check_fetched_hosts)] = Field(
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
