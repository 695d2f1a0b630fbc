"""Links lead back to the service by the address that its client knows, through a real proxy with TLS."""

import asyncio
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx2
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

import app.bootstrap.services
from app.http.middleware.public_address import OWN_PATHS, ForwardedMiddleware
from app.indexing.jobs import IndexJobs
from app.main import create_app
from app.settings import ServerSettings, Settings
from tests.support.service import encoded, make_parts, picture, serving_parts, wait_until
from tests.support.tls_proxy import ADDRESS, NAME, tls_proxy

TRUSTING = {"forwarded_allow_ips": f"10.0.0.0/8, {ADDRESS}", "allowed_hosts": NAME}
FORWARDED = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.9"}
HOST_CHANGED = {"Host": "127.0.0.1:8000", "X-Forwarded-Host": NAME}
TEXT = "/api/v1/search/text"


@contextmanager
def service(folder: Path, **settings: str) -> Iterator[httpx2.Client]:
    """One whose index runs end at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app.bootstrap.services, "IndexJobs", partial(IndexJobs, command=[sys.executable, "-S", "-c", ""]))
        with serving_parts(make_parts(folder, server=ServerSettings(**settings))) as client:
            yield client


@pytest.fixture(scope="module")
def trusting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    with service(tmp_path_factory.mktemp("bucket"), **TRUSTING) as client:
        yield client


@pytest.fixture(scope="module")
def from_the_proxy(trusting: httpx2.Client) -> Iterator[httpx2.Client]:
    """Sends from the proxy's address what no proxy would."""
    transport = httpx2.HTTPTransport(local_address=ADDRESS)
    with httpx2.Client(base_url=trusting.base_url, transport=transport) as client:
        yield client


def start_job(proxied: httpx2.Client, prefix: str) -> httpx2.Response:
    """The answer to it, once no other one runs."""
    answers: list[httpx2.Response] = []

    def is_accepted() -> bool:
        answers.append(proxied.post(f"{prefix}/api/v1/index/jobs"))
        return answers[-1].status_code == 202

    wait_until(is_accepted)
    return answers[-1]


def addresses_in(proxied: httpx2.Client, prefix: str) -> set[str]:
    """Every link and Location that the service answers."""
    found = proxied.post(f"{prefix}{TEXT}", json={"query": "cat", "k": 1}).json()["results"]
    alike = proxied.post(
        f"{prefix}/api/v1/search/image", files={"file": encoded(picture("top.png"))}, data={"k": "1"}
    ).json()["results"]
    single = proxied.get(f"{prefix}/api/v1/images/{found[0]['image_id']}").json()
    v2 = proxied.post(f"{prefix}/api/demo_backend_v2/image_search/search", json={"query": "cat", "k": 1}).json()
    job = start_job(proxied, prefix)
    redirect = proxied.get(f"{prefix}/api/v1/folders/")
    assert redirect.status_code == 307
    links = [hit[name] for hit in (*found, *alike, single) for name in ("image_url", "thumbnail_url")]
    return {*links, *(hit["image_url"] for hit in v2), job.headers["location"], redirect.headers["location"]}


def check_addresses(proxied: httpx2.Client, public: str) -> None:
    """Of answers, of the docs page and what it loads, and of advice."""
    prefix = httpx2.URL(public).path.rstrip("/")
    for address in sorted(addresses_in(proxied, prefix)):
        assert address.startswith(f"{public}/api/"), address
        assert proxied.head(httpx2.URL(address).path).status_code == 200
    page = proxied.get(f"{prefix}/docs").text
    files = [found[1] or found[2] for found in re.finditer(r"""(?:href|src)="([^"]+)"|url: '([^']+)'""", page)]
    assert len(files) >= 4
    assert {proxied.head(path).status_code for path in files if path.startswith(f"{prefix}/static")} == {200}
    document = proxied.get(next(path for path in files if path.endswith(".json"))).json()
    assert document.get("servers", [{"url": ""}])[0]["url"] == prefix
    assert f"{prefix}/docs" in proxied.get(f"{prefix}/nothing").json()["detail"]


