"""The local store: addresses, borders, crashes, races between processes, and failures."""

import errno
import multiprocessing
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.errors import InvalidInput, InvalidSettings, ObjectNotFound, StorageUnavailable
from app.storage.local import STATE_FOLDER, LocalStore
from app.types import hash_content
from tests.storage import doomed_writer
from tests.storage.folders import age, keys, names_in, without_rights

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


@pytest.mark.parametrize("url", ["file://", "s3://bucket"])
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
    assert "Symbolic links are not followed" in caplog.text


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


@pytest.fixture(scope="module")
def forks() -> ForkServerContext:
    """Starts processes that have imported the store already, which spares each of them half a second."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pytest", doomed_writer.__name__])
    return context


def write_until_killed(forks: ForkServerContext, root: Path, point: str) -> None:
    writer = forks.Process(target=doomed_writer.write_and_die, args=(str(root), "folder/a.bin", point))
    writer.start()
    writer.join(60)
    assert writer.exitcode == -signal.SIGKILL
    writer.close()


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize("point", doomed_writer.POINTS)
def test_a_killed_writer_leaves_the_old_object_or_the_new(
    forks: ForkServerContext, store: LocalStore, root: Path, point: str, exists: bool
) -> None:
    (root / "folder").mkdir(parents=True)
    if exists:
        store.put("folder/a.bin", b"old")
    write_until_killed(forks, root, point)
    if point == "after the rename":
        assert store.get("folder/a.bin").data == doomed_writer.CONTENT
        assert keys(store) == ["folder/a.bin"]
    elif exists:
        assert store.get("folder/a.bin").data == b"old"
        assert keys(store) == ["folder/a.bin"]
    else:
        assert keys(store) == []
    store.put("folder/a.bin", b"next", if_match=store.head("folder/a.bin").etag if keys(store) else None)
    assert store.get("folder/a.bin").data == b"next"


def test_what_a_killed_writer_left_is_removed_a_day_later(
    forks: ForkServerContext, store: LocalStore, root: Path
) -> None:
    write_until_killed(forks, root, "before the rename")
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
    """The system itself refuses the write, in a process with its own limit."""
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


def test_missing_rights_to_write_name_the_setting_for_read_only_pictures(store: LocalStore, root: Path) -> None:
    with without_rights(root, mode=0o555), pytest.raises(StorageUnavailable, match=r"stay read-only, set INDEX_URL"):
        store.put("a.jpg", b"x")


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


# A folder that another user swaps for a link while the store works


@pytest.fixture
def swapped(store: LocalStore, root: Path, outside: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Swaps the folder `a` for a link to `outside`, as soon as the store opens a file or folder of the given name."""
    store.put("a/secret.jpg", b"inside")
    store.put("a/b/c.jpg", b"inside")
    real_open = os.open

    def swap_at(name: str) -> None:
        def swapping(path: str | Path, flags: int, *args: int, **options: int) -> int:
            if Path(path).name.startswith(name) and not (root / "a").is_symlink():
                (root / "a").rename(root.parent / "moved")
                (root / "a").symlink_to(outside)
            return real_open(path, flags, *args, **options)

        monkeypatch.setattr(os, "open", swapping)

    return swap_at


@pytest.mark.parametrize("at", ["secret.jpg", "a", "root"])
@pytest.mark.parametrize("act", ["get", "stream", "head", "get_range", "list"])
def test_a_folder_that_is_swapped_for_a_link_while_it_is_read_leads_nowhere(
    store: LocalStore, swapped: Callable[[str], None], act: str, at: str
) -> None:
    swapped(at)
    found: object = None
    with suppress(InvalidInput, ObjectNotFound):
        found = {
            "get": lambda: store.get("a/secret.jpg").data,
            "stream": lambda: next(store.stream("a/secret.jpg")),
            "head": lambda: store.head("a/secret.jpg").etag,
            "get_range": lambda: store.get_range("a/secret.jpg", 0, 99),
            "list": lambda: {info.etag for info in store.list("a/")} or None,
        }[act]()
    assert found in (None, b"inside", hash_content(b"inside"), {hash_content(b"inside")})


@pytest.mark.parametrize("at", [".image2search-tmp-", "a", "lock", "root"])
@pytest.mark.parametrize("act", ["put", "put into a new folder", "delete", "delete the last"])
def test_a_folder_that_is_swapped_for_a_link_while_it_is_written_leads_nowhere(
    store: LocalStore, swapped: Callable[[str], None], outside: Path, act: str, at: str
) -> None:
    (outside / "b").mkdir()
    swapped(at)
    with suppress(InvalidInput, ObjectNotFound):
        {
            "put": lambda: store.put("a/secret.jpg", b"new"),
            "put into a new folder": lambda: store.put("a/d/new.jpg", b"new"),
            "delete": lambda: store.delete("a/secret.jpg"),
            "delete the last": lambda: store.delete("a/b/c.jpg"),
        }[act]()
    assert names_in(outside) == ["b", "secret.jpg"]
    assert (outside / "secret.jpg").read_bytes() == b"secret"


def test_a_temporary_file_that_its_writer_holds_is_kept(
    store: LocalStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock of the machine that lists may be days ahead of the writer's."""

    class Body(BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            with monkeypatch.context() as patch:
                patch.setattr(time, "time", lambda: now + 3 * 86_400)
                assert keys(store) == []
            return super().read(size)

    now = time.time()
    store.put("a/b.jpg", Body(b"whole"))
    assert store.get("a/b.jpg").data == b"whole"
