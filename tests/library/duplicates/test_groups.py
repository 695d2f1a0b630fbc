"""Groups of pairs: kinds that never mix, no chains, and the picture to keep with its reason."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from app.catalog.columns import Columns
from app.library.duplicates.groups import Group, Grouping, Kind, Reason
from app.library.duplicates.pairs import Pairs, Relation
from app.types import ImageRecord
from tests.support.catalogs import record, row_of, view_of


def columns_of(*records: ImageRecord) -> Columns:
    return view_of(records).columns


def of(key: str, content: str = "", **fields: object) -> ImageRecord:
    made = replace(record(key), **fields)
    return replace(made, content_hash=content * 32) if content else made


def pairs_of(*pairs: tuple[str, str, Relation] | tuple[str, str, Relation, int]) -> Pairs:
    filled = [(*pair, 0)[:4] for pair in pairs]
    return Pairs(
        np.array([row_of(first) for first, _, _, _ in filled], np.int64),
        np.array([row_of(second) for _, second, _, _ in filled], np.int64),
        np.array([relation for _, _, relation, _ in filled], np.uint8),
        np.full(len(filled), 0.9, np.float32),
        np.array([turn for _, _, _, turn in filled], np.uint8),
    )


def keys_in(groups: list[Group], *records: ImageRecord) -> list[list[str]]:
    by_row = {row_of(each.object_key): each.object_key for each in records}
    return sorted([by_row[row] for row in group.rows] for group in groups)


SMALL = of("b", width=10, height=10)


@pytest.mark.parametrize(
    ("keep", "reason"),
    [
        (of("c", width=11, height=10), Reason.RESOLUTION),
        (of("c", width=10, height=10, size_bytes=1001), Reason.SIZE),
        (of("c", width=10, height=10, taken_at=1.0), Reason.DATE),
        (of("c", width=10, height=10, modified_at=1.0), Reason.DATE),
        (of("a", width=10, height=10), Reason.NAME),
    ],
)
def test_the_picture_to_keep_and_why(keep: ImageRecord, reason: Reason) -> None:
    key = keep.object_key
    photos, similar = Grouping(columns_of(SMALL, keep)).related(pairs_of(("b", key, Relation.PHOTO)))
    (group,) = photos
    assert (group.keep, group.reason, similar) == (row_of(key), reason, [])
    assert [member.row for member in group.others] == [row_of("b")]
    assert group.freed_bytes == SMALL.size_bytes


def test_the_shortest_name_is_kept() -> None:
    pictures = [of(name, "a") for name in ("p (1).jpg", "p.jpg", "q.jpg")]
    groups, distinct = Grouping(columns_of(*pictures)).same_bytes()
    assert keys_in(groups, *pictures) == [["p.jpg", "q.jpg", "p (1).jpg"]]
    assert groups[0].reason is Reason.NAME
    assert len(distinct) == 1


def test_copies_of_the_same_bytes_are_one_picture_for_the_rest() -> None:
    pictures = [of("a", "a"), of("b", "a"), of("c", "c"), of("d", "d"), of("e", "d")]
    groups, distinct = Grouping(columns_of(*pictures)).same_bytes()
    assert keys_in(groups, *pictures) == [["a", "b"], ["d", "e"]]
    assert [pictures[place].object_key for place in distinct] == ["a", "c", "d"]


def test_small_steps_join_no_chain() -> None:
    names = "abcdefg"
    pictures = [of(name) for name in names]
    chain = pairs_of(*((one, other, Relation.PHOTO) for one, other in pairwise(names)))
    photos, _ = Grouping(columns_of(*pictures)).related(chain)
    assert keys_in(photos, *pictures) == [["a", "b", "c"], ["d", "e"], ["f", "g"]]


def test_the_centre_of_a_group_is_related_to_all_and_need_not_be_the_one_to_keep() -> None:
    pictures = [of("large", width=999, height=999), of("centre"), of("left"), of("right")]
    photos, _ = Grouping(columns_of(*pictures)).related(
        pairs_of(
            ("centre", "large", Relation.PHOTO, 5),
            ("centre", "left", Relation.PHOTO, 5),
            ("centre", "right", Relation.PHOTO, 0),
        )
    )
    (group,) = photos
    assert keys_in(photos, *pictures) == [["large", "left", "right", "centre"]]
    assert [member.turned for member in group.others] == [False, True, True]


def test_the_copies_of_a_photo_are_one_picture_among_similar_ones() -> None:
    pictures = [of("photo", width=500, height=500), of("copy"), of("shot"), of("like"), of("like too")]
    photos, similar = Grouping(columns_of(*pictures)).related(
        pairs_of(
            ("photo", "copy", Relation.PHOTO),
            ("copy", "shot", Relation.BURST),
            ("photo", "shot", Relation.BURST),
            ("copy", "photo", Relation.SIMILAR),
            ("shot", "like", Relation.SIMILAR),
            ("like", "like too", Relation.SIMILAR),
        )
    )
    assert keys_in(photos, *pictures) == [["photo", "copy"]]
    assert keys_in(similar, *pictures) == [["like", "like too"], ["photo", "shot"]]
    assert {group.is_burst: len(group.rows) for group in similar} == {True: 2, False: 2}
    assert {group.kind for group in similar} == {Kind.SIMILAR}


def test_an_id_names_kind_pictures_and_contents() -> None:
    def id_of(*records: ImageRecord) -> str:
        photos, _ = Grouping(columns_of(*records)).related(pairs_of(("a", "b", Relation.PHOTO)))
        return photos[0].id

    first = id_of(of("a"), of("b"))
    assert first == id_of(of("b"), of("a", width=1))
    assert first != id_of(of("a"), of("b", "f"))
    assert len(first) == 16


def test_nothing_has_no_groups() -> None:
    grouping = Grouping(columns_of())
    groups, distinct = grouping.same_bytes()
    assert (groups, len(distinct), grouping.related(pairs_of())) == ([], 0, ([], []))
