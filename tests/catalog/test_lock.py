"""The index lock: one holder, takeover after death, renewal, lost replies."""

import time
from collections.abc import Callable

import orjson
import pytest

from app.catalog.layout import LOCK_KEY
from app.catalog.lock import IndexLock
from app.errors import IndexBusy, PreconditionFailed, StorageUnavailable
from app.storage.base import ObjectStore
from tests.support.stores import InterferingStore, LostReplyStore


def claim(store: ObjectStore) -> dict:
    return orjson.loads(store.get(LOCK_KEY).data)


def test_a_second_run_is_told_who_holds_the_lock(store: ObjectStore) -> None:
    with IndexLock(store, 60):
        holder = claim(store)["holder"]
        with pytest.raises(IndexBusy, match=rf"{holder}.*20\d\d-"), IndexLock(store, 60):
            pass
    with IndexLock(store, 60):
        assert claim(store)["expires_at"] > time.time()


def test_the_lock_is_released_after_an_error(store: ObjectStore) -> None:
    with pytest.raises(ValueError, match="boom"), IndexLock(store, 60):
        raise ValueError("boom")
    with IndexLock(store, 60):
        pass


@pytest.mark.parametrize(
    "left",
    [
        b'{"holder": "dead:1", "token": "x", "expires_at": 1.0}',
        b"torn",
        b'{"holder": "h", "token": "x", "expires_at": "soon"}',
        b'{"holder": "h", "token": "x", "expires_at": null}',
        b"[]",
    ],
)
def test_a_dead_holders_lock_is_taken_over(store: ObjectStore, left: bytes) -> None:
    store.put(LOCK_KEY, left)
    with IndexLock(store, 60):
        assert claim(store)["holder"] != "dead:1"


def test_a_lock_of_a_later_version_holds(store: ObjectStore) -> None:
    left = {"holder": "later:1", "token": "x", "expires_at": time.time() + 60, "purpose": "of a later version"}
    store.put(LOCK_KEY, orjson.dumps(left))
    with pytest.raises(IndexBusy, match="later:1"), IndexLock(store, 60):
        pass


def test_a_living_holder_renews(store: ObjectStore) -> None:
    with IndexLock(store, 1.0):
        first = claim(store)["expires_at"]
        deadline = time.monotonic() + 10
        while claim(store)["expires_at"] <= first + 0.5:
            assert time.monotonic() < deadline, "never renewed"
        with pytest.raises(IndexBusy), IndexLock(store, 60):
            pass


@pytest.mark.parametrize("held_before", [False, True])
def test_of_two_that_start_together_one_gets_it(store: ObjectStore, held_before: bool) -> None:
    if held_before:
        store.put(LOCK_KEY, b'{"holder": "dead:1", "token": "x", "expires_at": 1.0}')
    other = IndexLock(store, 60)
    racing = InterferingStore(store, LOCK_KEY, other.__enter__)
    with pytest.raises(IndexBusy, match="holds the bucket's lock"), IndexLock(racing, 60):
        pass
    other.__exit__(None, None, None)


@pytest.mark.parametrize("error", [PreconditionFailed("412"), StorageUnavailable("timeout")])
def test_a_winner_whose_reply_was_lost_holds_the_lock(store: ObjectStore, error: Exception) -> None:
    with IndexLock(LostReplyStore(store, LOCK_KEY, error), 60), pytest.raises(IndexBusy), IndexLock(store, 60):
        pass
    with IndexLock(store, 60):
        pass


def test_a_lock_that_was_taken_over_is_left_to_its_new_holder(
    store: ObjectStore, caplog: pytest.LogCaptureFixture
) -> None:
    with IndexLock(store, 60):
        store.put(LOCK_KEY, b'{"holder": "new:2", "token": "y", "expires_at": 9999999999.0}')
    assert claim(store)["holder"] == "new:2"
    assert "could not be released" in caplog.text


def test_a_lock_for_ever_is_named_all_the_same(store: ObjectStore) -> None:
    store.put(LOCK_KEY, b'{"holder": "far:1", "token": "x", "expires_at": 1e300}')
    with pytest.raises(IndexBusy, match="far:1"), IndexLock(store, 60):
        pass


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

    def get(self, key):
        if self.blind:
            self.blind = False
            raise StorageUnavailable("and so was the read-back")
        return self.inner.get(key)


def wait_for_renewals(renewals: Renewals, count: int) -> None:
    deadline = time.monotonic() + 10
    while renewals.puts < count:
        assert time.monotonic() < deadline, "never renewed"


def test_a_renewal_whose_reply_and_read_back_were_lost_is_still_ours(store: ObjectStore) -> None:
    def lose_the_second(renewals: Renewals) -> None:
        renewals.blind = renewals.puts == 2

    renewals = Renewals(store, lose_the_second)
    with IndexLock(renewals, 0.3):
        wait_for_renewals(renewals, 5)
        with pytest.raises(IndexBusy), IndexLock(store, 60):
            pass
    with IndexLock(store, 60):
        pass


def test_a_renewal_that_fails_is_tried_again(store: ObjectStore) -> None:
    def fail_the_second(renewals: Renewals) -> None:
        if renewals.puts == 2:
            raise StorageUnavailable("down for a moment")

    renewals = Renewals(store, fail_the_second)
    with IndexLock(renewals, 0.3):
        first = claim(store)["expires_at"]
        wait_for_renewals(renewals, 4)
        assert claim(store)["expires_at"] > first


def test_renewal_comes_before_the_expiry(store: ObjectStore) -> None:
    renewals = Renewals(store, lambda _: None)
    with IndexLock(renewals, 3):
        expires_at = claim(store)["expires_at"]
        wait_for_renewals(renewals, 2)
        assert time.time() < expires_at
