"""One suite for every object store: the promises of `ObjectStore`, on a real folder and a real S3 endpoint."""

import threading
import time
import tracemalloc
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest

from app.errors import InvalidInput, ObjectNotFound, ObjectTooLarge, PreconditionFailed
from app.settings import StorageSettings
from app.storage.base import KEYS_ONLY, ObjectStore, Selection
from app.storage.local import LocalStore
from app.storage.s3 import S3Store


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "local":
        (tmp_path / "store").mkdir()
        return LocalStore(tmp_path / "store")
    bucket = request.getfixturevalue("bucket")
    return S3Store(StorageSettings(url=f"s3://{bucket}", multipart_bytes=5 << 20))


def keys(store: ObjectStore, prefix: str = "", *, start_after: str = "") -> list[str]:
    return [info.key for info in store.list(prefix, start_after=start_after)]


def test_get_returns_what_put_wrote(store: ObjectStore) -> None:
    etag = store.put("nature/a.jpg", b"picture", content_type="image/jpeg")
    stored = store.get("nature/a.jpg")
    assert (stored.data, stored.etag) == (b"picture", etag)


def test_put_replaces(store: ObjectStore) -> None:
    first = store.put("a.jpg", b"one")
    second = store.put("a.jpg", b"two")
    assert first != second
    assert store.get("a.jpg").data == b"two"
    assert keys(store) == ["a.jpg"]


def test_etag_belongs_to_the_content(store: ObjectStore) -> None:
    etag = store.put("a.jpg", b"one")
    assert store.put("a.jpg", b"one") == etag == store.head("a.jpg").etag == next(iter(store.list())).etag
    assert '"' not in etag


@pytest.mark.parametrize("size", [0, 1, 5 << 20, (11 << 20) + 7])
def test_file_objects_of_every_size(store: ObjectStore, size: int) -> None:
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    etag = store.put("big.bin", BytesIO(data))
    assert store.get("big.bin").data == data
    assert store.head("big.bin").etag == etag
    assert store.head("big.bin").size_bytes == size


def test_large_bytes(store: ObjectStore) -> None:
    data = b"ab" * (3 << 20)
    etag = store.put("big.bin", data)
    assert store.get("big.bin").data == data
    assert store.head("big.bin").etag == etag


@pytest.mark.parametrize("size", [0, 1, 999, 1000])
def test_an_object_within_the_bound(store: ObjectStore, size: int) -> None:
    store.put("a.jpg", b"x" * size)
    assert store.get("a.jpg", max_bytes=1000).data == b"x" * size


def test_of_an_object_beyond_the_bound_no_more_is_read(store: ObjectStore) -> None:
    store.put("big.bin", b"ab" * (16 << 20))
    tracemalloc.start()
    with pytest.raises(ObjectTooLarge, match=r"big\.bin has more than 1,000 bytes"):
        store.get("big.bin", max_bytes=1000)
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()


