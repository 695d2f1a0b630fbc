"""The listing of a local store: order, hidden and unreadable files, and files that are not read again."""

import errno
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from app.errors import ObjectNotFound, StorageUnavailable
from app.storage.local import STATE_FOLDER, LocalStore
from app.types import hash_content
from tests.storage.folders import age, keys, without_rights


def test_only_regular_visible_files_are_listed(store: LocalStore, root: Path, caplog: pytest.LogCaptureFixture) -> None:
    store.put("a.jpg", b"x")
    (root / ".DS_Store").write_bytes(b"x")
    (root / ".git").mkdir()
    (root / ".git/b.jpg").write_bytes(b"x")
    os.mkfifo(root / "pipe.jpg")
    (root / "back\\slash.jpg").write_bytes(b"x")
    Path(os.fsdecode(os.fsencode(root) + b"/\xff.jpg")).write_bytes(b"x")
    assert keys(store) == ["a.jpg"]
    assert keys(store, ".git/") == []
    assert caplog.text.count("is not listed") == 2
    with pytest.raises(ObjectNotFound):
        store.get("pipe.jpg")


class Reads:
    """Records the names of the pictures that the store opens."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: list[str] = []
        real_open = os.open

        def counting(path: str | Path, flags: int, *args: int) -> int:
            if str(path).endswith(".jpg") and not flags & os.O_CREAT:
                self.names.append(Path(path).name)
            return real_open(path, flags, *args)

        monkeypatch.setattr(os, "open", counting)

    def of(self, store: LocalStore) -> list[str]:
        """Names of the files that a listing reads, sorted."""
        self.names.clear()
        list(store.list())
        return sorted(self.names)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    return Reads(monkeypatch)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock is an hour ahead, so files that were just written count as settled."""
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() + 3600 * 10**9)


def test_an_unchanged_file_is_read_once(store: LocalStore, root: Path, reads: Reads, later: None) -> None:
    store.put("a.jpg", b"1")
    store.put("deep/b.jpg", b"2")
    assert reads.of(store) == ["a.jpg", "b.jpg"]
    assert reads.of(store) == []
    assert reads.of(LocalStore(root)) == [], "another process uses the same cache"
    assert {info.key: info.etag for info in store.list()} == {
        "a.jpg": hash_content(b"1"),
        "deep/b.jpg": hash_content(b"2"),
    }


def test_changed_new_and_moved_files_are_read(store: LocalStore, root: Path, reads: Reads, later: None) -> None:
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        store.put(name, name.encode())
    reads.of(store)
    (root / "a.jpg").write_bytes(b"other")
    (root / "b.jpg").rename(root / "moved.jpg")
    assert reads.of(store) == ["a.jpg", "moved.jpg"]
    assert {info.key: info.etag for info in store.list()} == {
        key: hash_content(data) for key, data in {"a.jpg": b"other", "c.jpg": b"c.jpg", "moved.jpg": b"b.jpg"}.items()
    }


def test_a_file_that_was_just_written_is_not_remembered(store: LocalStore, reads: Reads) -> None:
    """A second write within the resolution of the timestamps would not change them."""
    store.put("a.jpg", b"1")
    assert reads.of(store) == ["a.jpg"]
    assert reads.of(store) == ["a.jpg"]


