"""Answers with a rewriter, and without one that works."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from app.catalog.view import View
from app.encoder.workers import Workers
from app.errors import AppError, NotConfigured, Unavailable
from app.http.addresses import Locator
from app.sessions.answering import Answer, Answering
from app.sessions.composing import Sent
from app.sessions.ports import Asked, Found
from app.sessions.session import SignedText, Wish
from app.types import image_id_of
from tests.support.service import KEYS, make_parts

FEEDBACK = Wish("a cat", feedback=(SignedText("snow", 1.0),), sentences=("more snow",))


class Rewriter:
    """Says what it was asked; notes each call."""

    def __init__(self, error: AppError | None = None) -> None:
        self.calls: list[tuple[str, list[str], list[str]]] = []
        self._error = error

    async def __call__(self, query: str, feedback: Sequence[str], captions: Sequence[str]) -> str:
        self.calls.append((query, list(feedback), list(captions)))
        if self._error:
            raise self._error
        return f"{query} in the snow"


class Search:
    """Finds all pictures, in the order of their keys; notes what it was asked."""

    def __init__(self, locator: Locator, note: str | None = None) -> None:
        self.asked: list[Asked] = []
        self._locator, self._note = locator, note

    async def __call__(self, asked: Asked, view: View) -> Found:
        self.asked.append(asked)
        records = [view.record(image_id_of(key)) for key in KEYS]
        return Found([self._locator.locate(record) for record in records][: asked.k], "g", 1.0, True, self._note)


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> View:
    snapshot = make_parts(tmp_path_factory.mktemp("bucket")).catalog.load()
    assert snapshot is not None
    return View(snapshot)


@pytest.fixture
def search(tmp_path: Path) -> Search:
    return Search(Locator(make_parts(tmp_path, keys=()).store, link_expires_s=60), "A note of the search.")


def answer(search: Search, rewriter: Rewriter | None, wish: Wish, view: View, **uploads: Sent) -> Answer:
    answering = Answering(search, Workers(1, 10), rewriter)
    return asyncio.run(answering.answer(wish, uploads, view))


def test_feedback_is_rewritten_and_said(search: Search, view: View) -> None:
    rewriter = Rewriter()
    found = answer(search, rewriter, FEEDBACK, view)
    assert rewriter.calls == [("a cat", ["more snow"], [])]
    assert found.rewritten == "a cat in the snow"
    assert [term.text for term in found.query] == ["a cat in the snow"]
    assert found.note == "A note of the search."


def test_a_text_alone_is_not_rewritten(search: Search, view: View) -> None:
    rewriter = Rewriter()
    assert answer(search, rewriter, Wish("a cat"), view).rewritten is None
    assert rewriter.calls == []


def test_captions_of_uploads_are_context(search: Search, view: View) -> None:
    rewriter = Rewriter()
    sent = {"u": Sent(np.ones(8, np.float32), "a red car"), "v": Sent(np.ones(8, np.float32))}
    answer(search, rewriter, Wish("at night", upload_ids=("u", "v")), view, **sent)
    answer(search, rewriter, Wish(upload_ids=("u", "v"), sentences=("more stars",)), view, **sent)
    answer(search, rewriter, Wish(upload_ids=("u",)), view, **sent)  # nothing to put together
    assert rewriter.calls == [("at night", [], ["a red car"]), ("", ["more stars"], ["a red car"])]


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (NotConfigured("Set REWRITE_MODEL."), "Set REWRITE_MODEL."),
        (Unavailable("secret address"), "The service can't do that right now."),
    ],
)
def test_without_the_rewriter_words_are_searched_as_they_are(
    search: Search, view: View, error: AppError, says: str
) -> None:
    found = answer(search, Rewriter(error), FEEDBACK, view)
    assert found.rewritten is None
    assert [term.text for term in found.query] == ["a cat", "snow"]
    assert found.note is not None
    assert found.note.startswith("The query was not rewritten; its words are searched as they are.")
    assert says in found.note
    assert "secret" not in found.note


def test_rejected_pictures_make_room_for_others(search: Search, view: View) -> None:
    rejected = tuple(image_id_of(key) for key in KEYS[:2])
    found = answer(search, None, Wish("a cat", rejected=rejected, k=3), view)
    assert [hit.record.object_key for hit in found.hits] == list(KEYS[2:5])
    assert search.asked[0].k == 5
