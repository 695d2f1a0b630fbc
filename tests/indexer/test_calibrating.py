"""A run fits the model's 8-bit arithmetic to its own pictures, where there are enough of them."""

from pathlib import Path

import pytest

from app.models.calibration import Calibration
from app.storage.local import LocalStore
from indexer.calibrating import ENOUGH, calibration_on
from tests.indexer.picture_collection import Collection, png


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    store = LocalStore(tmp_path)
    for number in range(ENOUGH):
        store.put(f"{number:03}.png", b"%d" % number)
    return store


def test_pictures_are_read_when_they_are_needed_and_those_that_are_gone_left_out(store: LocalStore) -> None:
    calibration = calibration_on(store, list(store.list()))
    assert calibration is not None
    store.delete("007.png")
    assert (calibration.own, calibration.source) == (True, "your pictures")
    assert list(calibration.files()) == [b"%d" % number for number in range(ENOUGH) if number != 7]


def test_few_pictures_are_left_to_the_samples(store: LocalStore) -> None:
    assert calibration_on(store, list(store.list())[1:]) is None


def test_a_run_offers_its_pictures_to_the_model_it_loads(collection: Collection) -> None:
    for number in range(ENOUGH):
        collection.store.put(f"more/{number:03}.png", png(number))
    collection.run()
    assert isinstance(collection.offered, Calibration)
    assert len(list(collection.offered.files())) >= ENOUGH
