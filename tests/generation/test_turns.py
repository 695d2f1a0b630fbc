"""Whose job is next, and when the queue is full."""

import pytest

from app.errors import Overloaded
from app.generation.ledger import Entry
from app.generation.turns import Turns


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def entry(number: int, caller: str, etag: str = "e", *, is_claimed: bool = False) -> Entry:
    return Entry(f"{number:032x}", caller, etag, is_claimed=is_claimed)


def order_of(turns: Turns) -> list[str]:
    """The callers in the order in which their jobs are drawn."""
    order = []
    while found := turns.next():
        turns.discard(found.id)
        order.append(f"{found.caller}{int(found.id, 16)}")
    return order


def test_callers_take_turns_and_their_jobs_keep_their_order() -> None:
    turns = Turns(10, 5)
    turns.replace([entry(3, "a"), entry(1, "a"), entry(2, "a"), entry(4, "b"), entry(5, "b"), entry(6, "c")])
    assert order_of(turns) == ["a1", "b4", "c6", "a2", "b5", "a3"]


def test_a_caller_that_always_comes_back_starves_no_other() -> None:
    turns = Turns(10, 5)
    turns.replace([entry(number, "a") for number in range(1, 4)])
    order = []
    for number in range(10, 16):
        for caller in "bc":
            turns.add(entry(number * 2 + (caller == "c"), caller))
        found = turns.next()
        assert found is not None
        turns.discard(found.id)
        order.append(found.caller)
    assert order == ["a", "b", "c", "a", "b", "c"]


def test_claimed_jobs_are_left_alone_until_they_give_no_sign_of_life() -> None:
    clock = Clock()
    turns = Turns(10, 5, clock)
    turns.replace([entry(1, "a", "e1", is_claimed=True)])
    clock.now += 4
    turns.replace([entry(1, "a", "e2", is_claimed=True)])
    clock.now += 4
    turns.replace([entry(1, "a", "e2", is_claimed=True)])
    assert turns.next() is None
    clock.now += 1
    turns.replace([entry(1, "a", "e2", is_claimed=True)])
    assert turns.next() == entry(1, "a", "e2", is_claimed=True)


def test_jobs_that_come_during_a_listing_stay() -> None:
    turns = Turns(10, 5)
    turns.replace([entry(1, "a")])
    turns.begin_listing()
    turns.add(entry(2, "a"))
    turns.replace([])
    assert (entry(1, "a").id in turns, entry(2, "a").id in turns) == (False, True)
    turns.begin_listing()
    turns.replace([])
    assert turns.waiting == 0


def test_a_full_queue_has_room_for_callers_that_have_nothing_in_it() -> None:
    turns = Turns(2, 5)
    turns.check_room("a", 1, 1)
    turns.replace([entry(1, "a"), entry(2, "a", is_claimed=True), entry(3, "a")])
    with pytest.raises(Overloaded, match="GENERATION_MAX_QUEUE=2") as refused:
        turns.check_room("a", 0, 7)
    assert refused.value.retry_after_s == 7
    turns.check_room("b", 1, 1)
    with pytest.raises(Overloaded):
        turns.check_room("b", 2, 1)
