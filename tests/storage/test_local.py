"""What is special about a folder: its borders, crashes, races between processes, and listing without reading."""

import errno
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.errors import InvalidInput, InvalidSettings, ObjectNotFound, StorageUnavailable
from app.storage.local import STATE_FOLDER, LocalStore
from app.types import hash_content


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def store(root: Path) -> LocalStore:
    return LocalStore(root)


def keys(store: LocalStore, prefix: str = "") -> list[str]:
    return [info.key for info in store.list(prefix)]


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def age(path: Path, seconds: float = 60) -> None:
    """Let the file look as if it was last written a while ago. Its change time stays: that can't be set."""
    then = time.time() - seconds
    os.utime(path, (then, then))


# Addresses


def test_a_relative_address_is_a_folder_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data/pictures").mkdir(parents=True)
    store = LocalStore.from_url("file://data/pictures")
    store.put("a.jpg", b"x")
    assert (tmp_path / "data/pictures/a.jpg").read_bytes() == b"x"
    assert store.uri("a.jpg") == f"file://{tmp_path}/data/pictures/a.jpg"


def test_an_absolute_address(tmp_path: Path) -> None:
    (tmp_path / "Data").mkdir()
    LocalStore.from_url(f"file://{tmp_path}/Data").put("a.jpg", b"x")
    assert (tmp_path / "Data/a.jpg").read_bytes() == b"x"


def test_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert LocalStore.from_url("file://~/data").uri("a") == f"file://{tmp_path}/data/a"


@pytest.mark.parametrize("url", ["file://", "s3://bucket", "data"])
def test_an_address_of_no_folder(url: str) -> None:
    with pytest.raises(InvalidSettings, match="file://folder"):
        LocalStore.from_url(url)


def test_reading_leaves_no_folder_for_the_absent_object(store: LocalStore, root: Path) -> None:
    assert keys(store) == []
    with pytest.raises(ObjectNotFound):
        store.get("a/b.jpg")
    store.delete("a/b.jpg")
    assert not (root / "a").exists()


def test_no_address_for_browsers(store: LocalStore) -> None:
    assert store.url("a.jpg", 60) is None


