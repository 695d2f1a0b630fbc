"""Which captions a model may write, and what becomes of pictures that it can't describe."""

from dataclasses import replace

import pytest
from PIL import Image

from app.ingest.captioning import UNREADABLE, Caption, NoCaption, describe, lacks_caption, may_describe
from app.types import PERSON
from tests.support.captions import NAME, FakeCaptioner, caption_of
from tests.support.catalogs import record

COLOURS = [Image.new("RGB", (24, 24), colour) for colour in ("red", "lime", "blue", "white", "black")]


def test_a_picture_without_words_costs_the_others_nothing() -> None:
    captioner = FakeCaptioner()
    captioner.refused = {caption_of(COLOURS[1])}
    said = describe(captioner, [*COLOURS[:2], None, *COLOURS[2:]])
    assert said[0] == Caption(caption_of(COLOURS[0]), NAME)
    assert said[1] == NoCaption("The captioner can't describe it: no words for it")
    assert said[2] is UNREADABLE
    assert [type(each) for each in said[3:]] == [Caption] * 3
    assert describe(captioner, [None]) == [UNREADABLE]
    assert describe(captioner, []) == []


@pytest.mark.parametrize(
    ("caption", "by", "lacks", "may"),
    [
        (None, None, True, True),
        ("a boat", "another/model", False, True),
        (None, "another/model", False, True),
        ("a boat", NAME, False, False),
        (None, NAME, False, False),
        ("my boat", PERSON, False, False),
        (None, PERSON, False, False),
        ("of unknown origin", None, False, False),
    ],
)
def test_whose_captions_a_model_may_replace(caption: str | None, by: str | None, lacks: bool, may: bool) -> None:
    described = replace(record("a.png"), caption=caption, caption_by=by)
    assert (lacks_caption(described), may_describe(NAME, described)) == (lacks, may)
    new = Caption("a ship", NAME).on(described)
    assert new == (replace(described, caption="a ship", caption_by=NAME) if may else described)


def test_a_model_that_says_nothing_is_noted() -> None:
    described = Caption("", NAME).on(record("a.png"))
    assert (described.caption, described.caption_by) == (None, NAME)
    assert not lacks_caption(described)
