"""Rules that leave pictures out, and how many pictures are looked through for those that stay."""

from collections.abc import Sequence

import pytest

from app.search.hybrid import Match
from app.search.leaving_out import MOST_LOOKED_THROUGH, Rule, required, take
from tests.support.catalogs import record


def matches(count: int) -> list[Match]:
    return [Match(record(f"{number:06}.jpg"), -number, None, None) for number in range(count)]


class Source:
    """The best of some pictures, and how many were asked for."""

    def __init__(self, count: int) -> None:
        self.found, self.asked = matches(count), list[int]()

    def __call__(self, count: int) -> Sequence[Match]:
        self.asked.append(count)
        return self.found[:count]


def every(step: int) -> Rule:
    return lambda found: [-match.score % step == 0 for match in found]


@pytest.mark.parametrize(("step", "k"), [(1, 5), (3, 7), (40, 3), (1000, 2)])
def test_more_are_looked_through_until_enough_are_left(step: int, k: int) -> None:
    source = Source(5000)
    kept, is_whole = take(source, [every(step)], k)
    assert [-match.score for match in kept] == [step * place for place in range(k)]
    assert is_whole
    assert source.asked[-1] <= 4 * max(step, 2) * k


def test_all_rules_have_to_let_a_picture_through() -> None:
    kept, is_whole = take(Source(30), [every(2), every(3)], 100)
    assert ([-match.score for match in kept], is_whole) == ([0, 6, 12, 18, 24], True)


def test_without_rules_no_more_are_found_than_asked_for() -> None:
    source = Source(30)
    assert len(take(source, [], 4)[0]) == 4
    assert source.asked == [4]


def test_the_search_ends_at_a_bound_and_says_so() -> None:
    source = Source(MOST_LOOKED_THROUGH + 10)
    kept, is_whole = take(source, [every(MOST_LOOKED_THROUGH // 2)], 5)
    assert (len(kept), is_whole) == (2, False)
    assert max(source.asked) == MOST_LOOKED_THROUGH


def test_quotation_marks_do_not_end_what_is_required() -> None:
    assert required('a "red" car') == '"a  red  car"'
