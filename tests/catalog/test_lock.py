"""The index lock: one holder, takeover after death, renewal, lost replies, wrong clocks."""

import os
import time
from collections.abc import Callable

import orjson
import pytest

from app.catalog.layout import LOCK_KEY
from app.catalog.lock import IndexLock
from app.errors import IndexBusy, ObjectNotFound, PreconditionFailed, StorageUnavailable
from app.storage.base import ObjectStore
from tests.support.stores import InterferingStore, LostReplyStore


def claim(store: ObjectStore) -> dict:
    return orjson.loads(store.get(LOCK_KEY).data)


TTL_S = 0.6
"""A holder renews ten times a second then."""


def test_a_second_run_is_told_who_holds_the_lock(store: ObjectStore) -> None:
    with IndexLock(store, TTL_S):
        holder = claim(store)["holder"]
        with pytest.raises(IndexBusy, match=holder), IndexLock(store, TTL_S):
            pass
    with IndexLock(store, TTL_S):
        assert claim(store)["holder"] == holder


def test_the_lock_is_gone_when_the_run_has_ended(store: ObjectStore) -> None:
    with IndexLock(store, TTL_S):
        pass
    with pytest.raises(ObjectNotFound):
        store.get(LOCK_KEY)


def test_the_lock_is_released_after_an_error(store: ObjectStore) -> None:
    with pytest.raises(ValueError, match="boom"), IndexLock(store, TTL_S):
        raise ValueError("boom")
    with pytest.raises(ObjectNotFound):
        store.get(LOCK_KEY)


@pytest.mark.parametrize(
    "left",
    [
        b'{"holder": "dead:1", "token": "x"}',
        b'{"holder": "ahead:1", "token": "x", "expires_at": 1e300}',
        b"torn",
        b'{"holder": 5, "token": ["x"]}',
        b"[]",
    ],
)
def test_a_lock_that_stays_the_same_is_taken_over(store: ObjectStore, left: bytes) -> None:
    """No clock counts: an earlier version wrote a time into the lock, perhaps one of years ahead."""
    store.put(LOCK_KEY, left)
    with IndexLock(store, TTL_S):
        assert claim(store)["holder"].endswith(f":{os.getpid()}")


def test_a_clock_that_is_wrong_decides_nothing(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 3 * 365 * 86_400)
    with IndexLock(store, TTL_S):
        monkeypatch.undo()
        with pytest.raises(IndexBusy), IndexLock(store, TTL_S):
            pass
    with IndexLock(store, TTL_S):
        pass


def test_a_lock_of_a_later_version_holds_while_it_changes(store: ObjectStore) -> None:
    def rewrite(_: float) -> bool:
        store.put(LOCK_KEY, orjson.dumps({"holder": "later:1", "token": "y", "purpose": "of a later version"}))
        return False

    store.put(LOCK_KEY, b'{"holder": "later:1", "token": "x"}')
    with pytest.raises(IndexBusy, match="later:1"), IndexLock(store, 60, rewrite):
        pass


def test_a_lock_that_is_released_while_it_is_watched_is_free(store: ObjectStore) -> None:
    def release(_: float) -> bool:
        store.delete(LOCK_KEY)
        return False

    store.put(LOCK_KEY, b'{"holder": "ending:1", "token": "x"}')
    with IndexLock(store, 60, release):
        assert claim(store)["holder"] != "ending:1"


def test_who_is_told_to_stop_does_not_watch_to_the_end(store: ObjectStore) -> None:
    store.put(LOCK_KEY, b'{"holder": "dead:1", "token": "x"}')
    with pytest.raises(IndexBusy, match="dead:1"), IndexLock(store, 60, lambda _: True):
        pass


@pytest.mark.parametrize("held_before", [False, True])
def test_of_two_that_start_together_one_gets_it(store: ObjectStore, held_before: bool) -> None:
    if held_before:
        store.put(LOCK_KEY, b'{"holder": "dead:1", "token": "x"}')
    other = IndexLock(store, TTL_S)
    racing = InterferingStore(store, LOCK_KEY, other.__enter__)
    with pytest.raises(IndexBusy, match="holds the bucket's lock"), IndexLock(racing, TTL_S):
        pass
    other.__exit__(None, None, None)


@pytest.mark.parametrize("error", [PreconditionFailed("412"), StorageUnavailable("timeout")])
def test_a_winner_whose_reply_was_lost_holds_the_lock(store: ObjectStore, error: Exception) -> None:
    with IndexLock(LostReplyStore(store, LOCK_KEY, error), TTL_S), pytest.raises(IndexBusy), IndexLock(store, TTL_S):
        pass
    with IndexLock(store, TTL_S):
        pass


def test_a_lock_that_was_taken_over_is_left_to_its_new_holder(
    store: ObjectStore, caplog: pytest.LogCaptureFixture
) -> None:
    with IndexLock(store, 60):
        store.put(LOCK_KEY, b'{"holder": "new:2", "token": "y"}')
    assert claim(store)["holder"] == "new:2"
    assert "so it is not released" in caplog.text


def test_a_lock_that_its_successor_has_released_is_ours_again(store: ObjectStore) -> None:
    with IndexLock(store, TTL_S):
        token = claim(store)["token"]
        store.delete(LOCK_KEY)
        deadline = time.monotonic() + 10
        while not list(store.list(LOCK_KEY)):
            assert time.monotonic() < deadline, "never renewed"
        assert claim(store)["token"] != token


class Renewals(LostReplyStore):
    """Lets the first claim through; `fault` decides about each later one."""

    puts = 0

    def __init__(self, inner: ObjectStore, fault: Callable[["Renewals"], None]) -> None:
        super().__init__(inner, "", ValueError())
        self.fault = fault
        self.blind = False

    def put(self, key, body, **options):
        self.puts += 1
        if self.puts > 1:
            self.fault(self)
        etag = self.inner.put(key, body, **options)
        if self.blind:
            raise StorageUnavailable("the reply was lost")
        return etag

    def get(self, key, **options):
        if self.blind:
            self.blind = False
            raise StorageUnavailable("and so was the read-back")
        return self.inner.get(key, **options)


def wait_for_renewals(renewals: Renewals, count: int) -> None:
    deadline = time.monotonic() + 10
    while renewals.puts < count:
        assert time.monotonic() < deadline, "never renewed"


def test_a_renewal_whose_reply_and_read_back_were_lost_is_still_ours(store: ObjectStore) -> None:
    def lose_the_second(renewals: Renewals) -> None:
        renewals.blind = renewals.puts == 2

    renewals = Renewals(store, lose_the_second)
    with IndexLock(renewals, TTL_S):
        wait_for_renewals(renewals, 5)
        with pytest.raises(IndexBusy), IndexLock(store, TTL_S):
            pass
    with pytest.raises(ObjectNotFound):
        store.get(LOCK_KEY)


def test_a_renewal_that_fails_is_tried_again(store: ObjectStore) -> None:
    def fail_the_second(renewals: Renewals) -> None:
        if renewals.puts == 2:
            raise StorageUnavailable("down for a moment")

    renewals = Renewals(store, fail_the_second)
    with IndexLock(renewals, TTL_S):
        first = claim(store)["token"]
        wait_for_renewals(renewals, 4)
        assert claim(store)["token"] != first


def test_a_holder_renews_several_times_before_it_counts_as_dead(store: ObjectStore) -> None:
    renewals = Renewals(store, lambda _: None)
    with IndexLock(renewals, 1.2):
        began_at = time.monotonic()
        wait_for_renewals(renewals, 3)
        assert time.monotonic() - began_at < 1.2
