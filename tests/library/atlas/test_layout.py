"""Slots: stable while pictures come and go, and one change is one changed page."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.library.atlas.layout import PAGE_SIDE, AtlasLayout

Pictures = dict[int, int]
"""What each row shows."""


def synced(layout: AtlasLayout, pictures: Pictures) -> AtlasLayout:
    rows = np.fromiter(pictures, np.int64, len(pictures))
    return layout.synced(rows, np.fromiter(pictures.values(), np.uint64, len(pictures)))


def slots_of(layout: AtlasLayout) -> dict[int, int]:
    return {int(layout.rows[slot]): int(slot) for slot in layout.used}


def numbered(first: int, count: int) -> Pictures:
    return {row: row + 100 for row in range(first, first + count)}


def test_pictures_lie_in_the_order_given_row_by_row_and_page_by_page() -> None:
    layout = synced(AtlasLayout.empty(512), numbered(1, 18))
    assert slots_of(layout) == {row: row - 1 for row in range(1, 19)}
    pages, xs, ys = layout.corners(layout.used)
    assert (layout.pages, pages.tolist()) == (2, [0] * 16 + [1] * 2)
    assert (xs[5], ys[5]) == (512, 512)
    assert (xs[17], ys[17]) == (512, 0)
    assert (layout.size_of(0), layout.size_of(1)) == ((2048, 2048), (1024, 512))


def test_one_more_picture_changes_one_page() -> None:
    before = synced(AtlasLayout.empty(512), numbered(1, 40))
    after = synced(before, numbered(1, 41))
    assert [a == b for a, b in zip(before.versions, after.versions, strict=True)] == [True, True, False]
    assert slots_of(before).items() <= slots_of(after).items()


def test_a_free_slot_is_given_to_the_next_picture() -> None:
    before = synced(AtlasLayout.empty(512), numbered(1, 40))
    without = synced(before, {row: code for row, code in numbered(1, 40).items() if row != 3})
    assert [a == b for a, b in zip(before.versions, without.versions, strict=True)] == [False, True, True]
    after = synced(without, {99: 5} | {row: code for row, code in numbered(1, 40).items() if row != 3})
    assert slots_of(after)[99] == slots_of(before)[3] == 2
    assert after.versions[1:] == before.versions[1:]


def test_another_content_changes_the_page_and_not_the_slot() -> None:
    before = synced(AtlasLayout.empty(512), numbered(1, 40))
    after = synced(before, numbered(1, 40) | {20: 7})
    assert slots_of(after) == slots_of(before)
    assert [a == b for a, b in zip(before.versions, after.versions, strict=True)] == [True, False, True]


def test_no_free_slots_are_left_at_the_end() -> None:
    many = synced(AtlasLayout.empty(512), numbered(1, 40))
    assert len(synced(many, {40: 140}).rows) == 40, "the last one keeps its slot"
    assert synced(many, numbered(1, 16)).pages == 1
    assert synced(many, {}).pages == 0
    assert synced(AtlasLayout.empty(512), {}).versions == []


def test_a_content_of_zero_is_no_free_slot() -> None:
    assert slots_of(synced(AtlasLayout.empty(64), {5: 0})) == {5: 0}


@pytest.mark.parametrize("cell", [32, 64, 128, 256])
def test_pages_fit_any_graphics_card(cell: int) -> None:
    layout = synced(AtlasLayout.empty(cell), numbered(1, 5000))
    assert all(max(layout.size_of(page)) <= PAGE_SIDE for page in range(layout.pages))
    places = set(zip(*(each.tolist() for each in layout.corners(layout.used)), strict=True))
    assert len(places) == 5000
    assert all(x + cell <= layout.size_of(page)[0] and y + cell <= layout.size_of(page)[1] for page, x, y in places)


@given(st.lists(st.dictionaries(st.integers(-50, 50), st.integers(1, 4), max_size=40), max_size=8))
def test_pictures_stay_where_they_are_while_others_come_and_go(states: list[Pictures]) -> None:
    layout, before = AtlasLayout.empty(1024), {}
    for pictures in states:
        layout = synced(layout, pictures)
        slots = slots_of(layout)
        assert slots.keys() == pictures.keys()
        assert len(set(slots.values())) == len(slots)
        assert all(slots[row] == slot for row, slot in before.items() if row in slots)
        assert {row: int(layout.contents[slot]) for row, slot in slots.items()} == pictures
        assert synced(layout, pictures).same_as(layout)
        before = slots


def test_it_is_read_back_as_it_was_written() -> None:
    layout = synced(AtlasLayout.empty(64), {-(2**63): 2**64 - 1, 5: 3})
    read, published_at = AtlasLayout.from_json(layout.to_json(7.5), 64)
    assert read.same_as(layout)
    assert read.versions == layout.versions
    assert published_at == 7.5


@pytest.mark.parametrize("damage", [b"", b"[]", b'{"format": 99, "cell": 64}', b'{"format": 1, "cell": 64}'])
def test_what_is_no_layout_is_refused(damage: bytes) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        AtlasLayout.from_json(damage, 64)
    with pytest.raises(ValueError, match="cells"):
        AtlasLayout.from_json(AtlasLayout.empty(32).to_json(0.0), 64)
