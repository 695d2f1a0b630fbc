"""A model is known by its fingerprint at once, and loaded once, when something needs it."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from app.errors import ModelUnavailable
from app.models.base import Embedder
from app.models.calibration import Calibration
from app.models.lazy import LazyEmbedder
from app.settings import ImageSettings
from tests.support.service import FakeEmbedder, encoded, picture


class Loader:
    """Counts how often the model is loaded, and with which calibration."""

    def __init__(self) -> None:
        self.embedder = FakeEmbedder()
        self.calibrations: list[Calibration | None] = []
        self.fingerprints = 0

    def fingerprint(self) -> str:
        self.fingerprints += 1
        return "fake" * 8

    def load(self, calibration: Calibration | None) -> Embedder:
        self.calibrations.append(calibration)
        return self.embedder


@pytest.fixture
def loader() -> Loader:
    return Loader()


def test_the_fingerprint_is_found_once_and_loads_nothing(loader: Loader) -> None:
    model = LazyEmbedder(loader.fingerprint, loader.load)
    assert model.fingerprint == model.fingerprint == "fake" * 8
    assert (loader.fingerprints, loader.calibrations) == (1, [])
    assert not model.is_loaded
    assert not model.is_used


def test_many_threads_load_it_once_with_the_calibration(loader: Loader) -> None:
    model = LazyEmbedder(loader.fingerprint, loader.load)
    model.calibration = Calibration("your pictures", True, lambda _: ())
    together = threading.Barrier(4)

    def use() -> Embedder:
        together.wait(10)
        return model.embedder

    with ThreadPoolExecutor(4) as pool:
        used = [pool.submit(use) for _ in range(4)]
        assert all(future.result() is loader.embedder for future in used)
    assert loader.calibrations == [model.calibration]
    assert model.is_loaded
    assert model.is_used


def test_a_picture_is_read_as_the_model_reads_it(loader: Loader) -> None:
    model = LazyEmbedder(loader.fingerprint, loader.load)
    read = model.read_picture(encoded(picture("a.png", (30, 20))), ImageSettings())
    assert (read.width, read.height) == (30, 20)
    assert model.is_loaded


def test_the_identity_of_vectors_made_in_other_processes_needs_no_model_here(loader: Loader) -> None:
    model = LazyEmbedder(loader.fingerprint, loader.load)
    elsewhere = replace(loader.embedder.identity, precision="bf16")
    model.worked_elsewhere(elsewhere)
    assert model.identity == elsewhere
    assert model.is_used
    assert not model.is_loaded


def test_the_identity_is_the_loaded_models_where_no_vectors_were_made(loader: Loader) -> None:
    assert LazyEmbedder(loader.fingerprint, loader.load).identity == loader.embedder.identity


def test_a_model_that_can_not_be_loaded_is_tried_again(loader: Loader) -> None:
    failures = [ModelUnavailable("no memory")]

    def load(calibration: Calibration | None) -> Embedder:
        if failures:
            raise failures.pop()
        return loader.load(calibration)

    model = LazyEmbedder(loader.fingerprint, load)
    with pytest.raises(ModelUnavailable, match="no memory"):
        _ = model.embedder
    assert model.embedder is loader.embedder


def test_a_forgotten_model_is_loaded_again(loader: Loader) -> None:
    model = LazyEmbedder(loader.fingerprint, loader.load, lambda: "fake")
    assert (model.name, model.is_loaded) == ("fake", False)
    assert model.embedder is loader.embedder
    model.worked_elsewhere(replace(loader.embedder.identity, precision="bf16"))
    model.forget()
    assert not model.is_used
    assert model.identity == loader.embedder.identity
    assert len(loader.calibrations) == 2
