"""8-bit arithmetic is fitted to pictures once, and taken only when it is faster and finds the same neighbours."""

import json
import logging
import re
import shutil
from collections.abc import Callable, Iterator
from itertools import count as counting
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.errors import ModelUnavailable
from app.models import choose, extra
from app.models.agreement import overlap_of
from app.models.artifacts import MANIFEST
from app.models.calibration import MOST_PICTURES, Calibration, calibration_texts, sample_calibration, spread
from app.models.choose import KEEPS_NEIGHBOURS, can_fit_int8, fit_int8, load_embedder
from app.models.embedder import DualEncoder
from app.models.openvino import quantization, towers
from app.models.openvino.core import CORE
from app.models.openvino.quantization import BATCH, LEAST_PICTURES, LOOK_BATCHES, LOOK_ERROR, LOOK_TEXTS
from app.pictures.decoding import Picture
from app.pictures.limits import Limits
from app.settings import ModelSettings

pytestmark = pytest.mark.long(120)
"""With all other tests of models, which the same worker runs."""

Load = Callable[..., DualEncoder]
Fit = Callable[..., None]


def pictures(count: int) -> Iterator[Image.Image]:
    """Small pictures, each with its own colours."""
    random = np.random.default_rng(0)
    for _ in range(count):
        coarse = Image.fromarray(random.integers(0, 256, (3, 4, 3), np.uint8))
        yield coarse.resize((48, 36), Image.Resampling.BICUBIC)


SAMPLES = Calibration("the sample pictures", False, lambda _: pictures(LEAST_PICTURES))
OWN = Calibration("your pictures", True, lambda _: [None, *pictures(LEAST_PICTURES)])


@pytest.fixture
def load(tiny_clip: Path, tmp_path: Path) -> Load:
    def load(precision: str = "int8", calibration: Calibration | None = None, **settings: Any) -> DualEncoder:
        chosen = {"name": str(tiny_clip), "device": "cpu", "cache": tmp_path / "cache", "precision": precision}
        return load_embedder(ModelSettings(**chosen | settings), calibration)

    return load


@pytest.fixture(scope="module", autouse=True)
def few_texts_and_no_bfloat16() -> Iterator[None]:
    """With few texts a fitting takes a second and has the same result. Without bfloat16 all CPUs choose alike."""
    with pytest.MonkeyPatch.context() as patched:
        for module in (choose, towers):
            patched.setattr(module, "can_bfloat16", lambda: False)
        patched.setattr(quantization, "calibration_texts", lambda: calibration_texts()[::9])
        yield


@pytest.fixture(scope="module")
def a_cache(tiny_clip: Path, converted_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache in which `tiny_clip` was fitted to the samples."""
    cache = shutil.copytree(converted_cache, tmp_path_factory.mktemp("quantized"), dirs_exist_ok=True)
    load_embedder(ModelSettings(name=str(tiny_clip), device="cpu", cache=cache, precision="int8"), SAMPLES)
    return cache


@pytest.fixture
def kept(tmp_path: Path, a_cache: Path) -> Path:
    """The folder of the 8-bit model in a cache of the test's own."""
    (folder,) = shutil.copytree(a_cache, tmp_path / "cache").glob("openvino/*/int8")
    return folder


@pytest.fixture
def unfitted(kept: Path) -> None:
    """A cache that has the model only in fp32."""
    shutil.rmtree(kept)


@pytest.fixture
def fitted_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fitting takes no time and results in fp32. For tests of when it is done."""
    monkeypatch.setattr(quantization, "quantize_tower", lambda path, inputs: CORE.read_model(path))


@pytest.fixture
def able(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU that seems to have instructions for 8 bits. OpenVINO computes without them when there are none."""
    monkeypatch.setattr(choose, "has_int8_dot", lambda: True)


@pytest.fixture
def fit(tiny_clip: Path, tmp_path: Path, able: None) -> Fit:
    """Fits as after an index run."""

    def fit(calibration: Calibration = OWN, go_on: Callable[[], bool] = lambda: True, max_s: float = 60) -> None:
        settings = ModelSettings(name=str(tiny_clip), device="cpu", cache=tmp_path / "cache", precision="auto")
        fit_int8(settings, calibration, go_on=go_on, max_s=max_s)

    return fit


@pytest.fixture
def fittings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Fitting takes no time and results in fp32. The list gets the number of inputs of each tower that is fitted."""
    counts: list[int] = []

    def fit(path: Path, inputs: Any) -> Any:
        counts.append(len(list(inputs)))
        return CORE.read_model(path)

    monkeypatch.setattr(quantization, "quantize_tower", fit)
    return counts


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lets every comparison come to these results."""

    def compared(overlap: float = 1.0, speedup: float = 2.0) -> None:
        monkeypatch.setattr(quantization, "overlap_of", lambda *_: overlap)
        monkeypatch.setattr(quantization, "_speedup", lambda *_: speedup)

    return compared


def say(folder: Path, **changed: Any) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text()) | changed
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return manifest


