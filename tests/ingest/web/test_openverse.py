"""The Openverse provider against a local server that answers as Openverse's documentation says."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from app.errors import FetchFailed, WebSearchUnavailable
from app.ingest.web.openverse import PAGE_SIZE, Openverse, license_name
from app.ingest.web.provider import Remembering, WebPicture
from app.settings import WebSettings
from app.types import Source
from tests.support.web import Exchange, Site, answer, site

IMAGE = {
    "id": "4bc43a04-ef46-4544-a0c1-63c63f56e276",
    "title": "Tree Bark Photo",
    "foreign_landing_url": "https://photos.example/photo/1",
    "url": "https://cdn.example/1.jpg",
    "creator": "Ann Example",
    "creator_url": "https://ann.example",
    "license": "by-sa",
    "license_version": "2.0",
    "license_url": "https://creativecommons.org/licenses/by-sa/2.0/",
    "provider": "photos",
    "source": "photos",
    "category": None,
    "filesize": 896128,
    "filetype": "jpg",
    "tags": [{"accuracy": None, "name": "tree", "unstable__provider": "photos"}],
    "attribution": '"Tree Bark Photo" by Ann Example is licensed under CC BY-SA 2.0.',
    "fields_matched": ["title"],
    "mature": False,
    "height": 4016,
    "width": 6016,
    "thumbnail": "https://api.example/v1/images/4bc43a04/thumb/",
    "unstable__sensitivity": [],
}


def page(images: list[dict[str, Any]], *, number: int = 1, pages: int = 1) -> bytes:
    return json.dumps(
        {"result_count": 20 * pages, "page_count": pages, "page_size": 20, "page": number, "results": images}
    ).encode()


def numbered(exchange: Exchange) -> None:
    """Three pages of twenty pictures, each with a number."""
    number = int(parse_qs(urlsplit(exchange.path).query)["page"][0])
    images = [{**IMAGE, "url": f"https://cdn.example/{number}-{place}.jpg"} for place in range(20)]
    answer(page(images, number=number, pages=3))(exchange)


@pytest.fixture
def api() -> Iterator[Site]:
    with site({"/v1/images/": answer(page([IMAGE]))}) as found:
        yield found


def openverse(api: Site, **settings: str) -> Openverse:
    return Openverse(WebSettings(openverse_url=f"{api.url}/", **settings))


def find(api: Site, query: str = "tree bark", count: int = 20, **settings: str) -> list[WebPicture]:
    return asyncio.run(openverse(api, **settings).find(query, count))


def test_a_result_keeps_its_maker_and_licence(api: Site) -> None:
    assert find(api) == [
        WebPicture(
            "https://cdn.example/1.jpg",
            Source(
                url="https://cdn.example/1.jpg",
                page_url="https://photos.example/photo/1",
                title="Tree Bark Photo",
                creator="Ann Example",
                license="CC BY-SA 2.0",
                license_url="https://creativecommons.org/licenses/by-sa/2.0/",
                attribution='"Tree Bark Photo" by Ann Example is licensed under CC BY-SA 2.0.',
            ),
        )
    ]


def test_it_is_asked_as_documented(api: Site) -> None:
    find(api, "bark & " + "x" * 300, count=5, openverse_token="secret")
    ((path, headers),) = api.requests
    url = urlsplit(path)
    assert url.path == "/v1/images/"
    assert parse_qs(url.query) == {"q": [("bark & " + "x" * 300)[:200]], "page_size": [str(PAGE_SIZE)], "page": ["1"]}
    assert headers["Authorization"] == "Bearer secret"
    assert headers["User-Agent"].startswith("image2search")


def test_anonymous_without_a_token(api: Site) -> None:
    find(api)
    assert "Authorization" not in api.requests[0][1]


@pytest.mark.parametrize(("count", "pages", "found"), [(20, 1, 20), (21, 2, 21), (50, 3, 50), (100, 3, 60)])
def test_pages_are_asked_for_until_there_are_enough(api: Site, count: int, pages: int, found: int) -> None:
    api.answers["/v1/images/"] = numbered
    urls = [each.url for each in find(api, count=count)]
    assert len(urls) == len(set(urls)) == found
    assert len(api.requests) == pages


def test_what_is_missing_or_no_picture_is_left_out(api: Site) -> None:
    bare = {"url": "https://cdn.example/2.jpg", "title": None, "license": "cc0", "license_version": "1.0"}
    images = [{**IMAGE, "url": None}, {**IMAGE, "filetype": "svg"}, bare, {**IMAGE, "title": "t" * 9999}]
    api.answers["/v1/images/"] = answer(page(images))
    first, second = find(api)
    assert first.source == Source("https://cdn.example/2.jpg", license="CC0 1.0")
    assert second.source.title == "t" * 500


@pytest.mark.parametrize(
    ("code", "version", "name"),
    [
        ("by", "4.0", "CC BY 4.0"),
        ("cc0", "1.0", "CC0 1.0"),
        ("pdm", "1.0", "Public Domain Mark 1.0"),
        ("by", None, "CC BY"),
    ],
)
def test_licences_are_named_as_people_know_them(code: str, version: str | None, name: str) -> None:
    assert license_name(code, version) == name


def after(*answers: Callable[[Exchange], None]) -> Callable[[Exchange], None]:
    """These answers one after the other, then the usual one."""
    left = iter(answers)

    def send(exchange: Exchange) -> None:
        chosen = next(left, answer(page([IMAGE])))
        chosen(exchange)

    return send


def test_a_short_wait_that_is_asked_for_is_waited(api: Site) -> None:
    api.answers["/v1/images/"] = after(answer(b"{}", status=429, Retry_After="1"))
    began = time.monotonic()
    assert len(find(api)) == 1
    assert time.monotonic() - began >= 1
    assert len(api.requests) == 2


def test_a_long_wait_ends_the_search_and_the_next_one_does_not_ask(api: Site) -> None:
    api.answers["/v1/images/"] = after(answer(b'{"detail": "throttled"}', status=429, Retry_After="3600"))
    searching = openverse(api)

    async def story() -> None:
        for _ in range(2):
            with pytest.raises(WebSearchUnavailable, match="takes no more searches for now") as refused:
                await searching.find("tree", 20)
            assert 3590 < refused.value.retry_after_s <= 3600

    asyncio.run(story())
    assert len(api.requests) == 1


@pytest.mark.parametrize("broken", [answer(b"", status=503), lambda exchange: None], ids=["503", "no answer"])
def test_a_problem_of_openverse_is_tried_again(
    api: Site, broken: Callable[[Exchange], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.ingest.web.openverse.DEFAULT_WAIT_S", 0)
    api.answers["/v1/images/"] = after(broken)
    assert len(find(api)) == 1
    api.answers["/v1/images/"] = broken
    with pytest.raises(WebSearchUnavailable, match="Openverse"):
        find(api)


def test_a_refusal_says_what_openverse_says(api: Site) -> None:
    api.answers["/v1/images/"] = answer(b'{"detail": "Invalid token."}', status=401)
    with pytest.raises(FetchFailed, match=r"refuses the search \(401\).*Invalid token"):
        find(api)


@pytest.mark.parametrize("body", [b"<html>", b"{}", b'{"page_count": 1, "results": [3]}', b"\xff"])
def test_another_server_is_not_taken_for_openverse(api: Site, body: bytes) -> None:
    api.answers["/v1/images/"] = answer(body)
    with pytest.raises(FetchFailed, match="WEB_OPENVERSE_URL"):
        find(api)


def test_a_query_is_asked_once_a_day(api: Site) -> None:
    async def story() -> None:
        remembering = Remembering(openverse(api))
        first = await remembering.find("tree  bark", 20)
        assert await remembering.find(" tree bark", 20) == first
        await remembering.find("tree bark", 5)

    asyncio.run(story())
    assert len(api.requests) == 2