def test_files_are_readable_to_those_whom_the_umask_allows(store: LocalStore, root: Path) -> None:
    before = os.umask(0o027)
    try:
        store.put("a/b.jpg", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((root / "a/b.jpg").stat().st_mode) == 0o640


# Borders


@pytest.mark.parametrize("key", [".hidden", "a/.b/c.jpg", f"{STATE_FOLDER}/lock", ".."])
def test_hidden_names_are_no_keys(store: LocalStore, key: str) -> None:
    with pytest.raises(InvalidInput):
        store.put(key, b"x")


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret.jpg").write_bytes(b"secret")
    return folder


def test_a_linked_folder_leads_nowhere(
    store: LocalStore, root: Path, outside: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store.put("a.jpg", b"x")
    (root / "link").symlink_to(outside)
    for act in (
        lambda: store.get("link/secret.jpg"),
        lambda: store.put("link/new.jpg", b"x"),
        lambda: store.put("link/deeper/new.jpg", b"x"),
        lambda: store.delete("link/secret.jpg"),
    ):
        with pytest.raises(InvalidInput, match="symbolic link"):
            act()
    assert keys(store) == ["a.jpg"]
    assert keys(store, "link/") == []
    assert names_in(outside) == ["secret.jpg"]
    assert "symbolic links are not followed" in caplog.text


def test_a_linked_file_is_no_object_and_is_replaced_not_followed(store: LocalStore, root: Path, outside: Path) -> None:
    store.put("a.jpg", b"x")
    (root / "link.jpg").symlink_to(outside / "secret.jpg")
    with pytest.raises(ObjectNotFound):
        store.get("link.jpg")
    assert keys(store) == ["a.jpg"]
    store.put("link.jpg", b"mine")
    assert (outside / "secret.jpg").read_bytes() == b"secret"
    assert store.get("link.jpg").data == b"mine"


def test_the_root_itself_may_be_a_link(tmp_path: Path, outside: Path) -> None:
    (tmp_path / "link").symlink_to(outside)
    store = LocalStore(tmp_path / "link")
    store.put("deep/b.jpg", b"x")
    assert keys(store) == ["deep/b.jpg", "secret.jpg"]


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


def test_a_folder_and_an_object_cannot_share_a_name(store: LocalStore) -> None:
    store.put("a/b.jpg", b"x")
    for key in ("a", "a/b.jpg/c", "a/b.jpg/c/d"):
        with pytest.raises(InvalidInput, match="Choose another key"):
            store.put(key, b"y")
    with pytest.raises(ObjectNotFound):
        store.get("a")
    assert keys(store) == ["a/b.jpg"]


def test_a_name_that_is_too_long(store: LocalStore) -> None:
    with pytest.raises(InvalidInput, match="too long"):
        store.put("a" * 300, b"x")
    with pytest.raises(ObjectNotFound):
        store.get("a" * 300)


NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\\\0"), min_size=1, max_size=12)
KEYS = st.lists(NAMES.filter(lambda name: not name.startswith(".")), min_size=1, max_size=4).map("/".join)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.sets(KEYS, max_size=8), data=st.data())
def test_any_keys_come_back_in_order(names: set[str], data: st.DataObject) -> None:
    names = {key for key in names if not any(other.startswith(key + "/") for other in names)}
    with tempfile.TemporaryDirectory() as folder:
        store = LocalStore(Path(folder))
        for key in names:
            store.put(key, key.encode())
        prefix = data.draw(st.sampled_from(["", *sorted({key[:count] for key in names for count in range(1, 6)})]))
        start_after = data.draw(st.sampled_from(["", *sorted(names), *sorted(key[:3] + "~" for key in names)]))
        expected = sorted(key for key in names if key.startswith(prefix) and key > start_after)
        assert [info.key for info in store.list(prefix, start_after=start_after)] == expected
        assert all(store.get(key).data == key.encode() for key in names)


@settings(max_examples=100, deadline=None)
@given(key=st.text(st.sampled_from("a./\\\0 ~\ud800é"), max_size=8))
def test_no_key_reaches_a_file_outside_the_root(key: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "deep/root")
        root.mkdir(parents=True)
        store = LocalStore(root)
        store.put("b", b"x")
        try:
            store.put(key, b"x")
        except InvalidInput:
            pass
        else:
            assert keys(store) == sorted({"b", key})
        assert names_in(Path(folder)) == ["deep"]
        assert names_in(root.parent) == ["root"]


# Crashes and races

CRASH = """
import os, signal, sys
from pathlib import Path
from app.storage.local import LocalStore

root, point = sys.argv[1:]

def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)

class Body:
    left = [b"n" * (1 << 20)] * 4
    def read(self, size):
        if point == "in the middle" and len(self.left) == 2:
            die()
        return self.left.pop() if self.left else b""

replace = Path.replace
if point == "before the disk":
    os.fsync = die
if point == "before the rename":
    Path.replace = die
if point == "after the rename":
    Path.replace = lambda self, target: (replace(self, target), die())
LocalStore(Path(root)).put("folder/a.bin", Body())
"""


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize("point", ["in the middle", "before the disk", "before the rename", "after the rename"])
def test_a_killed_writer_leaves_the_old_object_or_the_new(
    store: LocalStore, root: Path, point: str, exists: bool
) -> None:
    (root / "folder").mkdir(parents=True)
    if exists:
        store.put("folder/a.bin", b"old")
    writer = subprocess.run([sys.executable, "-c", CRASH, str(root), point], env={**os.environ, "PYTHONPATH": "."})
    assert writer.returncode == -signal.SIGKILL
    if point == "after the rename":
        assert store.get("folder/a.bin").data == b"n" * (4 << 20)
        assert keys(store) == ["folder/a.bin"]
    elif exists:
        assert store.get("folder/a.bin").data == b"old"
        assert keys(store) == ["folder/a.bin"]
    else:
        assert keys(store) == []
    store.put("folder/a.bin", b"next", if_match=store.head("folder/a.bin").etag if keys(store) else None)
    assert store.get("folder/a.bin").data == b"next"


def test_what_a_killed_writer_left_is_removed_a_day_later(store: LocalStore, root: Path) -> None:
    command = [sys.executable, "-c", CRASH, str(root), "before the rename"]
    subprocess.run(command, env={**os.environ, "PYTHONPATH": "."})
    (left,) = (root / "folder").iterdir()
    assert keys(store) == []
    assert left.exists()
    age(left, 25 * 3600)
    assert keys(store) == []
    assert not left.exists()


def test_a_failed_write_leaves_no_file(store: LocalStore, root: Path) -> None:
    class Broken(BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise RuntimeError("the upload broke off")

    store.put("a.jpg", b"old")
    with pytest.raises(RuntimeError, match="broke off"):
        store.put("a.jpg", Broken())
    assert store.get("a.jpg").data == b"old"
    assert names_in(root) == [STATE_FOLDER, "a.jpg"]


def test_two_processes_race_on_one_object(store: LocalStore, root: Path) -> None:
    racer = Path(__file__).with_name("racer.py")
    store.put("counter", b"0")
    command = [sys.executable, str(racer), f"file://{root}", "counter", "100"]
    racers = [subprocess.Popen(command, env={**os.environ, "PYTHONPATH": "."}) for _ in range(2)]
    assert [racer.wait(60) for racer in racers] == [0, 0]
    assert store.get("counter").data == b"200"


def test_a_reader_keeps_the_version_it_opened(store: LocalStore) -> None:
    store.put("a.bin", b"a" * 3000)
    stream = store.stream("a.bin", chunk_bytes=1000)
    first = next(stream)
    store.put("a.bin", b"b" * 3000)
    assert first + b"".join(stream) == b"a" * 3000


# Listing without reading


class Reads:
    """Counts the pictures that are opened, by their access as the store sees it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: list[str] = []
        real_open = os.open

        def counting(path: str | Path, flags: int, *args: int) -> int:
            if str(path).endswith(".jpg") and not flags & os.O_CREAT:
                self.names.append(Path(path).name)
            return real_open(path, flags, *args)

        monkeypatch.setattr(os, "open", counting)

    def of(self, store: LocalStore) -> list[str]:
        """What a listing reads."""
        self.names.clear()
        list(store.list())
        return sorted(self.names)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    return Reads(monkeypatch)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock is an hour ahead, so that what was just written counts as settled."""
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() + 3600 * 10**9)


def test_an_unchanged_file_is_read_once(store: LocalStore, root: Path, reads: Reads, later: None) -> None:
    store.put("a.jpg", b"1")
    store.put("deep/b.jpg", b"2")
    assert reads.of(store) == ["a.jpg", "b.jpg"]
    assert reads.of(store) == []
    assert reads.of(LocalStore(root)) == [], "another process profits too"
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
    """A second write within the clock's grain would leave no trace in its times."""
    store.put("a.jpg", b"1")
    assert reads.of(store) == ["a.jpg"]
    assert reads.of(store) == ["a.jpg"]


def test_same_size_and_forged_time_are_noticed(store: LocalStore, root: Path, later: None) -> None:
    """As `rsync --inplace --times` would do it: the change time gives it away."""
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
    rows = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sqlite3; print(*sqlite3.connect({str(database)!r}).execute('SELECT * FROM etags'))",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert rows.stdout.strip() == ""


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


# Failures


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "Free some disk space"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "read-only"),
        (errno.EIO, "Check the disk"),
    ],
)
def test_a_disk_that_fails(
    store: LocalStore, root: Path, monkeypatch: pytest.MonkeyPatch, number: int, remedy: str
) -> None:
    store.put("a.jpg", b"old")

    def fail(handle: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StorageUnavailable, match=remedy):
        store.put("a.jpg", b"new")
    monkeypatch.undo()
    assert store.get("a.jpg").data == b"old"
    assert names_in(root) == [STATE_FOLDER, "a.jpg"]