def test_eight_bits_are_fitted_to_pictures_and_stay_near_fp32(load: Load, kept: Path) -> None:
    embedder, whole = load(), load("fp32")
    said = say(kept)
    assert (embedder.identity.precision, embedder.identity.runtime) == ("int8", "openvino-cpu")
    assert embedder.identity.agreement == said["agreement"]
    assert 0.95 < said["agreement"] < 1
    assert (said["source"], said["own"], said["against"]) == ("the sample pictures", False, "fp32")
    assert 0.5 < said["overlap"] <= 1
    assert said["speedup"] > 0
    assert said["text_speedup"] > 0
    texts = ["a red sofa", "two dogs " * 9]
    cosines = (embedder.encode_texts(texts) * whole.encode_texts(texts)).sum(axis=1)
    assert cosines.min() > 0.9
    assert cosines.max() < 0.999999, "these are vectors of other arithmetic"


def test_what_is_kept_is_not_fitted_again(load: Load, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted: list[Path] = []
    monkeypatch.setattr(quantization, "quantize_tower", lambda path, inputs: fitted.append(path))
    for calibration in (None, SAMPLES):
        assert load(calibration=calibration).identity.precision == "int8"
    assert fitted == []


def test_own_pictures_are_worth_a_fitting_and_samples_do_not_replace_them(
    load: Load, kept: Path, fitted_at_once: None
) -> None:
    load(calibration=OWN)
    assert say(kept)["source"] == "your pictures"
    load(calibration=SAMPLES)
    assert say(kept)["source"] == "your pictures"


@pytest.mark.parametrize("damage", ["torn", "other version"])
def test_damaged_eight_bits_are_fitted_again(damage: str, load: Load, kept: Path, fitted_at_once: None) -> None:
    if damage == "torn":
        (kept / "image.bin").write_bytes(b"torn")
    else:
        say(kept, openvino="1.0")
    with pytest.raises(ModelUnavailable, match="PRECISION=int8, but an index run has not fitted"):
        load()
    assert load(calibration=SAMPLES).identity.precision == "int8"
    assert say(kept)["openvino"] != "1.0"


def test_too_few_pictures_are_an_error_that_says_so_and_nothing_is_kept(
    load: Load, unfitted: None, tmp_path: Path
) -> None:
    few = Calibration("your pictures", True, lambda _: [*pictures(LEAST_PICTURES - 1), None])
    with pytest.raises(
        ModelUnavailable, match=r"takes 50 pictures .* of your pictures only 49 can be read\. Set PRECISION=auto"
    ):
        load(calibration=few)
    assert not list(tmp_path.rglob("int8"))


def test_a_tower_that_nncf_refuses_leaves_only_the_reason(
    load: Load, fit: Fit, kept: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*args: object) -> None:
        raise ValueError("no such operation\nmore")

    monkeypatch.setattr(quantization, "quantize_tower", refuse)
    for calibration in (OWN, None):
        with pytest.raises(ModelUnavailable, match=r"its image tower can't be had in 8 bits \(no such operation\)"):
            load(calibration=calibration)
    with caplog.at_level(logging.INFO, "app"):
        fit()
        assert caplog.text.count("does not run in int8: its image tower can't be had in 8 bits") == 1
        caplog.clear()
        assert load("auto").identity.precision == "fp32"
    assert not caplog.text


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), MemoryError()])
def test_what_may_be_otherwise_next_time_is_not_remembered(
    load: Load,
    fit: Fit,
    unfitted: None,
    fitted_at_once: None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    def fail(*args: object) -> None:
        raise error

    with monkeypatch.context() as broken:
        broken.setattr(quantization, "quantize_tower", fail)
        with pytest.raises(ModelUnavailable, match=r"PRECISION=int8, but .* could not be fitted \((.*No space|out of)"):
            load(calibration=SAMPLES)
        with caplog.at_level(logging.INFO, "app"):
            fit()
    assert "could not be fitted" in caplog.text
    assert not list(tmp_path.rglob("int8"))
    assert load(calibration=SAMPLES).identity.precision == "int8"


@pytest.mark.parametrize(
    ("result", "precision"),
    [
        ({"overlap": 0.951, "speedup": 1.5, "text_speedup": 1.0}, "int8"),
        ({"overlap": 0.949, "speedup": 3.0, "text_speedup": 3.0}, "fp32"),
        ({"overlap": 0.99, "speedup": 1.05, "text_speedup": 3.0}, "fp32"),
        ({"overlap": 0.99, "speedup": 3.0, "text_speedup": 0.9}, "fp32"),
    ],
)
def test_auto_takes_eight_bits_that_are_faster_and_find_the_same(
    load: Load, kept: Path, able: None, result: dict[str, float], precision: str
) -> None:
    say(kept, **result)
    assert load("auto").identity.precision == precision


def test_a_load_with_auto_fits_nothing_and_says_nothing(
    load: Load, unfitted: None, able: None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "app"):
        assert load("auto", OWN).identity.precision == "fp32"
    assert not caplog.text
    assert not list(tmp_path.rglob("int8"))


def test_a_fitting_that_pays_is_told_once_and_taken_by_the_next_load(
    load: Load,
    fit: Fit,
    unfitted: None,
    fittings: list[int],
    compared: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    compared(overlap=0.97, speedup=1.8)
    with caplog.at_level(logging.INFO, "app"):
        fit()
    assert re.search(
        r"From the next start on .* runs in int8: pictures 1\.8 and texts 1\.8 times as fast as in fp32, 97\.0 % of the"
        r" nearest pictures the same\. \(PRECISION=fp32 prevents it\.\)", caplog.text,
    )  # fmt: skip
    assert fittings == [LOOK_BATCHES, LOOK_TEXTS, -(-LEAST_PICTURES // BATCH), 16], "a look, then a whole fitting"
    caplog.clear()
    with caplog.at_level(logging.INFO, "app"):
        assert load("auto").identity.precision == "int8"
    assert not caplog.text


def test_a_look_at_a_few_pictures_rejects_what_does_not_pay_and_that_is_kept(
    load: Load,
    fit: Fit,
    unfitted: None,
    fittings: list[int],
    compared: Callable[..., None],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    compared(overlap=0.86)
    with caplog.at_level(logging.INFO, "app"):
        fit()
    assert re.search(
        r"stays in fp32: in int8 it finds 86\.0 % of the ten nearest pictures that fp32 finds, measured on your"
        r" pictures; at least 95 % are wanted\. \(PRECISION=int8 uses int8 anyway\.\)", caplog.text,
    )  # fmt: skip
    assert fittings == [LOOK_BATCHES, LOOK_TEXTS]
    (folder,) = tmp_path.glob("cache/openvino/*/int8")
    assert [path.name for path in folder.iterdir()] == [MANIFEST]
    assert load("auto").identity.precision == "fp32"
    assert load("int8", OWN).identity.precision == "int8", "what is asked for is fitted all the same"


def test_a_look_that_is_only_a_little_worse_is_followed_by_a_whole_fitting(
    fit: Fit, unfitted: None, fittings: list[int], compared: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    compared(overlap=KEEPS_NEIGHBOURS - LOOK_ERROR / 2)
    with caplog.at_level(logging.INFO, "app"):
        fit()
    assert len(fittings) == 4
    assert "stays in fp32" in caplog.text


@pytest.mark.parametrize("moment", [1, 60, 75])
def test_a_fitting_can_be_stopped_at_any_time_and_leaves_nothing(
    fit: Fit, unfitted: None, fittings: list[int], tmp_path: Path, caplog: pytest.LogCaptureFixture, moment: int
) -> None:
    asked = counting(1)
    with caplog.at_level(logging.INFO, "app"):
        fit(go_on=lambda: next(asked) < moment)
    assert "The fitting was stopped; a later index run fits" in caplog.text
    assert next(asked) == moment + 1, "it ends at once"
    (model,) = tmp_path.glob("cache/openvino/*")
    assert {path.name for path in model.parent.iterdir()} == {model.name}
    assert not [path for path in model.iterdir() if path.name == "int8" or path.name.startswith(".")]


def test_a_fitting_that_takes_too_long_is_given_up_for_good(
    load: Load, fit: Fit, unfitted: None, fittings: list[int], able: None, caplog: pytest.LogCaptureFixture,
    tiny_clip: Path, tmp_path: Path,
) -> None:  # fmt: skip
    settings = ModelSettings(name=str(tiny_clip), device="cpu", cache=tmp_path / "cache", precision="auto")
    fingerprint = load("fp32").identity.fingerprint
    assert can_fit_int8(settings, fingerprint)
    with caplog.at_level(logging.INFO, "app"):
        fit(max_s=-1)
    assert "stays in fp32: in int8 it takes more than" in caplog.text
    assert fittings == []
    assert not can_fit_int8(settings, fingerprint)


def test_what_can_be_fitted_is_known_without_the_model(
    kept: Path, able: None, tmp_path: Path, tiny_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ModelSettings(name=str(tiny_clip), device="cpu", cache=tmp_path / "cache", precision="auto")
    fingerprint = kept.parent.name
    assert can_fit_int8(settings, fingerprint), "the samples' fitting gives way to one to own pictures"
    say(kept, own=True)
    assert not can_fit_int8(settings, fingerprint)
    shutil.rmtree(kept)
    assert can_fit_int8(settings, fingerprint)
    assert not can_fit_int8(settings, "0" * 32), "the model is not converted here"
    for changed in ({"precision": "fp32"}, {"precision": "int8"}, {"runtime": "torch"}):
        assert not can_fit_int8(settings.model_copy(update=changed), fingerprint)
    with monkeypatch.context() as without:
        without.setattr(extra, "is_installed", lambda packages: False)
        assert not can_fit_int8(settings, fingerprint)
    monkeypatch.setattr(choose, "has_int8_dot", lambda: False)
    assert not can_fit_int8(settings, fingerprint)


def test_int8_that_is_asked_for_is_fitted_first_and_its_losses_are_told_once(
    load: Load, unfitted: None, fittings: list[int], compared: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    compared(overlap=0.9321)
    with caplog.at_level(logging.INFO, "app"):
        assert load("int8", OWN).identity.precision == "int8"
    assert fittings == [-(-LEAST_PICTURES // BATCH), 16], "no look first"
    assert "runs in int8, as PRECISION=int8 asks, but it finds 93.2 % of the ten nearest" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.INFO, "app"):
        assert load("int8").identity.precision == "int8"
    assert not caplog.text


def test_an_index_of_mixed_arithmetic_is_compared_too(
    load: Load, unfitted: None, fitted_at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[Any] = []

    def note(pictures: Any, pictures8: Any, *queries: Any) -> float:
        rows.append((pictures8 is pictures, bool(queries)))
        return 1.0

    monkeypatch.setattr(quantization, "overlap_of", note)
    load("int8", SAMPLES)
    assert rows == [(True, True), (False, True), (False, True), (False, False), (False, False)]


def test_pytorch_has_no_eight_bits(load: Load) -> None:
    with pytest.raises(ModelUnavailable, match="PRECISION=int8 is the arithmetic of OpenVINO"):
        load(runtime="torch")


def test_a_fitting_leaves_the_levels_of_handlers(
    kept: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("nncf.quantize", lambda *_, **__: None)
    logging.getLogger("nncf").addHandler(caplog.handler)
    quantization.quantize_tower(kept / "image.xml", [])
    logging.getLogger("nncf").removeHandler(caplog.handler)
    assert caplog.handler.level == logging.NOTSET


def test_overlap_counts_the_neighbours_that_both_name() -> None:
    rows = np.eye(40, dtype=np.float32) + 0.01 * np.arange(40, dtype=np.float32)
    assert overlap_of(rows, rows) == 1
    assert overlap_of(rows, rows, rows[:5], rows[:5]) == 1
    assert overlap_of(rows, -rows, rows[:5], rows[:5]) == 0
    half = rows[:1] * (np.arange(40) != 39)
    assert 0.8 <= overlap_of(rows, rows, rows[:1], half.astype(np.float32)) <= 0.9


def test_the_samples_of_the_checkout_are_what_is_at_hand() -> None:
    samples = sample_calibration()
    assert samples is not None
    files: list[bytes] = []

    def read(data: bytes, limits: Limits) -> Picture:
        files.append(data)
        return Picture(Image.new("RGB", (1, 1)), 1, 1, "JPEG")

    assert len(list(samples.pictures(read))) == len(files)
    assert LEAST_PICTURES < len(files) <= MOST_PICTURES
    assert all(data.startswith(b"\xff\xd8\xff") for data in files)
    assert len(set(calibration_texts())) == 144


def test_what_is_taken_is_spread_over_all() -> None:
    assert spread(range(1000), 4) == [0, 250, 500, 750]
    assert spread(range(3), 4) == range(3)
