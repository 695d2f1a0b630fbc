"""Reading ahead: in order, bounded by count and by decoded bytes, in parallel, and clean when left early."""

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from app.errors import ObjectNotFound
from app.ingest.reading import Content, Failure, Gone, Reader, ReadOutcome
from app.pictures.decoding import Picture, decode_image
from app.settings import ImageSettings
from app.storage.base import ObjectInfo, StoredObject
from app.storage.local import LocalStore
from indexer.look_ahead import LookAhead
from tests.indexer.picture_collection import png
from tests.support.stores import WrappedStore

PICTURE_BYTES = 12 * 9 * 3


def until(condition: Callable[[], bool], timeout_s: float = 10) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.005)


class CountingStore(WrappedStore):
    """Knows how many objects were read and, with `hold`, keeps readers waiting."""

    def __init__(self, inner: LocalStore) -> None:
        super().__init__(inner)
        self.reads = 0
        self.at_once = 0
        self.most_at_once = 0
        self.hold: threading.Event | None = None
        self._lock = threading.Lock()

    def get(self, key: str, **options: Any) -> StoredObject:
        with self._lock:
            self.reads += 1
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        if self.hold:
            self.hold.wait(10)
        with self._lock:
            self.at_once -= 1
        return self.inner.get(key, **options)


@pytest.fixture
def store(tmp_path: Path) -> CountingStore:
    inner = LocalStore(tmp_path)
    for seed in range(30):
        inner.put(f"{seed:02}.png", png(seed))
    return CountingStore(inner)


def infos(store: CountingStore) -> list[ObjectInfo]:
    return list(store.list())


def look_ahead(store: CountingStore, *, limit: int, readers: int = 4, max_decoded_bytes: int = 1 << 30) -> LookAhead:
    reader = Reader(store, ImageSettings(), {}, decode_image)
    return LookAhead(reader, infos(store), readers=readers, limit=limit, max_decoded_bytes=max_decoded_bytes)


def reader_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("reader")]


def outcomes(ahead: LookAhead) -> Iterator[ReadOutcome]:
    return (outcome for outcome in ahead if outcome is not None)


def test_outcomes_come_in_the_order_of_the_objects(store: CountingStore) -> None:
    keys = []
    with look_ahead(store, limit=7) as ahead:
        for outcome in outcomes(ahead):
            assert isinstance(outcome, Content)
            keys.append(outcome.info.key)
            ahead.release(outcome)
    assert keys == [info.key for info in infos(store)]


def test_never_more_outstanding_than_the_limit(store: CountingStore) -> None:
    """Held by the consumer or read ahead of it: together never above the limit, and the limit is reached."""
    released, most = 0, 0
    with look_ahead(store, limit=6) as ahead:
        held: list[ReadOutcome] = []
        for outcome in outcomes(ahead):
            held.append(outcome)
            most = max(most, store.reads - released)
            if len(held) == 3:
                until(partial(lambda wanted: store.reads == wanted, min(30, released + 6)))
                most = max(most, store.reads - released)
                for done in held:
                    ahead.release(done)
                released += 3
                held.clear()
    assert store.reads == 30
    assert most == 6


def test_readers_work_in_parallel(store: CountingStore) -> None:
    store.hold = threading.Event()
    with look_ahead(store, limit=10, readers=4) as ahead:
        iterator = iter(ahead)
        assert next(iterator) is None, "the consumer may look up while it waits"
        until(lambda: store.at_once == 4)
        store.hold.set()
        for outcome in iterator:
            if outcome is not None:
                ahead.release(outcome)
    assert store.most_at_once == 4


def test_decoded_bytes_are_bounded_and_never_block_the_next_in_line(store: CountingStore) -> None:
    """Room for three pictures: reading stalls, says so, and goes on once they are released."""
    readers, room = 2, 3
    taken: list[ReadOutcome] = []
    count = 0
    with look_ahead(store, limit=30, readers=readers, max_decoded_bytes=room * PICTURE_BYTES) as ahead:
        for outcome in outcomes(ahead):
            taken.append(outcome)
            count += 1
            if ahead.cramped:
                assert len(taken) <= room + readers
                for done in taken:
                    ahead.release(done)
                taken.clear()
    assert count == 30


def test_a_consumer_that_never_releases_still_gets_as_far_as_the_limit(store: CountingStore) -> None:
    with look_ahead(store, limit=12, readers=3, max_decoded_bytes=1) as ahead:
        assert len(list(outcomes(ahead))) == 12


def test_leaving_early_ends_the_readers(store: CountingStore) -> None:
    with look_ahead(store, limit=20, readers=2, max_decoded_bytes=1) as ahead:
        next(outcomes(ahead))
    until(lambda: not reader_threads())
    assert store.reads < 20


def test_leaving_early_waits_for_no_read(store: CountingStore) -> None:
    """Nor does the end of the process: a read that hangs does so in a daemon thread."""
    store.hold = threading.Event()
    with look_ahead(store, limit=20, readers=2) as ahead:
        assert next(iter(ahead)) is None
        until(lambda: store.at_once == 2)
    assert store.at_once == 2, "both reads are still under way"
    assert all(thread.daemon for thread in reader_threads())
    store.hold.set()
    until(lambda: not reader_threads())
    assert store.reads == 2


def test_an_unexpected_error_reaches_the_consumer(store: CountingStore) -> None:
    def read(data: bytes, limits: ImageSettings) -> Picture:
        raise ZeroDivisionError

    reader = Reader(store, ImageSettings(), {}, read)
    with pytest.raises(ZeroDivisionError), LookAhead(reader, infos(store), readers=2, limit=4) as ahead:
        list(ahead)


def test_a_picture_for_which_memory_lacks_is_tried_another_time(store: CountingStore) -> None:
    def read(data: bytes, limits: ImageSettings) -> Picture:
        raise MemoryError

    reader = Reader(store, ImageSettings(), {}, read)
    with LookAhead(reader, infos(store)[:1], readers=1, limit=1) as ahead:
        (failure,) = outcomes(ahead)
    assert isinstance(failure, Failure)
    assert "memory" in failure.reason


def test_objects_that_are_gone_need_no_decoding(store: CountingStore) -> None:
    listed = infos(store)
    store.inner.delete("03.png")
    with pytest.raises(ObjectNotFound):
        store.get("03.png")
    reader = Reader(store, ImageSettings(), {}, decode_image)
    with LookAhead(reader, listed[:5], readers=2, limit=5) as ahead:
        found = list(outcomes(ahead))
    assert found[3] == Gone("03.png")