@pytest.mark.parametrize(
    ("headers", "public", "removed"),
    [
        (FORWARDED, f"https://{NAME}", ""),
        (FORWARDED | HOST_CHANGED, f"https://{NAME}", ""),
        (FORWARDED | HOST_CHANGED | {"X-Forwarded-Prefix": "/photos"}, f"https://{NAME}/photos", "/photos"),
        (FORWARDED | {"X-Forwarded-Prefix": "/my/photos/"}, f"https://{NAME}/my/photos", ""),
        (FORWARDED | {"X-Forwarded-Prefix": "/api"}, f"https://{NAME}/api", "/api"),
    ],
    ids=["Host kept", "Host changed", "prefix removed", "prefix kept", "prefix like a path of ours"],
)
def test_a_trusted_proxy_says_the_address(
    trusting: httpx2.Client, tmp_path: Path, headers: dict[str, str], public: str, removed: str
) -> None:
    with tls_proxy(trusting.base_url, tmp_path, headers, removed) as proxied:
        check_addresses(proxied, public)


@pytest.mark.parametrize(
    ("public_url", "headers", "removed"),
    [(f"https://{NAME}/photos/", {}, "/photos"), (f"https://{NAME}:8443/photos", {"Host": "127.0.0.1"}, "")],
)
def test_a_proxy_that_says_nothing_needs_a_public_url(
    tmp_path: Path, public_url: str, headers: dict[str, str], removed: str
) -> None:
    with (
        service(tmp_path / "bucket", public_url=public_url) as direct,
        tls_proxy(direct.base_url, tmp_path, headers, removed) as proxied,
    ):
        check_addresses(proxied, public_url.rstrip("/"))


SAYS_MUCH = FORWARDED | {"X-Forwarded-Host": NAME, "X-Forwarded-Prefix": "/photos"}


def test_what_another_client_says_changes_nothing(trusting: httpx2.Client, from_the_proxy: httpx2.Client) -> None:
    def answers(client: httpx2.Client, headers: dict[str, str]) -> list[object]:
        found = client.post(TEXT, json={"query": "cat"}, headers=headers).json()["results"]
        paths = ("/docs", "/openapi.json", "/api/v1/folders/")
        return [
            found,
            *((got.text, got.headers.get("location")) for got in (client.get(p, headers=headers) for p in paths)),
        ]

    assert answers(trusting, SAYS_MUCH) == answers(trusting, {})
    assert answers(from_the_proxy, SAYS_MUCH) != answers(from_the_proxy, {})


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-Host": "evil.example"},
        {"X-Forwarded-Host": "evil.example, photos.example"},
        {"Host": "evil.example", "X-Forwarded-Host": NAME},
    ],
)
def test_no_host_but_allowed_ones_is_believed(from_the_proxy: httpx2.Client, headers: dict[str, str]) -> None:
    assert from_the_proxy.get("/health/live", headers=headers).status_code == 421


@pytest.mark.parametrize(
    ("sent", "prefix"),
    [
        ("/photos", "/photos"),
        ("/photos/", "/photos"),
        ("/a, /b/", "/a/b"),
        ("/v1.0/~me_-", "/v1.0/~me_-"),
        *(
            (bad, "")
            for bad in ("", "/", "photos", "//evil.example", "/a/../b", "/.", "/a b", '/"><script>', "/a?b", "/%2e")
        ),
    ],
)
def test_a_prefix_is_a_plain_path(from_the_proxy: httpx2.Client, sent: str, prefix: str) -> None:
    page = from_the_proxy.get("/docs", headers={"X-Forwarded-Prefix": sent}).text

    assert f"url: '{prefix}/openapi.json'" in page


def test_with_a_public_url_no_header_counts(tmp_path: Path) -> None:
    with service(tmp_path, public_url="https://photos.example") as client:
        for headers in ({}, SAYS_MUCH, {"Host": NAME}):
            answer = client.post(TEXT, json={"query": "cat"}, headers=headers)
            assert answer.json()["results"][0]["image_url"].startswith("https://photos.example/api/")
        assert client.get("/health/live", headers={"Host": "evil.example"}).status_code == 421


@pytest.mark.parametrize(("client", "scheme"), [(f"::ffff:{ADDRESS}", "https"), (ADDRESS, "https"), ("::1", "http")])
def test_an_ipv4_address_may_be_written_as_ipv6(client: str, scheme: str) -> None:
    """As a socket for both kinds shows it."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse(scope["scheme"])(scope, receive, send)

    async def ask() -> str:
        transport = httpx2.ASGITransport(ForwardedMiddleware(answer, ADDRESS), client=(client, 1))
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as sender:
            return (await sender.get("/", headers=FORWARDED)).text

    assert asyncio.run(ask()) == scheme


def test_own_paths_are_those_of_the_api() -> None:
    app = create_app(Settings(server=ServerSettings(compat="image_search_v2")))
    paths = [*app.openapi()["paths"], "/docs", "/static-offline-docs"]

    assert {path.split("/")[1] for path in paths} == set(OWN_PATHS)
