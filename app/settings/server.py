"""Settings of the server: how it is reached, what it answers, what it logs."""

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field

from app.settings.addresses import check_host_names, check_origins, check_proxies, check_public_url
from app.settings.group import Group


def _in_lower_case(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


COMPAT = ("flask_clip", "image_backend", "image_search_v2", "openai")
"""Modules of `app.compat`."""


def _compat(value: str) -> str:
    """The names without spaces."""
    names = [each.strip() for each in value.split(",") if each.strip()]
    for each in names:
        if each not in COMPAT and names not in (["all"], ["none"]):
            raise ValueError(f"{each!r} is no API of another system. Give all, none, or some of {','.join(COMPAT)}")
    return ",".join(names) or "none"


class ServerSettings(Group):
    """How the service is reached and what it logs."""

    host: str = Field("127.0.0.1", description="address the service listens on; 0.0.0.0 for every interface")
    port: int = Field(8000, ge=0, le=65535, description="port the service listens on; 0 picks a free one")
    allowed_hosts: Annotated[str, AfterValidator(check_host_names)] = Field(
        "",
        description="names of the service besides `localhost`, IP addresses and `HOST`, with commas between them, such "
        "as `photos.example,*.lan`; `*`: any name",
    )
    public_url: Annotated[str, AfterValidator(check_public_url)] = Field(
        "",
        description="address of the service as clients see it, such as `https://photos.example/search`, with which "
        "links begin; empty: as the request or a trusted proxy says",
    )
    forwarded_allow_ips: Annotated[str, AfterValidator(check_proxies)] = Field(
        "127.0.0.1,::1",
        description="trusted proxies, addresses and networks with commas between them, whose `X-Forwarded-Proto`, "
        "`-Host` and `-Prefix` count; `*`: anyone's; `,`: none",
    )
    cors_origins: Annotated[str, AfterValidator(check_origins)] = Field(
        "",
        description="origins whose pages may use the service from a browser, with commas between them, such as "
        "`https://shop.example`; `*`: any page",
    )
    compat: Annotated[str, AfterValidator(_compat)] = Field(
        "all",
        description="other systems' APIs that the service answers too: `all`, `none`, or some of "
        f"`{','.join(COMPAT)}`, with commas between them",
    )
    web_app: bool = Field(True, description="whether the web app is served at `/`")
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
