"""Regions of the map and their names."""

import numpy as np
import pytest

from app.library.map.regions import MAX_REGIONS, SAMPLE, regions_of
from app.library.map.words import WORDS
from app.types import Ids, Vectors

AXES = np.eye(5, dtype=np.float32)
"""What pictures of five kinds look like; the last one is what all have in common."""

KINDS = ("dog", "beach", "car", "cake")


def group(kind: int, count: int, *, common: float = 0.5) -> Vectors:
    noise = np.random.default_rng(kind).standard_normal((count, 5)) * 0.05
    vectors = AXES[kind] + common * AXES[4] + noise
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def four_groups(count: int = 200) -> tuple[Vectors, np.ndarray]:
    """Vectors of four kinds, and points in four corners."""
    corners = [(0, 0), (9, 0), (0, 9), (9, 9)]
    rng = np.random.default_rng(1)
    points = [rng.standard_normal((count, 2)) * 0.3 + corner for corner in corners]
    return np.concatenate([group(kind, count) for kind in range(4)]), np.concatenate(points).astype(np.float32)


def test_each_region_has_the_name_of_what_it_shows() -> None:
    vectors, points = four_groups()
    words = [*KINDS, "thing"]
    regions = regions_of(np.arange(len(points)), points, lambda rows: vectors[rows], words, AXES)
    corners = {(0, 0): "dog", (9, 0): "beach", (0, 9): "car", (9, 9): "cake"}
    assert sum(region.count for region in regions) == len(points)
    assert [region.count for region in regions] == sorted((region.count for region in regions), reverse=True)
    for region in regions:
        corner = (round(region.x / 9) * 9, round(region.y / 9) * 9)
        assert region.name == corners[corner], region


def test_the_same_pictures_make_the_same_regions_each_time() -> None:
    vectors, points = four_groups()
    first, second = (
        regions_of(np.arange(len(points)), points.copy(), lambda rows: vectors[rows], [*KINDS, "thing"], AXES)
        for _ in range(2)
    )
    assert first == second


def test_regions_stay_where_they_are_when_pictures_come() -> None:
    vectors, points = four_groups()
    rows, settled = np.arange(len(points)), np.ones(len(points), bool)
    settled[-30:] = False
    before = regions_of(rows[settled], points[settled], lambda rows: vectors[rows], KINDS, AXES[:4])
    after = regions_of(rows, points, lambda rows: vectors[rows], KINDS, AXES[:4], settled=settled)
    assert len(before) == len(after)
    assert sum(region.count for region in after) == sum(region.count for region in before) + 30
    for region in before:
        assert min(np.hypot(region.x - other.x, region.y - other.y) for other in after) < 0.2
    none = regions_of(rows, points, lambda rows: vectors[rows], settled=np.zeros(len(rows), bool))
    assert sum(region.count for region in none) == len(points)


def test_a_large_region_is_named_by_a_sample() -> None:
    asked: list[int] = []
    vectors = np.tile(AXES[:1], (1000, 1))

    def read(rows: Ids) -> Vectors:
        asked.append(len(rows))
        return vectors[rows]

    (region,) = regions_of(np.arange(1000), np.zeros((1000, 2), np.float32), read, [*KINDS, "thing"], AXES)
    assert (region.name, region.count, max(asked)) == ("dog", 1000, SAMPLE)


def test_without_words_the_regions_have_no_names_and_no_vector_is_read() -> None:
    _, points = four_groups()

    def read(rows: Ids) -> Vectors:
        raise AssertionError(rows)

    regions = regions_of(np.arange(len(points)), points, read)
    assert 4 <= len(regions) <= MAX_REGIONS
    assert {region.name for region in regions} == {None}


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_tiny_libraries(count: int) -> None:
    points = np.arange(2 * count, dtype=np.float32).reshape(count, 2)
    regions = regions_of(np.arange(count), points, lambda rows: group(0, len(rows)), [*KINDS, "thing"], AXES)
    assert sum(region.count for region in regions) == count
    assert len(regions) == min(1, count)


def test_equal_points_are_one_region() -> None:
    assert len(regions_of(np.arange(90), np.ones((90, 2), np.float32), lambda rows: group(0, len(rows)))) == 1


def test_regions_share_a_name_rather_than_take_a_wrong_one() -> None:
    vectors = group(0, 400, common=0)
    points = np.random.default_rng(1).standard_normal((400, 2)).astype(np.float32)
    regions = regions_of(np.arange(400), points, lambda rows: vectors[rows], ["dog", "puppy"], AXES[[0, 0]])
    assert {region.name for region in regions} == {"dog", "puppy"}


def test_the_words_are_several_hundred_and_each_stands_once() -> None:
    assert 500 < len(WORDS) == len(set(WORDS))
    assert all(word == word.strip() and word for word in WORDS)
