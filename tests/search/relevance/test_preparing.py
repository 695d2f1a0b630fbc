"""A service embeds the bank in the background, answers meanwhile, and then says how relevant pictures are."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from app.bootstrap import running
from app.catalog.view import View
from app.encoder.encoder import IndexedPicture, PictureFile, Text
from app.errors import Unavailable
from app.library.editing.adding import NewPicture
from app.models import bank
from app.search.query import Query
from app.search.service import SearchAnswer, SearchService
from app.settings import BatchSettings, ModelSettings, SearchSettings
from app.types import image_id_of
from tests.support.service import KEYS, FakeEmbedder, encoded, make_parts, picture

DEADLINE_S = 20


@pytest.fixture(autouse=True)
def small_bank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """So that a queue of two gets through it in no time."""
    texts = tmp_path / "bank.txt"
    texts.write_text("== en 0\n" + "; ".join(f"text {number}" for number in range(100)))
    monkeypatch.setattr(bank, "TEXTS", texts)
    bank.bank_texts.cache_clear()
    yield
    bank.bank_texts.cache_clear()


async def judged(search: SearchService, query: Query, view: View) -> SearchAnswer:
    """The answer, as soon as it says something about relevance."""
    async with asyncio.timeout(DEADLINE_S):
        while (answer := await search.search(query, view)).good_match is None:  # noqa: ASYNC110 - seen in the answer
            await asyncio.sleep(0.01)
    return answer


def parts_for(folder: Path, embedder: FakeEmbedder, **batch: int):
    return make_parts(
        folder / "library",
        embedder,
        model=ModelSettings(cache=folder / "models"),
        search=SearchSettings(relevance=True),
        batch=BatchSettings(**batch),
    )


def test_answers_say_how_relevant_the_pictures_are_once_the_bank_is_there(tmp_path: Path) -> None:
    embedder = FakeEmbedder()

    async def story() -> None:
        async with running(parts_for(tmp_path, embedder), warm_up=True) as state:
            search, view = state["search"], state["current_view"]()
            text = Query.of(Text("dog"), k=5)
            first = await search.search(text, view)
            assert len(first.hits) == 5
            with pytest.raises(Unavailable, match="still preparing"):
                await search.search(Query.of(Text("dog"), min_relevance=0.5), view)
            answer = await judged(search, text, view)
            assert [hit.record for hit in answer.hits] == [hit.record for hit in first.hits]
            relevances = [hit.relevance or 0 for hit in answer.hits]
            assert 0 < max(relevances) <= 1
            cut = sorted(relevances)[2]
            some = await search.search(Query.of(Text("dog"), k=5, min_relevance=cut), view)
            assert [hit.relevance for hit in some.hits] == [each for each in relevances if each >= cut]
            for term in (PictureFile(encoded(picture(KEYS[0]))), IndexedPicture(image_id_of(KEYS[0]))):
                like = await search.search(Query.of(term, k=3), view)
                assert like.hits[0].relevance is not None
            both = Query.of(Text("dog"), IndexedPicture(image_id_of(KEYS[0])))
            assert (await search.search(both, view)).good_match is not None
            cut_off = replace(both, min_relevance=1.0)
            assert (await search.search(cut_off, view)).hits == []
            added = await state["adding"].add(NewPicture(encoded(picture("new.jpg"), "JPEG"), "new.jpg"))
            assert added.record.bank_near is not None
        assert bank.find_bank(tmp_path / "models", embedder.identity.fingerprint) is not None

    asyncio.run(story())


def test_the_next_start_embeds_nothing(tmp_path: Path) -> None:
    """And a full queue only delays the first one."""

    async def story(embedder: FakeEmbedder) -> None:
        async with running(parts_for(tmp_path, embedder, max_queue=2, max_size=2), warm_up=True) as state:
            await judged(state["search"], Query.of(Text("dog")), state["current_view"]())

    first, second = FakeEmbedder(), FakeEmbedder()
    asyncio.run(story(first))
    asyncio.run(story(second))
    assert set(bank.bank_texts()) < {*first.texts}
    assert set(second.texts) == {"dog"}


def test_a_service_can_stop_in_the_middle(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(parts_for(tmp_path, FakeEmbedder()), warm_up=True):
            await asyncio.sleep(0)

    asyncio.run(story())