def test_same_size_and_forged_time_are_noticed(store: LocalStore, root: Path, later: None) -> None:
    """`rsync --inplace --times` does this; the change time shows it."""
    store.put("a.jpg", b"1")
    age(root / "a.jpg")
    before = (root / "a.jpg").stat()
    assert [info.etag for info in store.list()] == [hash_content(b"1")]
    deadline = time.monotonic() + 10
    while (root / "a.jpg").stat().st_ctime_ns == before.st_ctime_ns and time.monotonic() < deadline:
        (root / "a.jpg").write_bytes(b"2")
        os.utime(root / "a.jpg", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (root / "a.jpg").stat().st_mtime_ns == before.st_mtime_ns
    assert [info.etag for info in store.list()] == [hash_content(b"2")]


def test_folders_that_went_are_forgotten(store: LocalStore, root: Path, later: None) -> None:
    store.put("a/b.jpg", b"1")
    store.put("c.jpg", b"1")
    list(store.list())
    store.delete("a/b.jpg")
    store.delete("c.jpg")
    list(store.list())
    database = root / STATE_FOLDER / "etags.sqlite3"
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT * FROM etags").fetchall() == []


def test_a_damaged_cache_starts_anew(
    store: LocalStore, root: Path, reads: Reads, later: None, caplog: pytest.LogCaptureFixture
) -> None:
    store.put("a.jpg", b"1")
    (root / STATE_FOLDER / "etags.sqlite3").write_bytes(b"not a database at all" * 100)
    assert reads.of(store) == ["a.jpg"]
    assert "starts anew" in caplog.text
    reads.of(store)
    assert reads.of(store) == []


def test_a_cache_that_cannot_be_written_is_done_without(store: LocalStore, root: Path, later: None) -> None:
    (root / STATE_FOLDER).write_bytes(b"in the way")
    (root / "a.jpg").write_bytes(b"1")
    assert [info.etag for info in store.list()] == [hash_content(b"1")]


def test_a_file_that_goes_while_it_is_listed(store: LocalStore, root: Path) -> None:
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        store.put(name, b"x")
    listing = store.list()
    assert next(listing).key == "a.jpg"
    (root / "b.jpg").unlink()
    assert [info.key for info in listing] == ["c.jpg"]


def test_a_folder_that_goes_while_it_is_listed(store: LocalStore, root: Path) -> None:
    for name in ("a.jpg", "b/b.jpg", "c/c.jpg"):
        store.put(name, b"x")
    listing = store.list()
    assert next(listing).key == "a.jpg"
    store.delete("b/b.jpg")
    (root / "c/c.jpg").unlink()
    (root / "c").rmdir()
    (root / "c").write_bytes(b"x")
    assert [info.key for info in listing] == []


def test_only_the_folders_asked_for_are_walked(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for key in ("a/1.jpg", "b/x/1.jpg", "b/y/1.jpg", "c/1.jpg"):
        store.put(key, b"x")
    walked: list[str] = []
    scandir = os.scandir

    def watching(path: Path) -> Iterator[os.DirEntry[str]]:
        walked.append(Path(path).name)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", watching)
    assert keys(store, "b/x") == ["b/x/1.jpg"]
    assert walked == ["b", "x"]
    walked.clear()
    assert [info.key for info in store.list(start_after="b/x/1.jpg")] == ["b/y/1.jpg", "c/1.jpg"]
    assert walked == ["root", "b", "x", "y", "c"]


def test_a_file_without_rights_is_listed_and_says_so_when_read(open_root: Path, later: None, reads: Reads) -> None:
    store = LocalStore(open_root)
    for key in ("a.jpg", "b.jpg", "c/d.jpg"):
        store.put(key, key.encode())
    whole = {info.key: info for info in store.list()}
    with without_rights(open_root / "b.jpg"):
        listed = {info.key: info for info in store.list()}
        again = {info.key: info for info in store.list()}
        with pytest.raises(StorageUnavailable, match=r"Can't read b\.jpg .*rights to read"):
            store.get("b.jpg")
    assert listed.keys() == whole.keys()
    assert {key for key in whole if listed[key] != whole[key]} == {"b.jpg"}
    assert (listed["b.jpg"].size_bytes, listed["b.jpg"].etag[:11]) == (5, "unreadable-")
    assert again == listed, "the etag stays the same while the file does"
    assert {info.key: info.etag for info in store.list()} == {key: info.etag for key, info in whole.items()}
    assert reads.of(store) == [], "the content's hash is still remembered"


def test_a_file_that_the_disk_cannot_read_is_listed(
    store: LocalStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("a.jpg", b"1")
    store.put("b.jpg", b"2")
    real_open = os.open

    def failing(path: str | Path, flags: int, *args: int) -> int:
        if str(path).endswith("a.jpg"):
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return real_open(path, flags, *args)

    monkeypatch.setattr(os, "open", failing)
    assert keys(store) == ["a.jpg", "b.jpg"]


def test_more_open_files_than_the_system_allows_are_no_fault_of_the_file(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("a.jpg", b"1")

    def failing(path: str | Path, flags: int, *args: int) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(path))

    monkeypatch.setattr(os, "open", failing)
    with pytest.raises(StorageUnavailable, match="Too many open files"):
        keys(store)


@pytest.mark.parametrize("mode", [0o000, 0o444], ids=["closed", "may be listed, not entered"])
def test_a_folder_without_rights_stops_the_listing_and_is_named(open_root: Path, mode: int) -> None:
    """If the folder were left out, its pictures would look as if they were deleted."""
    store = LocalStore(open_root)
    store.put("a.jpg", b"1")
    store.put("deep/er/b.jpg", b"1")
    folder = open_root / "deep/er"
    with (
        without_rights(folder, mode=mode),
        pytest.raises(StorageUnavailable, match=rf"list the folder {folder}: .*rights .*{folder}, or move it out"),
    ):
        keys(store)
    assert keys(store) == ["a.jpg", "deep/er/b.jpg"]


def test_lost_and_found_is_passed_over(open_root: Path) -> None:
    store = LocalStore(open_root)
    store.put("a.jpg", b"1")
    (open_root / "lost+found").mkdir()
    with without_rights(open_root / "lost+found"):
        assert keys(store) == ["a.jpg"]
        assert keys(store, "lost+found/") == []
    store.put("b/c.jpg", b"1")
    (open_root / "b/lost+found").mkdir()
    with without_rights(open_root / "b/lost+found"), pytest.raises(StorageUnavailable, match=r"b/lost\+found"):
        keys(store)
