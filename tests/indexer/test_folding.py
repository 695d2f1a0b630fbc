"""A run folds the journals once they are long, after its pictures can be found, and never fails over it."""

import logging

import pytest

from app.catalog import catalog as catalog_module
from app.catalog.catalog import Catalog
from app.errors import StorageUnavailable
from indexer.progress import SilentProgress
from tests.indexer.picture_collection import Collection, some_settings


class Phases(SilentProgress):
    def __init__(self) -> None:
        self.names: list[str] = []

    def phase(self, name: str, total: int | None = None) -> None:
        self.names.append(name)


@pytest.fixture
def crowded(collection: Collection) -> Collection:
    """As many journals as may be left lying, and a picture to come."""
    collection.settings = some_settings(journal_max_rows=10, journal_max_files=1)
    for number in range(2):
        collection.put(f"{number}.png", number)
        collection.run()
    assert len(collection.snapshot().pointer.journals) == 1
    collection.put("2.png", 2)
    return collection


KEYS = {"0.png", "1.png", "2.png"}


def test_long_journals_are_folded_after_publishing(crowded: Collection) -> None:
    phases = Phases()
    report = crowded.run(progress=phases)
    assert phases.names[-2:] == ["publishing", "folding"]
    pointer = crowded.snapshot().pointer
    assert (pointer.journals, pointer.generation) == ((), report.generation)
    assert crowded.indexed() == KEYS


def test_short_ones_are_not(collection: Collection) -> None:
    collection.put("0.png", 0)
    phases = Phases()
    collection.run(progress=phases)
    collection.put("1.png", 1)
    collection.run(progress=phases)
    assert "folding" not in phases.names
    assert len(collection.snapshot().pointer.journals) == 1


def test_the_picture_can_be_found_before_folding_begins(crowded: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    fold = Catalog.fold
    monkeypatch.setattr(Catalog, "fold", lambda *given: seen.append(crowded.indexed()) or fold(*given))
    crowded.run()
    assert seen == [KEYS]


@pytest.mark.parametrize("error", [StorageUnavailable("no room"), MemoryError()])
def test_a_fold_that_fails_is_a_warning(
    crowded: Collection, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(catalog_module.Catalog, "fold", fail)
    assert crowded.run().added == 1
    assert [record.levelno for record in caplog.records if "fold" in record.message] == [logging.WARNING]
    assert crowded.indexed() == KEYS
    monkeypatch.undo()
    crowded.run()
    assert crowded.snapshot().pointer.journals == ()
    assert crowded.indexed() == KEYS
