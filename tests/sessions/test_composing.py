"""A wish to the terms of one search."""

from dataclasses import replace

import numpy as np
import pytest

from app.catalog.view import View
from app.encoder.encoder import IndexedPicture, RawVector, Text
from app.search.minus_words import MINUS_WEIGHT
from app.sessions.composing import WEIGHTS, Sent, Weights, compose
from app.sessions.feedback import LESS, MINUS
from app.sessions.session import SignedText, Wish
from app.types import image_id_of
from tests.support.service import KEYS, make_parts

IDS = [image_id_of(key) for key in KEYS]
WISH = Wish(
    "a cat",
    feedback=(SignedText("snow", 1.0), SignedText("trees", MINUS), SignedText("dark", LESS)),
    sentences=("more snow, no trees, less dark",),
)


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> View:
    snapshot = make_parts(tmp_path_factory.mktemp("bucket")).catalog.load()
    assert snapshot is not None
    return View(snapshot)


def test_words_have_their_weights(view: View) -> None:
    assert compose(WISH, None, {}, view).terms == (
        (Text("a cat"), 1.0),
        (Text("snow"), 1.0),
        (Text("trees"), MINUS),
        (Text("dark"), LESS),
    )


def test_a_rewritten_query_stands_for_all_words_that_are_looked_for(view: View) -> None:
    composed = compose(WISH, "a cat in the snow", {}, view)
    assert composed.terms == ((Text("a cat in the snow"), 1.0), (Text("trees"), MINUS), (Text("dark"), LESS))
    assert [term.role for term in composed.shown] == ["query", "feedback", "feedback"]


def test_only_what_fits_words_that_are_taken_away_is_left_out(view: View) -> None:
    wish = replace(WISH, rejected=tuple(IDS[2:5]))
    assert compose(wish, None, {}, view).left_out == (Text("trees"),)


def test_words_count_as_the_minus_words_of_a_query() -> None:
    assert MINUS == MINUS_WEIGHT


def test_judged_pictures_are_the_means_of_rocchio(view: View) -> None:
    wish = replace(WISH, picked=tuple(IDS[:2]), rejected=tuple(IDS[2:5]))
    *_, (picked, up), (rejected, down) = compose(wish, None, {}, view).terms
    assert (up, down) == (WEIGHTS.picked, -WEIGHTS.rejected)
    for term, ids in ((picked, IDS[:2]), (rejected, IDS[2:5])):
        assert isinstance(term, RawVector)
        np.testing.assert_allclose(term.vector, np.mean([view.vector(each) for each in ids], axis=0), atol=1e-6)
    assert [len(term.image_ids) for term in compose(wish, None, {}, view).shown] == [0, 0, 0, 0, 2, 3]
    assert compose(wish, None, {}, view, Weights(1, 0)).shown[-1].role == "picked"


def test_pictures_share_the_weight_of_one(view: View) -> None:
    sent = np.ones(8, np.float32)
    wish = Wish("at night", image_ids=(IDS[0],), upload_ids=("u",))
    text, indexed, (upload, weight) = compose(wish, None, {"u": Sent(sent, "a red car")}, view).terms
    assert (text, indexed, weight) == ((Text("at night"), 1.0), (IndexedPicture(IDS[0]), 0.5), 0.5)
    assert isinstance(upload, RawVector)
    np.testing.assert_array_equal(upload.vector, sent)


def test_judged_pictures_that_are_gone_do_not_count(view: View) -> None:
    wish = replace(WISH, picked=("0" * 16, IDS[0]), rejected=("1" * 16,))
    composed = compose(wish, None, {}, view)
    assert composed.shown[-1].image_ids == (IDS[0],)
    assert composed.note is not None
    assert composed.note.startswith("2 of the judged pictures")
    assert compose(WISH, None, {}, view).note is None


def test_a_picture_that_is_searched_for_is_not_taken_away(view: View) -> None:
    wish = Wish(image_ids=(IDS[0],), rejected=(IDS[0], IDS[1]))
    assert compose(wish, None, {}, view).shown[-1].image_ids == (IDS[1],)
    assert len(compose(replace(wish, rejected=(IDS[0],)), None, {}, view).terms) == 1


def test_captions_count_where_the_query_has_no_words_of_its_own(view: View) -> None:
    sent = {"u": Sent(np.ones(8, np.float32), "a red car"), "v": Sent(np.ones(8, np.float32))}
    wish = Wish(upload_ids=("u", "v"), feedback=(SignedText("snow", 1.0),))
    composed = compose(wish, None, sent, view)
    assert composed.terms[-1] == (Text("a red car"), 0.25)
    assert [(term.role, term.upload_id) for term in composed.shown[1:]] == [
        ("query", "u"),
        ("query", "v"),
        ("caption", "u"),
    ]
    for other in (
        compose(replace(wish, text="at night"), None, sent, view),
        compose(wish, "a car in snow", sent, view),
    ):
        assert "caption" not in {term.role for term in other.shown}


def test_captions_leave_room_for_the_others(view: View) -> None:
    sent = {name: Sent(np.ones(8, np.float32), f"caption {name}") for name in "abcde"}
    feedback = tuple(SignedText(f"{number}", 1.0) for number in range(8))
    wish = Wish(upload_ids=tuple("abcde"), feedback=feedback, picked=(IDS[0],), rejected=(IDS[1],))
    terms = compose(wish, None, sent, view).shown
    assert len(terms) == 16
    assert [term.role for term in terms].count("caption") == 1
