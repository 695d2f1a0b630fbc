"""The web app over HTTP."""

import gzip
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.http.problems import add_error_handlers
from app.main import create_app
from app.settings import Settings
from app.web.built import built_app
from app.web.routes import PAGES, web_router
from tests.support.service import make_parts, serving_parts

ADDRESSES = [path.replace("{image_id}", "9f2c4b1d00aa37e5") for path in PAGES]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    with serving_parts(make_parts(tmp_path_factory.mktemp("bucket"))) as client:
        yield client


def base_of(page: str) -> str:
    return re.findall(r'<base href="([^"]*)"', page)[0]


@pytest.mark.parametrize("address", ADDRESSES)
def test_each_address_answers_the_page(served: httpx2.Client, address: str) -> None:
    answer = served.get(address)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert base_of(answer.text) == "/"
    assert '<div id="app">' in answer.text
    policy = answer.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert served.head(address).headers["etag"] == answer.headers["etag"]


def test_the_router_of_the_app_has_the_same_addresses() -> None:
    shell = (Path(__file__).parents[2] / "web" / "src" / "app" / "shell.tsx").read_text("utf-8")
    routes = {path.removesuffix("/*?") for path in re.findall(r'<Route path="([^"]+)"', shell)}
    assert routes == {"/" + path.split("/")[1] + ("/:id" if "{" in path else "") for path in PAGES}


def test_the_page_has_no_script_of_its_own(served: httpx2.Client) -> None:
    page = served.get("/").text
    assert re.findall(r"<script(?![^>]*\ssrc=)", page) == []
    assert re.findall(r"\son\w+=|\sstyle=|<style", page) == []


def test_what_the_page_names_is_there_compressed_and_kept_for_good(served: httpx2.Client) -> None:
    names = re.findall(r'(?:src|href)="(?:\./)?(assets/[^"]+)"', served.get("/").text)
    assert {Path(name).suffix for name in names} == {".js", ".css"}
    for name in names:
        answer = served.get(f"/{name}")
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["content-encoding"] == "gzip"
        assert answer.content == built_app()[name].content
        plain = served.get(f"/{name}", headers={"Accept-Encoding": "identity"})
        assert "content-encoding" not in plain.headers
        assert plain.content == answer.content
        assert int(answer.headers["content-length"]) < len(plain.content)
        again = served.get(f"/{name}", headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "address", ["/assets/nothing.js", "/assets/../pyproject.toml", "/assets/%2e%2e/index.html", "/x"]
)
def test_what_is_not_there_is_a_problem(served: httpx2.Client, address: str) -> None:
    answer = served.get(address)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_proxy_may_serve_it_below_a_prefix(served: httpx2.Client) -> None:
    answer = served.get("/map", headers={"X-Forwarded-Prefix": "/photos/find"})
    assert base_of(answer.text) == "/photos/find/"
    assert answer.headers["etag"] != served.get("/map").headers["etag"]


def test_a_public_address_with_a_path(tmp_path: Path) -> None:
    parts = make_parts(tmp_path)
    server = parts.settings.server.model_copy(update={"public_url": "https://photos.example/find&see"})
    parts = replace(parts, settings=parts.settings.model_copy(update={"server": server}))
    with serving_parts(parts) as client:
        assert base_of(client.get("/").text) == "/find&amp;see/"


def test_it_can_be_switched_off(tmp_path: Path) -> None:
    parts = make_parts(tmp_path)
    server = parts.settings.server.model_copy(update={"web_app": False})
    with serving_parts(replace(parts, settings=parts.settings.model_copy(update={"server": server}))) as client:
        assert {client.get(address).status_code for address in ADDRESSES} == {404}


def test_where_it_is_not_built_the_answer_says_what_to_do() -> None:
    app = FastAPI()
    app.include_router(web_router({}))
    add_error_handlers(app)
    answer = TestClient(app).get("/")
    assert answer.status_code == 501
    assert "make web" in answer.json()["detail"]


def test_it_is_no_part_of_the_api() -> None:
    assert not set(PAGES) & set(create_app(Settings()).openapi()["paths"])


def test_the_built_app_is_small_as_it_is_sent() -> None:
    files = {name: file for name, file in built_app().items() if not name.endswith(".md")}
    assert sum(len(file.gzipped) for file in files.values()) <= 250_000
    assert all(gzip.decompress(file.gzipped) == file.content for file in files.values())