class Trickle(BytesIO):
    """Returns less than asked for, as an unbuffered stream may."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(min(size, 1 << 20) if size and size > 0 else 1 << 20)


def test_a_source_with_short_reads_is_written_whole(store: ObjectStore) -> None:
    data = b"abc" * (2 << 20)
    store.put("big.bin", Trickle(data))
    assert store.get("big.bin").data == data


def test_a_failed_source_writes_nothing(store: ObjectStore) -> None:
    class Broken(BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 5 << 20:
                raise RuntimeError("the upload broke off")
            return super().read(size)

    with pytest.raises(RuntimeError, match="broke off"):
        store.put("a.jpg", Broken(b"x" * (20 << 20)))
    assert keys(store) == []


@pytest.mark.parametrize("key", ["gone.jpg", "deep/gone.jpg", "a.jpg/below"])
def test_reading_what_is_not_there(store: ObjectStore, key: str) -> None:
    store.put("a.jpg", b"x")
    with pytest.raises(ObjectNotFound, match="no object"):
        store.get(key)
    with pytest.raises(ObjectNotFound):
        store.get_range(key, 0, 1)
    with pytest.raises(ObjectNotFound):
        store.get_range(key, 0, 0)
    with pytest.raises(ObjectNotFound):
        store.head(key)
    with pytest.raises(ObjectNotFound):
        next(store.stream(key))


@pytest.mark.parametrize(
    ("start", "length", "expected"),
    [(0, 3, b"012"), (7, 100, b"789"), (9, 1, b"9"), (10, 5, b""), (99, 1, b""), (4, 0, b"")],
)
def test_get_range(store: ObjectStore, start: int, length: int, expected: bytes) -> None:
    store.put("a.bin", b"0123456789")
    assert store.get_range("a.bin", start, length) == expected


def test_get_range_of_an_empty_object(store: ObjectStore) -> None:
    store.put("a.bin", b"")
    assert store.get_range("a.bin", 0, 10) == b""


@pytest.mark.parametrize(("start", "length"), [(-1, 2), (0, -1)])
def test_get_range_refuses_negative_numbers(store: ObjectStore, start: int, length: int) -> None:
    with pytest.raises(InvalidInput, match="0 or more"):
        store.get_range("a.bin", start, length)


def test_stream_hands_out_chunks(store: ObjectStore) -> None:
    store.put("a.bin", b"0123456789")
    chunks = list(store.stream("a.bin", chunk_bytes=4))
    assert b"".join(chunks) == b"0123456789"
    assert max(map(len, chunks)) <= 4


def test_stream_of_an_empty_object(store: ObjectStore) -> None:
    store.put("a.bin", b"")
    assert list(store.stream("a.bin")) == []


def test_stream_may_be_left_early(store: ObjectStore) -> None:
    store.put("a.bin", b"x" * (1 << 20))
    stream = store.stream("a.bin", chunk_bytes=1024)
    assert next(stream) == b"x" * 1024
    stream.close()  # type: ignore[attr-defined]
    assert store.get("a.bin").data[:1] == b"x"


def test_head_and_list_agree(store: ObjectStore) -> None:
    before = time.time()
    etag = store.put("a/b.jpg", b"12345")
    info = store.head("a/b.jpg")
    assert (info.key, info.etag, info.size_bytes) == ("a/b.jpg", etag, 5)
    assert before - 5 < info.modified_at < time.time() + 5
    listed = next(iter(store.list()))
    assert (listed.key, listed.etag, listed.size_bytes) == (info.key, info.etag, info.size_bytes)
    assert abs(listed.modified_at - info.modified_at) < 2


def test_delete(store: ObjectStore) -> None:
    store.put("a/b.jpg", b"x")
    store.put("a/c.jpg", b"x")
    store.delete("a/b.jpg")
    assert keys(store) == ["a/c.jpg"]
    store.delete("a/b.jpg")
    store.delete("never/was.jpg")
    store.delete("a/c.jpg/below")
    store.delete("a/c.jpg")
    assert keys(store) == []


def test_a_name_is_free_again_once_all_below_it_is_deleted(store: ObjectStore) -> None:
    store.put("a/b/c.jpg", b"x")
    store.delete("a/b/c.jpg")
    store.put("a", b"y")
    assert keys(store) == ["a"]


def test_deleting_a_folder_deletes_nothing(store: ObjectStore) -> None:
    store.put("a/b.jpg", b"x")
    store.delete("a")
    assert keys(store) == ["a/b.jpg"]


ORDERED = ["B.jpg", "a", "a b/x.jpg", "a-b/x.jpg", "a.jpg", "a/b.jpg", "a/b/c.jpg", "a0/x.jpg", "b/1.jpg", "b/10.jpg"]
ORDERED += ["b/2.jpg", "ä/ö.jpg", "海/浜.jpg", "\ufb01.jpg", "🌅.jpg"]


@pytest.fixture
def filled(store: ObjectStore) -> ObjectStore:
    for key in reversed(ORDERED[2:]):
        store.put(key, key.encode())
    store.put("B.jpg", b"x")
    return store


LISTED = [key for key in ORDERED if key != "a"]


def test_list_is_in_the_byte_order_of_the_whole_key(filled: ObjectStore) -> None:
    assert keys(filled) == LISTED == sorted(LISTED, key=str.encode)


def test_list_with_a_prefix(filled: ObjectStore) -> None:
    for prefix in ["a", "a/", "a/b", "a/b/", "b/1", "ä", "ä/", "nothing/", "a//", "../", "/", "..", "."]:
        assert keys(filled, prefix) == [key for key in LISTED if key.startswith(prefix)], prefix


def test_list_starts_after(filled: ObjectStore) -> None:
    for start in ["a", "a/", "a/b.jpg", "a/b", "a/zzz", "b/1.jpg", "b0", "海", "🌅.jpg", "🌆"]:
        assert keys(filled, start_after=start) == [key for key in LISTED if key > start], start


def test_list_with_prefix_and_start(filled: ObjectStore) -> None:
    for prefix, start in [("b/", "b/1.jpg"), ("b/", "a"), ("b/", "c"), ("a", "a/b.jpg")]:
        expected = [key for key in LISTED if key.startswith(prefix) and key > start]
        assert keys(filled, prefix, start_after=start) == expected, (prefix, start)


def test_list_of_an_empty_store(store: ObjectStore) -> None:
    assert keys(store) == []
    assert keys(store, "a/") == []


def test_if_none_match_creates_once(store: ObjectStore) -> None:
    etag = store.put("pointer.json", b"1", if_none_match=True)
    with pytest.raises(PreconditionFailed, match=r"pointer\.json"):
        store.put("pointer.json", b"2", if_none_match=True)
    stored = store.get("pointer.json")
    assert (stored.data, stored.etag) == (b"1", etag)


def test_if_match_replaces_only_what_it_names(store: ObjectStore) -> None:
    first = store.put("pointer.json", b"1")
    second = store.put("pointer.json", b"2", if_match=first)
    with pytest.raises(PreconditionFailed, match=r"pointer\.json"):
        store.put("pointer.json", b"3", if_match=first)
    assert store.get("pointer.json").data == b"2"
    store.put("pointer.json", BytesIO(b"3"), if_match=second)
    assert store.get("pointer.json").data == b"3"


def test_if_match_of_a_deleted_object_loses(store: ObjectStore) -> None:
    etag = store.put("pointer.json", b"1")
    store.delete("pointer.json")
    with pytest.raises(PreconditionFailed):
        store.put("pointer.json", b"2", if_match=etag)
    assert keys(store) == []


def test_an_empty_etag_matches_nothing(store: ObjectStore) -> None:
    store.put("pointer.json", b"1")
    with pytest.raises(PreconditionFailed):
        store.put("pointer.json", b"2", if_match="")
    assert store.get("pointer.json").data == b"1"


LEGAL_IN_S3 = ["/a", "a//b", "a\\b"]


@pytest.mark.parametrize("key", ["", "a/", "../a", "a/../b", "a/..", "./a", "a\0b", "\ud800", *LEGAL_IN_S3])
@pytest.mark.parametrize("act", ["get", "put", "head", "delete", "get_range", "stream", "url", "uri"])
def test_illegal_keys_are_refused(tmp_path: Path, key: str, act: str) -> None:
    calls: dict[str, Callable[[ObjectStore], object]] = {
        "get": lambda store: store.get(key),
        "put": lambda store: store.put(key, b"x"),
        "head": lambda store: store.head(key),
        "delete": lambda store: store.delete(key),
        "get_range": lambda store: store.get_range(key, 0, 1),
        "stream": lambda store: next(store.stream(key)),
        "url": lambda store: store.url(key, 60),
        "uri": lambda store: store.uri(key),
    }
    stores: list[ObjectStore] = [LocalStore(tmp_path / "root")]
    if key not in LEGAL_IN_S3:
        stores.append(S3Store(StorageSettings(url="s3://bucket")))
    for store in stores:
        with pytest.raises(InvalidInput):
            calls[act](store)


def test_threads_share_a_store(store: ObjectStore) -> None:
    """Eight threads race for one counter. No increment is lost, so every round had exactly one winner."""
    store.put("counter", b"0")

    def increment() -> None:
        for _ in range(5):
            while True:
                stored = store.get("counter")
                try:
                    store.put("counter", b"%d" % (int(stored.data) + 1), if_match=stored.etag)
                    break
                except PreconditionFailed:
                    continue

    threads = [threading.Thread(target=increment) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.get("counter").data == b"40"


def test_creating_the_same_object_at_once_has_one_winner(store: ObjectStore) -> None:
    barrier = threading.Barrier(6)
    won: list[int] = []

    def create(number: int) -> None:
        barrier.wait()
        try:
            store.put("folder/lock", b"%d" % number, if_none_match=True)
            won.append(number)
        except PreconditionFailed:
            pass

    threads = [threading.Thread(target=create, args=[number]) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [b"%d" % number for number in won] == [store.get("folder/lock").data]


def test_put_and_delete_in_one_folder_do_not_disturb_each_other(store: ObjectStore) -> None:
    failures: list[Exception] = []

    def churn(name: str) -> None:
        try:
            for _ in range(15):
                store.put(f"a/b/{name}", b"x")
                store.delete(f"a/b/{name}")
        except Exception as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=churn, args=[f"{number}.jpg"]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert keys(store) == []


def test_what_is_excluded_is_not_listed(store: ObjectStore) -> None:
    for key in ("a/1.jpg", "b/1.jpg", "b/c/2.jpg", "d.jpg"):
        store.put(key, b"x")
    selection = Selection(excludes=lambda key: key.startswith("b/") or key == "d.jpg")
    assert [info.key for info in store.list(selection=selection)] == ["a/1.jpg"]
    assert [info.key for info in store.list("b/", selection=KEYS_ONLY)] == ["b/1.jpg", "b/c/2.jpg"]


def test_an_object_whose_etag_is_not_needed_is_listed_with_its_size(store: ObjectStore) -> None:
    etag = store.put("a.jpg", b"picture")
    store.put("b.mp4", b"video")
    listed = {info.key: info for info in store.list(selection=Selection(needs_etag=lambda key, size: size > 5))}
    assert (listed["a.jpg"].etag, listed["a.jpg"].size_bytes) == (etag, 7)
    assert listed["b.mp4"].size_bytes == 5
    assert [(info.key, info.size_bytes) for info in store.list(selection=KEYS_ONLY)] == [("a.jpg", 7), ("b.mp4", 5)]
