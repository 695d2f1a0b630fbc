"""Models are converted to OpenVINO once, compared with PyTorch, and kept. Damaged conversions are made again."""

import json
import logging
import resource
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.errors import ModelUnavailable
from app.models import choose
from app.models.agreement import sample_pictures
from app.models.artifacts import MANIFEST
from app.models.choose import MEASURED, load_embedder
from app.models.embedder import DualEncoder
from app.models.hugging_face import SourceModel
from app.models.openvino.core import NotConvertible
from app.settings import ModelSettings

Load = Callable[..., DualEncoder]


@pytest.fixture(autouse=True)
def no_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same CPU everywhere: without bfloat16, unless a test says otherwise."""
    monkeypatch.setattr(choose, "can_bfloat16", lambda: False)


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load(folder: Path, **settings: Any) -> DualEncoder:
        return load_embedder(
            ModelSettings(
                name=str(folder), device="cpu", **{"cache": tmp_path / "cache", "precision": "auto"} | settings
            )
        )

    return load


@pytest.fixture
def converted(tmp_path: Path, converted_cache: Path) -> Path:
    """The folder of the converted model in a cache of the test's own."""
    (folder,) = shutil.copytree(converted_cache, tmp_path / "cache").glob("openvino/*")
    return folder


@pytest.fixture
def no_conversion(monkeypatch: pytest.MonkeyPatch) -> list[SourceModel]:
    """Collects the models whose PyTorch weights the test reads."""
    asked: list[SourceModel] = []
    monkeypatch.setattr(SourceModel, "load_network", asked.append)
    return asked


def test_a_converted_model_is_loaded_without_its_pytorch_weights(
    converted: Path, tiny_clip: Path, load: Load, no_conversion: list[SourceModel]
) -> None:
    embedder = load(tiny_clip)
    assert (embedder.identity.runtime, embedder.identity.precision) == ("openvino-cpu", "fp32")
    assert embedder.identity.agreement == 1.0
    assert no_conversion == []
    assert sorted(path.name for path in converted.iterdir()) == [
        "image.bin", "image.xml", MANIFEST, "preparation.json", "text.bin", "text.xml", "tokenizer.json"
    ]  # fmt: skip
    assert [path.name for path in converted.parent.iterdir()] == [converted.name]


