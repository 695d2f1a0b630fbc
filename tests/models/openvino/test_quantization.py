"""8-bit arithmetic is fitted to pictures once, and taken only when it is faster and finds the same neighbours."""

import io
import json
import logging
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.errors import ModelUnavailable
from app.models import choose
from app.models.agreement import overlap_of
from app.models.artifacts import MANIFEST
from app.models.calibration import MOST_PICTURES, Calibration, calibration_texts, sample_calibration, spread
from app.models.choose import load_embedder
from app.models.embedder import DualEncoder
from app.models.openvino import quantization
from app.models.openvino.core import CORE
from app.models.openvino.quantization import LEAST_PICTURES
from app.settings import ModelSettings

pytestmark = pytest.mark.long(120)
"""With all other tests of models, which the same worker runs."""

Load = Callable[..., DualEncoder]


def pictures(count: int) -> Iterable[bytes]:
    """Small pictures, each with its own colours."""
    random = np.random.default_rng(0)
    for _ in range(count):
        buffer = io.BytesIO()
        coarse = Image.fromarray(random.integers(0, 256, (3, 4, 3), np.uint8))
        coarse.resize((48, 36), Image.Resampling.BICUBIC).save(buffer, "PNG")
        yield buffer.getvalue()


SAMPLES = Calibration("the sample pictures", False, lambda: pictures(LEAST_PICTURES))
OWN = Calibration("your pictures", True, lambda: [b"no picture", *pictures(LEAST_PICTURES)])


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
        patched.setattr(choose, "can_bfloat16", lambda: False)
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
        say(kept, nncf="1.0")
    with pytest.raises(ModelUnavailable, match="PRECISION=int8, but an index run has not fitted"):
        load()
    assert load(calibration=SAMPLES).identity.precision == "int8"
    assert say(kept)["nncf"] != "1.0"


def test_too_few_pictures_are_an_error_that_says_so_and_nothing_is_kept(
    load: Load, unfitted: None, tmp_path: Path
) -> None:
    few = Calibration("your pictures", True, lambda: [*pictures(LEAST_PICTURES - 1), b"no picture"])
    with pytest.raises(
        ModelUnavailable, match=r"takes 50 pictures .* of your pictures only 49 can be read\. Set PRECISION=auto"
    ):
        load(calibration=few)
    assert not list(tmp_path.rglob("int8"))


def test_a_tower_that_nncf_refuses_leaves_only_the_reason(
    load: Load, kept: Path, monkeypatch: pytest.MonkeyPatch, able: None, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*args: object) -> None:
        raise ValueError("no such operation\nmore")

    monkeypatch.setattr(quantization, "quantize_tower", refuse)
    for calibration in (OWN, None):
        with pytest.raises(ModelUnavailable, match=r"its image tower can't be had in 8 bits \(no such operation\)"):
            load(calibration=calibration)
    with caplog.at_level(logging.WARNING, "app"):
        assert load("auto", OWN).identity.precision == "fp32"
    assert "runs in fp32, not in int8: its image tower can't be had in 8 bits" in caplog.text


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), MemoryError()])
def test_what_may_be_otherwise_next_time_is_not_remembered(
    load: Load,
    able: None,
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
        with caplog.at_level(logging.WARNING, "app"):
            assert load("auto", SAMPLES).identity.precision == "fp32"
    assert "could not be fitted" in caplog.text
    assert not list(tmp_path.rglob("int8"))
    assert load(calibration=SAMPLES).identity.precision == "int8"


def test_auto_takes_eight_bits_that_are_faster_and_find_the_same(load: Load, kept: Path, able: None) -> None:
    say(kept, overlap=0.951, speedup=1.5)
    assert load("auto").identity.precision == "int8"
    say(kept, overlap=0.99, speedup=1.05)
    assert load("auto").identity.precision == "fp32"


def test_auto_stays_with_floats_where_eight_bits_find_others_and_says_why(
    load: Load, kept: Path, able: None, caplog: pytest.LogCaptureFixture
) -> None:
    say(kept, overlap=0.9321, speedup=3.0)
    with caplog.at_level(logging.WARNING, "app"):
        assert load("auto").identity.precision == "fp32"
    assert (
        "finds 93.2 % of the ten nearest pictures that it finds in fp32, measured on the sample pictures" in caplog.text
    )
    assert caplog.text.strip().endswith("at least 95 % are wanted: it runs in fp32")
    caplog.clear()
    with caplog.at_level(logging.WARNING, "app"):
        assert load("int8").identity.precision == "int8"
    assert "but PRECISION=int8 asks for it" in caplog.text


def test_auto_fits_nothing_on_a_cpu_that_gains_nothing(
    load: Load, unfitted: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choose, "has_int8_dot", lambda: False)
    assert load("auto", SAMPLES).identity.precision == "fp32"
    assert not list(tmp_path.rglob("int8"))


def test_auto_without_pictures_goes_on_in_floats(
    load: Load, unfitted: None, able: None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "app"):
        assert load("auto").identity.precision == "fp32"
    assert "runs in fp32, not in int8: an index run has not fitted 8-bit arithmetic on this machine" in caplog.text
    assert all(record.levelno == logging.INFO for record in caplog.records)


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
    files = list(samples.files())
    assert LEAST_PICTURES < len(files) <= MOST_PICTURES
    assert all(data.startswith(b"\xff\xd8\xff") for data in files)
    assert len(set(calibration_texts())) == 144


def test_what_is_taken_is_spread_over_all() -> None:
    assert spread(range(1000), 4) == [0, 250, 500, 750]
    assert spread(range(3), 4) == range(3)
