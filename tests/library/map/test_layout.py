"""The arithmetic of the map: principal components, alignment, places between neighbours, and the file of a layout."""

import numpy as np
import pytest

from app.errors import IndexCorrupt
from app.library.map.layout import BLOCK, Layout, aligned, between, normalised, principal_points
from app.types import Ids, Vectors


def layout_of(rows: list[int], points: object = None, **fields: object) -> Layout:
    ids = np.array(rows, np.int64)
    made = np.zeros((len(ids), 2)) if points is None else np.array(points)
    values = {
        "kind": "pca",
        "fingerprint": "f00d",
        "contents": ids.astype(np.uint64),
        "placed": np.zeros(len(ids), bool),
    }
    return Layout(rows=ids, points=made.astype(np.float32), **(values | fields))


def random_vectors(count: int, dimension: int = 6, seed: int = 1) -> Vectors:
    spread = np.linspace(3, 0.5, dimension)
    vectors = np.random.default_rng(seed).standard_normal((count, dimension)) * spread + 1
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def points_of(vectors: Vectors) -> np.ndarray:
    return principal_points(np.arange(len(vectors)), lambda rows: vectors[rows])


def test_the_two_directions_of_greatest_variance() -> None:
    vectors = random_vectors(300)
    centred = vectors - vectors.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    expected = centred @ axes[:2].T
    expected /= np.sqrt((expected**2).sum(axis=1).mean())
    found = points_of(vectors)
    assert found.shape == (300, 2)
    for axis in range(2):
        sign = np.sign(found[:, axis] @ expected[:, axis])
        assert found[:, axis] == pytest.approx(sign * expected[:, axis], abs=1e-3)


def test_the_same_vectors_lie_at_the_same_place_each_time() -> None:
    vectors = random_vectors(200)
    assert points_of(vectors).tobytes() == points_of(vectors.copy()).tobytes()


def test_more_vectors_than_are_read_at_once() -> None:
    asked: list[int] = []
    vectors = random_vectors(BLOCK + 5, 2)

    def read(rows: Ids) -> Vectors:
        asked.append(len(rows))
        return vectors[rows]

    assert len(principal_points(np.arange(len(vectors)), read)) == len(vectors)
    assert max(asked) == BLOCK


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_tiny_libraries(count: int) -> None:
    points = points_of(random_vectors(count)) if count else points_of(np.empty((0, 6), np.float32))
    assert points.shape == (count, 2)
    assert np.isfinite(points).all()
    assert len({tuple(each) for each in points.round(3).tolist()}) == count


def test_equal_vectors_lie_at_one_place() -> None:
    assert points_of(np.tile(random_vectors(1), (50, 1))).tolist() == [[0, 0]] * 50
    mixed = points_of(np.repeat(random_vectors(4), 5, axis=0))
    assert len(np.unique(mixed.round(4), axis=0)) == 4


def test_a_layout_is_turned_mirrored_scaled_and_moved_onto_the_old_one() -> None:
    old = np.random.default_rng(1).standard_normal((40, 2)).astype(np.float32)
    turn = np.array([[0.6, -0.8], [-0.8, -0.6]])
    new = (old @ turn * 3 + [5, -2]).astype(np.float32)
    assert aligned(new, new[:25], old[:25]) == pytest.approx(old, abs=1e-4)


def test_alignment_does_not_shrink_a_layout_that_has_nothing_in_common_with_the_old_one() -> None:
    rng = np.random.default_rng(2)
    old, new = rng.standard_normal((2, 500, 2)).astype(np.float32)
    for _ in range(5):
        old, new = aligned(new, new, old), rng.standard_normal((500, 2)).astype(np.float32)
        assert np.sqrt((old**2).sum(axis=1).mean()) == pytest.approx(np.sqrt(2), rel=0.1)


@pytest.mark.parametrize("common", [0, 1, 2])
def test_alignment_by_few_pictures_keeps_the_size(common: int) -> None:
    new = np.random.default_rng(3).standard_normal((9, 2)).astype(np.float32)
    moved = aligned(new, new[:common], np.full((common, 2), 0.5, np.float32))
    assert np.isfinite(moved).all()
    assert normalised(moved).std() == pytest.approx(normalised(new).std(), rel=1e-3)
    assert np.linalg.norm(moved - moved.mean(0)) == pytest.approx(np.linalg.norm(new - new.mean(0)), rel=1e-3)


def test_a_picture_lies_amid_most_of_its_neighbours_and_not_between_two_groups() -> None:
    near = np.array([[[0, 0], [0.1, 0.1], [0.2, 0], [9, 9], [9.1, 9]]], np.float32)
    (place,) = between(near, np.array([[0.8, 0.8, 0.8, 0.8, 0.8]]))
    assert (place <= 0.2).all()


def test_a_twin_lies_where_its_twin_lies() -> None:
    near = np.array([[[3, 4], [0, 0], [0, 0]]], np.float32)
    assert between(near, np.array([[0.0, 0.1, 0.1]])).tolist() == [[3, 4]]


def test_neighbours_at_infinity_do_not_count() -> None:
    near = np.array([[[7, 7], [1, 2], [7, 7]]], np.float32)
    assert between(near, np.array([[np.inf, 0.9, np.inf]])).tolist() == [[1, 2]]


def test_a_part_and_what_was_put_beside_it() -> None:
    layout = layout_of([-5, 2, 8], [[1, 1], [2, 2], [3, 3]])
    part = layout.only(np.array([-5, 2, 9]), np.array([np.uint64(2**64 - 5), 7, 9]))
    assert part.rows.tolist() == [-5]  # 2 has another content, 8 is gone
    both = part.joined(np.array([-9, 9]), np.array([1, 9], np.uint64), np.array([[0, 1], [2, 3]], np.float32))
    assert both.rows.tolist() == [-9, -5, 9]
    assert both.points.tolist() == [[0, 1], [1, 1], [2, 3]]
    assert both.placed.tolist() == [True, False, True]


def test_a_layout_is_read_back_as_it_was_written() -> None:
    layout = layout_of([-1, 4], [[0.5, 1], [2, -3]], kind="umap", placed=np.array([False, True]))
    read = Layout.from_bytes(layout.to_bytes())
    assert (read.kind, read.fingerprint) == ("umap", "f00d")
    for name in ("rows", "contents", "points", "placed"):
        assert getattr(read, name).tolist() == getattr(layout, name).tolist(), name


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no zip at all",
        layout_of([1, 2]).to_bytes()[:-200],
        layout_of([2, 1]).to_bytes(),
        layout_of([1, 2], [[1, 2]]).to_bytes(),
        layout_of([1, 2], [[1, 2], [np.nan, 1]]).to_bytes(),
        layout_of([1, 2], placed=np.zeros(1, bool)).to_bytes(),
    ],
)
def test_a_damaged_layout_is_refused(data: bytes) -> None:
    with pytest.raises(IndexCorrupt):
        Layout.from_bytes(data)