@pytest.mark.parametrize(
    "damage", ["torn", "lost", "tokens torn", "no manifest", "manifest torn", "other version", "foreign"]
)
def test_a_damaged_or_foreign_conversion_is_not_trusted(
    damage: str, converted: Path, tiny_clip: Path, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights, manifest = converted / "image.bin", json.loads((converted / MANIFEST).read_text())
    if damage == "torn":
        weights.write_bytes(weights.read_bytes()[:-100] + bytes(100))
    elif damage == "lost":
        weights.unlink()
    elif damage == "tokens torn":
        (converted / "tokenizer.json").write_text("{}")
    elif damage == "no manifest":
        (converted / MANIFEST).unlink()
    elif damage == "manifest torn":
        (converted / MANIFEST).write_text(json.dumps(manifest)[:40])
    elif damage == "other version":
        (converted / MANIFEST).write_text(json.dumps(manifest | {"openvino": "2020.1"}))
    else:
        (converted / MANIFEST).write_text(json.dumps(manifest | {"fingerprint": "0" * 32}))
    monkeypatch.setattr(SourceModel, "load_network", _say_that_it_converts)
    with pytest.raises(ModelUnavailable, match="converts again"):
        load(tiny_clip)


def _say_that_it_converts(source: SourceModel) -> None:
    raise ModelUnavailable("It converts again.")


def test_what_is_damaged_is_converted_again(
    converted: Path, tiny_clip: Path, load: Load, caplog: pytest.LogCaptureFixture
) -> None:
    before, manifest = load(tiny_clip).encode_texts(["a dog"]), (converted / MANIFEST).read_text()
    (converted / "text.bin").write_bytes(b"")
    with caplog.at_level(logging.WARNING, "app"):
        again = load(tiny_clip)
    assert "damaged or of another version" in caplog.text
    np.testing.assert_allclose(again.encode_texts(["a dog"]), before, atol=1e-6)
    assert json.loads((converted / MANIFEST).read_text()).keys() == json.loads(manifest).keys()
    assert [path.name for path in converted.parent.iterdir()] == [converted.name]


def test_a_model_that_openvino_cannot_run_stays_with_pytorch_and_says_so(
    tiny_siglip2: Path, load: Load, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with caplog.at_level(logging.WARNING, "app"):
        assert load(tiny_siglip2).identity.runtime == "torch-cpu"
    assert "runs on PyTorch, not on the faster OpenVINO: its image tower gives other vectors there" in caplog.text
    monkeypatch.setattr("app.models.openvino.tracing.trace_tower", None)  # the cache remembers the reason
    caplog.clear()
    with caplog.at_level(logging.WARNING, "app"):
        assert load(tiny_siglip2).identity.runtime == "torch-cpu"
    assert "its image tower gives other vectors there" in caplog.text
    with pytest.raises(ModelUnavailable, match="MODEL_RUNTIME=openvino, but its image tower gives other vectors"):
        load(tiny_siglip2, runtime="openvino")


def test_a_conversion_that_fails_leaves_logging_as_it_was() -> None:
    import torch

    from app.models.openvino import tracing

    root = logging.getLogger()
    before = root.level, list(root.filters), list(root.handlers)

    class Branching(torch.nn.Module):
        def get_text_features(self, **inputs: Any) -> Any:
            raise RuntimeError("no such operation")

    with pytest.raises(NotConvertible, match=r"its text tower can't be converted"):
        tracing.trace_tower(Branching(), "text", {"input_ids": np.ones((1, 3), np.int64)})
    assert (root.level, list(root.filters), list(root.handlers)) == before


def test_of_two_conversions_in_a_process_one_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each restores the root logger as it found it, so the second must not start while the first has changed it."""
    import torch

    from app.models.openvino import tracing

    at_work, seen, second_came = 0, [], threading.Event()

    def convert(*args: Any, **options: Any) -> Any:
        nonlocal at_work
        at_work += 1
        seen.append(at_work)
        if at_work == 2:
            second_came.set()
        second_came.wait(0.2)
        at_work -= 1
        raise RuntimeError("no such operation")

    def trace() -> None:
        with pytest.raises(NotConvertible):
            tracing.trace_tower(torch.nn.Identity(), "text", {"input_ids": np.ones((1, 3), np.int64)})

    monkeypatch.setattr(tracing.openvino, "convert_model", convert)
    threads = [threading.Thread(target=trace) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [1, 1]


def test_of_two_processes_that_convert_at_once_one_is_enough(
    converted_cache: Path, tiny_clip: Path, tmp_path: Path, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one finishes while this one is at work."""
    from app.models.openvino import tracing

    real = tracing.trace_tower

    def trace_slowly(model: Any, kind: str, inputs: Any) -> Any:
        if kind == "image":
            shutil.copytree(converted_cache, tmp_path / "cache", dirs_exist_ok=True)
        return real(model, kind, inputs)

    monkeypatch.setattr(tracing, "trace_tower", trace_slowly)
    assert load(tiny_clip).identity.runtime == "openvino-cpu"
    assert len(list((tmp_path / "cache" / "openvino").iterdir())) == 1


@pytest.mark.usefixtures("converted")
def test_an_index_runs_pictures_have_the_vectors_of_a_query(tiny_clip: Path, tmp_path: Path) -> None:
    """An index run gives each core its own picture; the vectors must not change by that."""
    settings = ModelSettings(name=str(tiny_clip), device="cpu", cache=tmp_path / "cache")
    alone, together = load_embedder(settings), load_embedder(settings, for_batches=True)
    for count in (1, 2, 3, 16):
        pictures = (sample_pictures() * 4)[:count]
        one_by_one = np.concatenate([alone.encode_images([picture]) for picture in pictures])
        np.testing.assert_allclose(together.encode_images(pictures), one_by_one, atol=1e-5)
    np.testing.assert_allclose(together.encode_texts(["a dog"]), alone.encode_texts(["a dog"]), atol=1e-6)


def test_a_cache_that_cannot_be_written_is_an_error_that_says_so(tiny_clip: Path, tmp_path: Path, load: Load) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelUnavailable, match=r"in MODEL_CACHE=.*Set MODEL_CACHE to a folder that can be written"):
        load(tiny_clip, cache=tmp_path / "file")


@contextmanager
def no_file_above(size_bytes: int) -> Iterator[None]:
    """This process can write no larger file, as if the disk were full (Python ignores SIGXFSZ, so writes fail)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size_bytes", [1000, 60_000])
def test_a_cache_without_room_is_an_error_that_says_so(
    tiny_clip: Path, tmp_path: Path, load: Load, size_bytes: int
) -> None:
    message = r"in MODEL_CACHE=.*: text\.xml can't be written .*Set MODEL_CACHE to a folder that .* has room"
    with no_file_above(size_bytes), pytest.raises(ModelUnavailable, match=message):
        load(tiny_clip)
    assert load(tiny_clip).identity.runtime == "openvino-cpu"


def test_a_measurement_that_cannot_be_kept_is_made_again(
    converted: Path, tiny_clip: Path, load: Load, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(choose, "can_bfloat16", lambda: True)
    (converted / MEASURED).with_suffix(".part").mkdir()
    assert load(tiny_clip).identity.precision == "bf16"
    assert "The agreement of bf16 can't be kept" in caplog.text


def test_bfloat16_is_taken_where_the_cpu_has_it_and_vectors_keep(
    converted: Path, tiny_clip: Path, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a CPU without bfloat16 OpenVINO computes in float32 instead, so this test runs everywhere."""
    monkeypatch.setattr(choose, "can_bfloat16", lambda: True)
    identity = load(tiny_clip).identity
    assert identity.precision == "bf16"
    assert identity.agreement == json.loads((converted / MEASURED).read_text())["bf16"] > 0.995
    assert load(tiny_clip, precision="fp32").identity.precision == "fp32"


def test_bfloat16_that_would_change_the_vectors_is_left_alone(
    converted: Path, tiny_clip: Path, load: Load, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(choose, "can_bfloat16", lambda: True)
    (converted / MEASURED).write_text('{"bf16": 0.99}')
    with caplog.at_level(logging.DEBUG, "app"):
        assert load(tiny_clip).identity.precision == "fp32"
    assert (
        "runs in fp32: in bf16 its vectors would stray too far (mean cosine 0.9900, at least 0.995 wanted)"
        in caplog.text
    )
    asked_for = load(tiny_clip, precision="bf16").identity
    assert (asked_for.precision, asked_for.agreement) == ("bf16", 0.99)


def test_bfloat16_that_the_cpu_lacks_is_an_error(
    converted: Path, tiny_clip: Path, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choose, "can_bfloat16", lambda: False)
    with pytest.raises(ModelUnavailable, match=r"this CPU does not multiply bfloat16 .* Set PRECISION=auto"):
        load(tiny_clip, precision="bf16")
    assert load(tiny_clip).identity.precision == "fp32"


def test_openvino_sends_no_reports_about_its_use() -> None:
    import sys

    assert sys.modules["openvino_telemetry"] is None
