"""What the stores share: checks, batches, look-up by id, folders and ranking."""

import numpy as np
import pytest

from app.vectors.rows import BATCH_BYTES, BATCH_ROWS, batches, check_rows, locate, outermost, ranked, search_exactly


def test_ids_are_located_in_any_order() -> None:
    ids = np.array([7, -3, 12, 0])
    positions, found = locate(ids, np.argsort(ids), np.array([12, 5, 7, -3, 99]))
    assert found.tolist() == [True, False, True, True, False]
    assert positions[found].tolist() == [2, 0, 1]
    _, found = locate(np.empty(0, np.int64), np.empty(0, np.int64), np.array([1, 2]))
    assert found.tolist() == [False, False]


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        (["a", "a/b", "a/b/c", "ab"], ["a", "ab"]),
        (["x/y", "x/z"], ["x/y", "x/z"]),
        (["a", ""], []),
        ([], []),
    ],
)
def test_folders_below_others_are_left_out(folders: list[str], expected: list[str]) -> None:
    assert outermost(folders) == expected


def test_batches_are_bounded_by_rows_and_by_bytes() -> None:
    assert [part.stop - part.start for part in batches(2 * BATCH_ROWS, 1)] == [BATCH_ROWS] * 2
    wide = next(iter(batches(BATCH_ROWS, 4096)))
    assert (wide.stop - wide.start) * 4096 * 4 <= BATCH_BYTES
    assert next(iter(batches(5, 10 * BATCH_BYTES))) == slice(0, 1)


def test_rows_are_checked() -> None:
    check_rows(2, np.array([1]), np.ones((1, 2), np.float32), ["a"])
    with pytest.raises(ValueError, match="no number"):
        check_rows(2, np.array([1]), np.array([[1, np.inf]], np.float32), ["a"])
    with pytest.raises(ValueError, match="distinct ids"):
        check_rows(2, np.array([1, 1]), np.ones((2, 2), np.float32), ["a", "b"])


def test_hits_are_ranked_by_score_then_by_id() -> None:
    assert ranked([3, 1, 2], [0.5, 0.5, 1.0000001], 2) == [(2, 1.0), (1, 0.5)]
    rows = [([3], np.array([[1.0, 0.0]], np.float32)), ([1, 2], np.array([[1.0, 0.0], [0.0, 1.0]], np.float32))]
    assert search_exactly(np.array([[1.0, 0.0]], np.float32), 2, rows) == [[(1, 1.0), (3, 1.0)]]
