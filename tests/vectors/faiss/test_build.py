"""Which shape an index takes."""

import numpy as np
import pytest

from app.settings import VectorSettings
from app.vectors.faiss.build import FLAT_VALUES, SQ8_ROWS, choose_shape, number_of_lists
from app.vectors.faiss.store import FaissStore

AUTO = VectorSettings()
COARSE = VectorSettings(recall=0.95)


@pytest.mark.parametrize(
    ("count", "dimension", "shape"),
    [
        (0, 512, "flat"), (10_000, 512, "flat"), (20_000, 512, "ivf_rabitq"), (1_000_000, 192, "ivf_rabitq"),
        (10_000_000, 512, "ivf_rabitq"),
    ],
)  # fmt: skip
def test_the_shape_goes_by_the_number_of_vectors(count: int, dimension: int, shape: str) -> None:
    assert choose_shape(count, dimension, AUTO) == shape


@pytest.mark.parametrize(
    ("recall", "count", "shape"),
    [(0.95, 10_000, "flat"), (0.95, 50_000, "ivf_sq8"), (0.95, 10_000_000, "ivf_rabitq"), (0.99, 50_000, "ivf_rabitq")],
)
def test_where_less_recall_will_do_smaller_codes_are_taken(recall: float, count: int, shape: str) -> None:
    assert choose_shape(count, 512, VectorSettings(recall=recall)) == shape


def test_a_setting_forces_it() -> None:
    assert choose_shape(10, 512, VectorSettings(shape="ivf_rabitq")) == "ivf_rabitq"
    assert choose_shape(10**7, 512, VectorSettings(shape="flat"), "ivf_sq8") == "flat"


def test_an_index_that_swings_around_a_bound_does_not_change_its_shape_each_time() -> None:
    edge = FLAT_VALUES // 512
    assert choose_shape(edge + 1, 512, AUTO, "flat") == "ivf_rabitq"
    assert choose_shape(edge - 100, 512, AUTO, "ivf_rabitq") == "ivf_rabitq"
    assert choose_shape(edge // 2, 512, AUTO, "ivf_rabitq") == "flat"
    assert choose_shape(SQ8_ROWS - 100, 512, COARSE, "ivf_rabitq") == "ivf_rabitq"
    assert choose_shape(SQ8_ROWS // 2, 512, COARSE, "ivf_rabitq") == "ivf_sq8"


def test_lists_have_rows_enough() -> None:
    assert number_of_lists(1_000_000) == 4096
    assert number_of_lists(10_000_000) in (8192, 16384)
    assert all(number_of_lists(count) <= max(1, count // 40) for count in (1, 39, 100, 5000, 100_000))


@pytest.mark.parametrize("shape", ["flat", "ivf_sq8", "ivf_rabitq"])
@pytest.mark.parametrize("count", [0, 1, 7])
def test_any_shape_can_be_forced_on_very_few_rows(tmp_path, shape: str, count: int) -> None:  # type: ignore[no-untyped-def]
    from tests.vectors.faiss.test_ivf import rows_of

    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((count, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    store = FaissStore(16)
    store.add(np.arange(count), vectors, [""] * count)
    saved = store.save(tmp_path / "index.bin", VectorSettings(shape=shape))  # type: ignore[arg-type]
    store = FaissStore.load(tmp_path / "index.bin", rows_of(saved, dict.fromkeys(range(count), "")), saved.accuracy)
    assert [[row for row, _ in hits] for hits in store.search(vectors, 1)] == [[row] for row in range(count)]
