"""After a run is published and reported, 8-bit arithmetic is fitted to indexed pictures; nothing depends on it."""

import io
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from app import bootstrap
from app.bootstrap import Parts
from app.errors import ModelUnavailable
from app.indexing.messages import Report
from app.models.calibration import MOST_PICTURES, Calibration
from app.pictures.decoding import decode_image
from app.pictures.processes import DecoderProcesses
from app.settings import ImageSettings
from indexer import fitting
from indexer.cli import make_app
from indexer.fitting import LEAST_PICTURES, LEAST_RUN_S, calibration_on, fit_after
from indexer.signals import NeverStop
from tests.indexer.picture_collection import Collection, CountedStop, png

LONG_RUN = Report(embedded=LEAST_PICTURES, images_per_s=LEAST_PICTURES / (2 * LEAST_RUN_S))


@pytest.fixture
def fitted(monkeypatch: pytest.MonkeyPatch) -> list[Calibration]:
    """What the model is fitted to. Takes no time."""
    calibrations: list[Calibration] = []

    def fit(settings: object, calibration: Calibration, *, go_on: Callable[[], bool], max_s: float) -> None:
        assert go_on()
        assert 60 <= max_s <= 3600
        calibrations.append(calibration)

    monkeypatch.setattr(bootstrap, "can_fit_int8", lambda settings, fingerprint: True)
    monkeypatch.setattr(bootstrap, "fit_int8", fit)
    return calibrations


@pytest.fixture
def indexed(collection: Collection) -> Parts:
    """As many indexed pictures as a fitting takes, or some more."""
    for number in range(LEAST_PICTURES):
        collection.store.put(f"more/{number:03}.png", png(number))
    collection.run()
    return collection.parts()


def test_after_a_long_run_the_indexed_pictures_are_what_is_fitted_to(
    indexed: Parts, fitted: list[Calibration], caplog: pytest.LogCaptureFixture
) -> None:
    assert indexed.model.embedder
    with caplog.at_level(logging.INFO, "indexer"):
        fit_after(indexed, LONG_RUN, NeverStop())
    (calibration,) = fitted
    assert calibration.own
    pictures = list(calibration.pictures(decode_image))
    assert LEAST_PICTURES <= sum(picture is not None for picture in pictures) <= MOST_PICTURES
    assert "The index is ready" in caplog.text
    assert not indexed.model.is_loaded, "the next run of this process loads what was fitted"


@pytest.mark.parametrize(
    "report",
    [
        replace(LONG_RUN, images_per_s=float(LEAST_PICTURES)),
        replace(LONG_RUN, interrupted=True),
        Report(unchanged=10_000),
        Report(reused=10_000, images_per_s=1),
    ],
    ids=["short", "interrupted", "nothing new", "only copies"],
)
def test_other_runs_are_not_followed_by_a_fitting(indexed: Parts, fitted: list[Calibration], report: Report) -> None:
    fit_after(indexed, report, NeverStop())
    assert fitted == []


def test_a_small_index_is_not_fitted_to(collection: Collection, fitted: list[Calibration]) -> None:
    collection.put("a.png", 1)
    collection.run()
    fit_after(collection.parts(), LONG_RUN, NeverStop())
    assert fitted == []


def test_a_run_that_is_to_stop_fits_nothing(indexed: Parts, fitted: list[Calibration]) -> None:
    fit_after(indexed, LONG_RUN, CountedStop(lambda: True))
    assert fitted == []


def test_a_model_that_is_not_converted_here_is_not_fitted(indexed: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """It runs on a GPU, or on the nodes of a Ray cluster."""
    monkeypatch.setattr(bootstrap, "fit_int8", None)
    fit_after(indexed, LONG_RUN, NeverStop())


@pytest.mark.parametrize("error", [ModelUnavailable("no model"), MemoryError("none left")], ids=str)
def test_an_error_is_only_logged(
    indexed: Parts, fitted: list[Calibration], error: Exception, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(bootstrap, "fit_int8", fail)
    with caplog.at_level(logging.INFO, "indexer"):
        fit_after(indexed, LONG_RUN, NeverStop())
    assert f"8-bit arithmetic was not fitted: {error}" in caplog.text


# The command


def run_command(collection: Collection, *options: str) -> Any:
    return CliRunner().invoke(make_app(lambda _: collection.parts()), ["--progress", "log", *options])


def test_the_report_comes_first_and_what_follows_changes_nothing_of_it(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection.put("a.png", 1)
    seen: list[str | None] = []

    def fit(parts: Parts, report: Report, stop: object) -> None:
        print("after")
        seen.append(report.generation)

    monkeypatch.setattr(fitting, "fit_after", fit)
    result = run_command(collection)
    assert result.exit_code == 0
    assert seen == [collection.snapshot().pointer.generation]
    report, after = result.stdout.splitlines()
    assert (report[0], after) == ("{", "after")
    assert run_command(collection, "--no-fit").exit_code == 0
    assert len(seen) == 1


# The pictures that are fitted to


@pytest.fixture
def decoding(collection: Collection) -> Iterator[Parts]:
    """Parts with real decoder processes and a short time limit."""
    decoders = DecoderProcesses(2, 200 << 20)
    images = ImageSettings(timeout_s=0.3)
    parts = collection.parts()
    yield replace(parts, decoders=decoders, settings=parts.settings.model_copy(update={"image": images}))
    decoders.close()


def bomb() -> bytes:
    """A small JPEG of many scans, which takes minutes to decode (as `progressive` bombs do)."""
    out = io.BytesIO()
    Image.new("RGB", (3000, 3000)).save(out, "JPEG", progressive=True, quality=5)
    data = out.getvalue()
    return data[:-2] + data[data.rfind(b"\xff\xda") : -2] * 3000 + b"\xff\xd9"


def test_a_hostile_picture_and_a_broken_one_are_left_out_in_time(decoding: Parts, tmp_path: Path) -> None:
    for key, data in (("bomb.jpg", bomb()), ("broken.jpg", b"\xff\xd8\xff no jpeg"), ("fine.png", png(1))):
        decoding.store.put(key, data)
    objects = [info for info in decoding.store.list() if info.key in ("bomb.jpg", "broken.jpg", "fine.png")]
    decoding.store.put("gone.png", png(2))
    objects += [info for info in decoding.store.list() if info.key == "gone.png"]
    decoding.store.delete("gone.png")
    pictures = [each for each in calibration_on(decoding, objects).pictures(decode_image) if each]
    assert [picture.size for picture in pictures] == [(12, 9)]
