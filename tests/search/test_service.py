"""One query in, one answer out: the search walk without HTTP."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from app.bootstrap import Parts, running
from app.catalog.view import View
from app.encoder.encoder import IndexedPicture, PictureFile, RawVector, Text
from app.errors import FolderNotFound, InvalidInput
from app.search.minus_words import MINUS_WEIGHT, Understood
from app.search.query import Query, Weighted
from app.search.service import SearchAnswer
from app.types import image_id_of
from tests.support.service import KEYS, FakeEmbedder, encoded, make_parts, picture

KEY = "nature/beach/waves.png"


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    return make_parts(tmp_path)


def search(parts: Parts, query: Query, view: View | None = None) -> SearchAnswer:
    async def story() -> SearchAnswer:
        async with running(parts) as state:
            return await state["search"].search(query, view or state["current_view"]())

    return asyncio.run(story())


@pytest.mark.parametrize(
    "term", [PictureFile(encoded(picture(KEY))), IndexedPicture(image_id_of(KEY))], ids=["file", "indexed"]
)
def test_a_picture_finds_itself_whichever_way_it_is_named(parts: Parts, term: PictureFile | IndexedPicture) -> None:
    answer = search(parts, Query.of(term, k=1))
    assert [hit.record.object_key for hit in answer.hits] == [KEY]
    assert answer.hits[0].distance == pytest.approx(0, abs=2e-3)
    assert answer.folder is None


def test_several_terms_are_added_up(parts: Parts) -> None:
    embedder = FakeEmbedder()
    text, other = embedder.encode_texts(["dog"])[0], embedder.encode_texts(["cat"])[0]
    both = search(parts, Query.of(Text("dog"), Text("cat"), k=100))
    snapshot = parts.catalog.load()
    assert snapshot is not None
    expected = {
        key: snapshot.vectors.get([row])[0] @ (text + other) / np.linalg.norm(text + other)
        for row, key in ((row, record.object_key) for row, record in snapshot.records.items())
    }
    assert {hit.record.object_key: hit.score for hit in both.hits} == pytest.approx(expected, abs=1e-5)


def test_the_order_of_the_terms_does_not_matter(parts: Parts) -> None:
    terms = (Text("dog"), IndexedPicture(image_id_of(KEY)))
    one, other = (search(parts, Query.of(*each, k=100)).hits for each in (terms, terms[::-1]))
    assert one == other


def test_a_folder_is_detected_in_a_text_alone_and_leaves_the_embedded_words(parts: Parts) -> None:
    answer = search(parts, Query.of(Text("sunset in nature"), k=100, auto_folder=True))
    assert answer.folder is not None
    assert (answer.folder.path, answer.folder.source) == ("nature", "detected")
    assert answer.hits == search(parts, Query.of(Text("sunset"), k=100, folders=("nature",))).hits
    mixed = Query.of(Text("sunset in nature"), Text("dog"), k=100, auto_folder=True)
    assert search(parts, mixed).folder is None


@pytest.mark.parametrize("terms", [(), (Text("dog"), RawVector(-FakeEmbedder().encode_texts(["dog"])[0]))])
def test_a_query_without_a_direction_is_refused(parts: Parts, terms: tuple[Text, ...]) -> None:
    with pytest.raises(InvalidInput, match=r"empty|no direction"):
        search(parts, Query.of(*terms))


def test_minus_words_are_read_before_the_folder(parts: Parts) -> None:
    answer = search(parts, Query.of(Text("sunset in nature -people"), k=100, auto_folder=True, minus_words=True))
    assert answer.folder is not None
    assert (answer.folder.path, answer.folder.embedded_text) == ("nature", "sunset")
    assert answer.understood == Understood("sunset in nature", ("people",))
    assert [each.term for each in answer.terms] == [Text("sunset"), Text("people")]
    by_hand = Query((Weighted(Text("sunset")), Weighted(Text("people"), MINUS_WEIGHT)), k=100, folders=("nature",))
    assert answer.hits == search(parts, by_hand).hits


def test_a_view_decides_which_folders_there_are(parts: Parts) -> None:
    snapshot = parts.catalog.load()
    assert snapshot is not None
    view = View(snapshot, ["animals"])
    assert {hit.record.object_key for hit in search(parts, Query.of(Text("dog"), k=100), view).hits} == {
        key for key in KEYS if key.startswith("animals/")
    }
    with pytest.raises(FolderNotFound):
        search(parts, Query.of(Text("dog"), folders=("nature",)), view)
