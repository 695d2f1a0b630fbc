"""The listing of a local store: order, hidden and unreadable files, and files that are not read again."""

import errno
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from app.errors import InvalidInput, ObjectNotFound, StorageUnavailable
from app.storage import etag_cache
from app.storage.base import KEYS_ONLY, Selection, Unlisted
from app.storage.local import STATE_FOLDER, LocalStore
from app.types import hash_content
from tests.storage.folders import age, keys, names_in, without_rights


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


def keys_of(store: LocalStore, selection: Selection) -> list[str]:
    return [info.key for info in store.list(selection=selection)]


class Reads:
    """Records the names of the pictures that the store opens."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: list[str] = []
        real_open = os.open

        def counting(path: str | Path, flags: int, *args: int, **options: int) -> int:
            if str(path).endswith(".jpg") and not flags & os.O_CREAT:
                self.names.append(Path(path).name)
            return real_open(path, flags, *args, **options)

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


def test_a_future_date_is_settled_by_the_change_time(store: LocalStore, root: Path, reads: Reads, later: None) -> None:
    """Cameras with a wrong clock make such files. The date says nothing about the last write."""
    store.put("a.jpg", b"1")
    age(root / "a.jpg", -20 * 365 * 86_400)
    assert reads.of(store) == ["a.jpg"]
    assert reads.of(store) == []
    (root / "a.jpg").write_bytes(b"2")
    age(root / "a.jpg", -20 * 365 * 86_400)
    assert reads.of(store) == ["a.jpg"]


def test_a_file_whose_etag_is_not_needed_is_not_read(store: LocalStore, reads: Reads, later: None) -> None:
    store.put("a.jpg", b"small")
    store.put("b.jpg", b"too large")
    selection = Selection(needs_etag=lambda key, size_bytes: size_bytes < 9)
    etags = {info.key: info.etag for info in store.list(selection=selection)}
    assert reads.names == ["a.jpg"]
    assert etags["a.jpg"] == hash_content(b"small")
    assert etags["b.jpg"] != hash_content(b"too large")
    reads.names.clear()
    assert keys_of(store, KEYS_ONLY) == ["a.jpg", "b.jpg"]
    assert reads.names == []
    assert reads.of(store) == ["b.jpg"], "what was remembered stays"


def cache_of(root: Path) -> Path:
    return root / STATE_FOLDER / "etags.sqlite3"


def damages(root: Path) -> dict[str, Callable[[bytes], bytes]]:
    """Changes of one bit, and a file that never was a database."""

    def flip(data: bytes, what: bytes, mask: int) -> bytes:
        place = data.index(what)
        return data[:place] + bytes([data[place] ^ mask]) + data[place + 1 :]

    return {
        "an etag": lambda data: flip(data, hash_content(b"1").encode(), 1),
        "a name that is no UTF-8 any more": lambda data: flip(data, b"a.jpg", 0x80),
        "the table's definition": lambda data: flip(data, b"checksum INTEGER", 2),
        "the file's head": lambda data: flip(data, b"SQLite format 3", 4),
        "a page": lambda data: data[:4096] + b"\xff" * 64 + data[4160:],
        "no database": lambda data: b"not a database at all" * 100,
    }


@pytest.mark.parametrize("damage", sorted(damages(Path())))
def test_a_damaged_cache_is_told_of_once_and_starts_anew(
    store: LocalStore, root: Path, reads: Reads, later: None, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    for key in ("a.jpg", "b/b.jpg", "c/c.jpg"):
        store.put(key, b"1")
    reads.of(store)
    whole = [info.etag for info in store.list()]
    caplog.clear()
    cache_of(root).write_bytes(damages(root)[damage](cache_of(root).read_bytes()))
    assert [info.etag for info in store.list()] == whole
    assert caplog.text.count("etag cache") == 1
    reads.of(store)
    assert reads.of(store) == []
    assert caplog.text.count("etag cache") == 1


def test_a_cache_of_an_earlier_version_starts_anew(store: LocalStore, root: Path, reads: Reads, later: None) -> None:
    store.put("a.jpg", b"1")
    with closing(sqlite3.connect(cache_of(root))) as connection, connection:
        connection.execute("CREATE TABLE etags (folder TEXT, name TEXT, stamp TEXT, etag TEXT)")
    assert reads.of(store) == ["a.jpg"]
    assert reads.of(store) == []


def test_a_locked_cache_is_given_up_for_the_listing_and_told_of_once(
    store: LocalStore, root: Path, later: None, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(etag_cache, "LOCK_TIMEOUT_S", 0.05)
    for number in range(4):
        store.put(f"{number}/a.jpg", b"1")
    list(store.list())
    with closing(sqlite3.connect(cache_of(root), isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        assert [info.etag for info in store.list()] == [hash_content(b"1")] * 4
    assert caplog.text.count("can't be used (database is locked)") == 1
    assert cache_of(root).exists()


def test_the_cache_of_a_folder_that_stays_read_only_lies_elsewhere(root: Path, tmp_path: Path, later: None) -> None:
    (root / "a.jpg").write_bytes(b"1")
    elsewhere = tmp_path / "index/etags.sqlite3"
    elsewhere.parent.mkdir()
    assert len(list(LocalStore(root, etag_cache=elsewhere).list())) == 1
    assert names_in(root) == ["a.jpg"]
    assert elsewhere.exists()


def test_a_linked_state_folder_is_not_followed(
    store: LocalStore, root: Path, tmp_path: Path, later: None, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "outside").mkdir()
    (root / "a.jpg").write_bytes(b"1")
    (root / STATE_FOLDER).symlink_to(tmp_path / "outside")
    assert [info.etag for info in store.list()] == [hash_content(b"1")]
    with pytest.raises(InvalidInput, match="symbolic link"):
        store.put("b.jpg", b"1")
    assert names_in(tmp_path / "outside") == []
    assert "symbolic link" in caplog.text


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

    def watching(folder: int) -> Iterator[os.DirEntry[str]]:
        walked.append(Path(f"/proc/self/fd/{folder}").readlink().name)
        return scandir(folder)

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

    def failing(path: str | Path, flags: int, *args: int, **options: int) -> int:
        if str(path).endswith("a.jpg"):
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return real_open(path, flags, *args, **options)

    monkeypatch.setattr(os, "open", failing)
    assert keys(store) == ["a.jpg", "b.jpg"]


def test_more_open_files_than_the_system_allows_are_no_fault_of_the_file(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("a.jpg", b"1")

    def failing(path: str | Path, flags: int, *args: int, **options: int) -> int:
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


@pytest.mark.parametrize("mode", [0o000, 0o444], ids=["closed", "may be listed, not entered"])
def test_a_folder_without_rights_is_left_out_where_the_caller_is_told(open_root: Path, later: None, mode: int) -> None:
    store = LocalStore(open_root)
    for key in ("a.jpg", "deep/er/b.jpg", "deep/er/est/c.jpg", "deep/z.jpg", "e/f.jpg"):
        store.put(key, b"1")
    list(store.list())
    told: list[Unlisted] = []
    with without_rights(open_root / "deep/er", mode=mode):
        assert keys_of(store, Selection(report=told.append)) == ["a.jpg", "deep/z.jpg", "e/f.jpg"]
    assert [each.key for each in told] == ["deep/er/"]
    assert "Permission denied" in told[0].reason
    with without_rights(open_root), pytest.raises(StorageUnavailable):
        keys_of(store, Selection(report=told.append))


def test_a_folder_on_a_broken_disk_is_left_out_where_the_caller_is_told(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("a.jpg", "b/b.jpg", "c/c.jpg"):
        store.put(key, b"1")
    scandir = os.scandir

    def failing(folder: int) -> Iterator[os.DirEntry[str]]:
        if Path(f"/proc/self/fd/{folder}").readlink().name == "b":
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", failing)
    told: list[Unlisted] = []
    assert keys_of(store, Selection(report=told.append)) == ["a.jpg", "c/c.jpg"]
    assert [each.key for each in told] == ["b/"]


def test_an_unreadable_folder_that_is_excluded_is_not_told_of(open_root: Path) -> None:
    store = LocalStore(open_root)
    store.put("a.jpg", b"1")
    (open_root / "lost+found").mkdir()
    told: list[Unlisted] = []
    with without_rights(open_root / "lost+found"):
        selection = Selection(excludes=lambda key: key == "lost+found/", report=told.append)
        assert keys_of(store, selection) == ["a.jpg"]
    assert told == []


def test_names_that_can_not_be_keys_are_told(store: LocalStore, root: Path, caplog: pytest.LogCaptureFixture) -> None:
    (root / "a").mkdir()
    (root / "a/back\\slash.jpg").write_bytes(b"x")
    (root / "link.jpg").symlink_to(root / "a/back\\slash.jpg")
    Path(os.fsdecode(os.fsencode(root) + b"/\xff.jpg")).write_bytes(b"x")
    told: list[Unlisted] = []
    assert keys_of(store, Selection(report=told.append)) == []
    assert sorted(each.key for each in told) == ["\\xff.jpg", "a/back\\slash.jpg", "link.jpg"]
    assert caplog.text == ""


def test_folders_without_end_are_left_out(store: LocalStore, root: Path) -> None:
    (root / "/".join(["a"] * 205)).mkdir(parents=True)
    store.put("b.jpg", b"1")
    told: list[Unlisted] = []
    assert keys_of(store, Selection(report=told.append)) == ["b.jpg"]
    assert len(told) == 1
    assert "folders deep" in told[0].reason


def test_a_listing_leaves_no_file_open(store: LocalStore) -> None:
    store.put("a/b/c.jpg", b"1")
    before = len(list(Path("/proc/self/fd").iterdir()))
    list(store.list())
    listing = store.list()
    next(listing)
    listing.close()  # type: ignore[attr-defined]
    assert len(list(Path("/proc/self/fd").iterdir())) == before
