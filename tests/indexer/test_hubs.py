"""After a publication, captions look for their pictures: what is found out stands with the generation."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from app.bootstrap import Parts, parts
from app.catalog.snapshot import Snapshot
from app.errors import PreconditionFailed
from app.models.bank import keep_bank
from app.settings import IndexSettings, ModelSettings, SearchSettings
from app.types import Vectors
from indexer import hubs
from indexer.hubs import MAX_S, MOST_CAPTIONS, TEXTS, examine_hubs
from indexer.plan import Options, Run
from indexer.progress import SilentProgress
from indexer.signals import NeverStop, Stop
from tests.indexer.picture_collection import Collection, CountedStop, CountingEmbedder, some_settings
from tests.support.captions import FakeCaptioner
from tests.support.catalogs import catalog_on, removing
from tests.support.hubs import BANK, COUNT, KEYS, PICTURES, HubsEmbedder, hubs_library
from tests.support.service import FakeEmbedder, make_parts


def run_over(folder: Path, embedder: HubsEmbedder | None = None, *, stop: Stop | None = None, **search: object) -> Run:
    """A run whose model is loaded, and whose bank is known."""
    groups = {"search": SearchSettings(**{"relevance": True, **search}), "model": ModelSettings(cache=folder / "cache")}
    embedder = embedder or HubsEmbedder()
    made: Parts = make_parts(folder / "library", embedder, (), **groups)
    assert made.model.embedder is embedder
    keep_bank(folder / "cache", embedder.identity.fingerprint, BANK.vectors)
    return Run(made, Options(), SilentProgress(), stop or NeverStop())


def published(run: Run, pictures: Vectors = PICTURES) -> Snapshot:
    return run.parts.catalog.publish(hubs_library(pictures), run.parts.model.identity)


def kept(run: Run) -> Snapshot:
    snapshot = run.parts.catalog.load()
    assert snapshot is not None
    return snapshot


def test_a_library_with_hubs_gains(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = run_over(tmp_path)
    with caplog.at_level(logging.INFO, "indexer"):
        after = examine_hubs(run, None, published(run))
    found = after.pointer.hubs
    assert found is not None
    assert found.gains
    assert (found.captions, kept(run).pointer) == (COUNT, after.pointer)
    assert f"{COUNT} captions looked for their pictures" in caplog.text
    again = examine_hubs(run, None, after)
    assert again.pointer == after.pointer  # the same outcome needs no other pointer


def test_one_without_does_not(tmp_path: Path) -> None:
    run = run_over(tmp_path, HubsEmbedder(captions=PICTURES))
    found = examine_hubs(run, None, published(run)).pointer.hubs
    assert found is not None
    assert (found.plain, found.gains) == ((1.0, 1.0), False)


def test_the_outcome_stays_with_journals_and_later_generations(tmp_path: Path) -> None:
    """Until it is examined anew; a rebuild begins without."""
    run = run_over(tmp_path)
    catalog, model = run.parts.catalog, run.parts.model.identity
    after = examine_hubs(run, None, published(run))
    found = after.pointer.hubs
    changed = catalog.publish(removing(KEYS[0]), model)
    assert changed.pointer.journal == 1
    assert changed.pointer.hubs == found
    assert run.parts.catalog.load(after).pointer.hubs == found
    embedder = run.parts.model.embedder
    assert isinstance(embedder, HubsEmbedder)
    embedder.texts.clear()
    assert examine_hubs(run, after, changed).pointer == changed.pointer  # a journal is not examined
    assert embedder.texts == []
    assert catalog.publish(hubs_library(), model, rebuild=True).pointer.hubs is None


def test_a_folded_generation_keeps_it(tmp_path: Path) -> None:
    run = run_over(tmp_path)
    found = examine_hubs(run, None, published(run)).pointer.hubs
    catalog = catalog_on(run.parts.store, IndexSettings(journal_max_rows=1))
    changed = run.parts.catalog.publish(removing(*KEYS[:2]), run.parts.model.identity)
    folded = catalog.fold(changed)
    assert folded.pointer.generation != changed.pointer.generation
    assert folded.pointer.hubs == found is not None


def test_captions_of_a_journal_are_examined_where_none_were_before(tmp_path: Path) -> None:
    run = run_over(tmp_path)
    changes = hubs_library()
    bare = replace(changes, added=tuple(replace(each, caption=None) for each in changes.added))
    before = run.parts.catalog.publish(bare, run.parts.model.identity)
    assert examine_hubs(run, None, before).pointer == before.pointer  # there are no captions yet
    after = run.parts.catalog.publish(changes, run.parts.model.identity)
    assert after.pointer.generation == before.pointer.generation
    assert examine_hubs(run, before, after).pointer.hubs is None
    assert examine_hubs(run, before, after, captioned=COUNT).pointer.hubs is not None


@pytest.mark.parametrize("search", [{"fewer_hubs": "off"}, {"relevance": False}])
def test_settings_turn_it_off(tmp_path: Path, search: dict[str, object]) -> None:
    run = run_over(tmp_path, **search)
    after = published(run)
    assert examine_hubs(run, None, after) is after


def test_no_model_is_loaded_for_it(tmp_path: Path) -> None:
    run = run_over(tmp_path)
    after = published(run)
    run.parts.model.forget()
    assert examine_hubs(run, None, after) is after
    assert not run.parts.model.is_loaded


def test_a_stop_ends_it(tmp_path: Path) -> None:
    embedder = HubsEmbedder()
    run = run_over(tmp_path, embedder, stop=CountedStop(lambda: len(embedder.texts) >= 2 * TEXTS))
    after = published(run)
    assert examine_hubs(run, None, after) is after
    assert len(embedder.texts) == 2 * TEXTS


def test_a_slow_model_is_given_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    embedder = HubsEmbedder()
    run = run_over(tmp_path, embedder)
    after = published(run)
    with caplog.at_level(logging.INFO, "indexer"):
        ended = examine_hubs(run, None, after, clock=lambda: float(len(embedder.texts)) / TEXTS * (MAX_S / 2 + 1))
    assert ended is after
    assert len(embedder.texts) == 2 * TEXTS
    assert "take too long to embed" in caplog.text


def test_captions_are_taken_once_and_only_some(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hubs, "MOST_CAPTIONS", 120)
    assert MOST_CAPTIONS > 120
    embedder = HubsEmbedder()
    run = run_over(tmp_path, embedder)
    changes = hubs_library()
    same = tuple(replace(each, caption="caption 7") for each in changes.added[:20])
    after = run.parts.catalog.publish(replace(changes, added=same + changes.added[20:]), run.parts.model.identity)
    examine_hubs(run, None, after)
    assert len(embedder.texts) == len(set(embedder.texts)) == 120
    first = [*embedder.texts]
    embedder.texts.clear()
    examine_hubs(run, None, kept(run))
    assert embedder.texts == first


def failing(error: Exception) -> Callable[..., Vectors]:
    def fail(*_: object) -> Vectors:
        raise error

    return fail


def test_an_error_is_logged_once_and_the_index_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run = run_over(tmp_path)
    after = published(run)
    monkeypatch.setattr(HubsEmbedder, "encode_texts", failing(RuntimeError("no room on the device")))
    assert examine_hubs(run, None, after) is after
    assert [each.levelno for each in caplog.records if "fewer hubs" in each.message] == [logging.WARNING]
    assert kept(run).pointer == after.pointer


def test_what_others_publish_meanwhile_stays(tmp_path: Path) -> None:
    run = run_over(tmp_path)
    catalog, model = run.parts.catalog, run.parts.model.identity
    after = published(run)
    catalog.publish(removing(KEYS[0]), model)
    noted = examine_hubs(run, None, after)
    assert (noted.pointer.journal, len(noted.records)) == (1, COUNT - 1)
    assert kept(run).pointer == noted.pointer
    rebuilt = catalog.publish(hubs_library(), model, rebuild=True)
    assert examine_hubs(run, None, after).pointer == rebuilt.pointer  # what was examined is gone


def test_a_run_examines_what_it_publishes(
    tmp_path: Path, collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A whole run, with a captioner and a bank of its own; and a run whose search for hubs fails is a good run."""
    monkeypatch.setattr(hubs, "LEAST_CAPTIONS", 3)
    monkeypatch.setattr(parts, "WORTH_A_BANK", 3)
    groups = {"search": SearchSettings(relevance=True), "model": ModelSettings(cache=tmp_path / "models")}
    library = replace(
        collection,
        embedder=CountingEmbedder(FakeEmbedder()),
        settings=some_settings().model_copy(update=groups),
        captioner=FakeCaptioner(),
    )
    for seed in range(4):
        library.put(f"{seed}.png", seed)
    library.run()
    found = library.snapshot().pointer.hubs
    assert found is not None
    assert (found.captions, found.gains) == (4, False)
    monkeypatch.setattr(hubs, "examine", failing(PreconditionFailed("others publish")))
    report = library.run(Options(rebuild=True))
    assert report.embedded == 4
    assert library.snapshot().pointer.hubs is None