def test_a_file_size_limit_is_reported(root: Path) -> None:
    """A real refusal by the system, in a process of its own."""
    script = (
        "import resource, sys; from pathlib import Path; from app.storage.local import LocalStore\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "LocalStore(Path(sys.argv[1])).put('a.jpg', b'x' * 100_000)"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, str(root)], env={**os.environ, "PYTHONPATH": "."}, capture_output=True, text=True
    )
    assert "StorageUnavailable: Can't write a.jpg" in run.stderr
    assert "Free some disk space" in run.stderr
    assert keys(LocalStore(root)) == []


@contextmanager
def without_rights(*paths: Path, mode: int = 0) -> Iterator[None]:
    """Nobody may use `paths` beyond `mode`; root, whom no mode stops, becomes nobody meanwhile."""
    is_root = os.geteuid() == 0
    modes = [stat.S_IMODE(path.stat().st_mode) for path in paths]
    for path in paths:
        path.chmod(mode)
    if is_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)
        for path, before in zip(paths, modes, strict=True):
            path.chmod(before)


@pytest.mark.parametrize("act", ["get", "put", "list", "delete", "head", "stream"])
def test_missing_rights(store: LocalStore, root: Path, act: str) -> None:
    store.put("a/b.jpg", b"x")
    with without_rights(root), pytest.raises(StorageUnavailable, match=r"rights to read and write .*STORAGE_URL"):
        {
            "get": lambda: store.get("a/b.jpg"),
            "put": lambda: store.put("a/c.jpg", b"x"),
            "list": lambda: list(store.list()),
            "delete": lambda: store.delete("a/b.jpg"),
            "head": lambda: store.head("a/b.jpg"),
            "stream": lambda: next(store.stream("a/b.jpg")),
        }[act]()
    assert keys(store) == ["a/b.jpg"]


