"""The ddgs provider, with the library's search replaced: it asks servers that no test may ask."""

import asyncio
import sys
from typing import Any

import pytest
from ddgs.exceptions import DDGSException, RatelimitException

from app.errors import InvalidSettings, WebSearchUnavailable
from app.ingest.web.ddgs_search import Ddgs
from app.ingest.web.provider import WebPicture
from app.types import Source

RESULT = {
    "title": "A lighthouse",
    "image": "https://cdn.example/lighthouse.jpg",
    "thumbnail": "https://thumbs.example/1.jpg",
    "url": "https://example.org/lighthouses",
    "height": "800",
    "width": "600",
    "source": "Bing",
}


def searching(monkeypatch: pytest.MonkeyPatch, found: list[dict[str, Any]] | Exception) -> dict[str, Any]:
    """What the library was asked, once it is asked."""
    asked: dict[str, Any] = {}

    class Searching:
        def __init__(self, *, timeout: int) -> None:
            asked["timeout"] = timeout

        def images(self, query: str, **options: Any) -> list[dict[str, Any]]:
            asked.update(options, query=query)
            if isinstance(found, Exception):
                raise found
            return found

    monkeypatch.setattr("ddgs.DDGS", Searching)
    return asked


def test_results_lead_to_the_file_and_name_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = searching(monkeypatch, [RESULT, {**RESULT, "image": ""}, {"image": "https://cdn.example/2.jpg"}, RESULT])
    assert asyncio.run(Ddgs().find("lighthouse", 2)) == [
        WebPicture(
            "https://cdn.example/lighthouse.jpg",
            Source("https://cdn.example/lighthouse.jpg", "https://example.org/lighthouses", "A lighthouse"),
        ),
        WebPicture("https://cdn.example/2.jpg", Source("https://cdn.example/2.jpg")),
    ]
    assert asked == {"query": "lighthouse", "safesearch": "moderate", "max_results": 2, "timeout": 20}


def test_nothing_found_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    searching(monkeypatch, DDGSException("No results found."))
    assert asyncio.run(Ddgs().find("xyzzy", 5)) == []


def test_a_rate_limit_says_when_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    searching(monkeypatch, RatelimitException("202 Ratelimit"))
    with pytest.raises(WebSearchUnavailable, match="202 Ratelimit") as refused:
        asyncio.run(Ddgs().find("cat", 5))
    assert refused.value.retry_after_s == 60


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ddgs", None)
    with pytest.raises(InvalidSettings, match=r"pip install 'image2search\[ddgs\]'"):
        asyncio.run(Ddgs().find("cat", 5))


def test_the_library_has_what_is_used() -> None:
    from ddgs import DDGS

    assert callable(DDGS(timeout=1).images)