@pytest.mark.parametrize("act", ["get", "put", "list", "delete"])
def test_a_root_that_is_a_file(store: LocalStore, root: Path, act: str) -> None:
    root.rmdir()
    root.write_bytes(b"x")
    with pytest.raises(StorageUnavailable, match="STORAGE_URL must name a folder"):
        {
            "get": lambda: store.get("a/b.jpg"),
            "put": lambda: store.put("a/c.jpg", b"x"),
            "list": lambda: list(store.list()),
            "delete": lambda: store.delete("a/b.jpg"),
        }[act]()


@pytest.fixture
def open_root() -> Iterator[Path]:
    """A folder that nobody, too, can get to; pytest's own folders are closed to others."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


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
    assert again == listed, "its etag stays while it stays the same file"
    assert {info.key: info.etag for info in store.list()} == {key: info.etag for key, info in whole.items()}
    assert reads.of(store) == [], "what is remembered is the content's hash"


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
    """Left out, its pictures would look as if they were gone."""
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


@pytest.mark.parametrize(
    "act",
    [
        lambda store: store.get("a.jpg"),
        lambda store: store.head("a.jpg"),
        lambda store: list(store.list()),
        lambda store: store.put("a.jpg", b""),
        lambda store: store.delete("a.jpg"),
    ],
    ids=["get", "head", "list", "put", "delete"],
)
def test_a_folder_that_is_absent_is_storage_that_is_down(tmp_path: Path, act: Callable[[LocalStore], object]) -> None:
    """An unmounted disk must not look like an empty bucket."""
    with pytest.raises(StorageUnavailable, match=r"does not exist.*STORAGE_URL"):
        act(LocalStore(tmp_path / "unmounted"))
    assert not (tmp_path / "unmounted").exists()
