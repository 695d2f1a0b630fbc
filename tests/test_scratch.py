"""Temporary folders: what a killed process left goes, what a living one uses stays."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from app.scratch import scratch_folder

HOLD = (
    "import sys; from pathlib import Path; from app.scratch import scratch_folder\n"
    "with scratch_folder(Path(sys.argv[1]), 'mine-') as folder:\n"
    "    (folder / 'index.bin').write_bytes(b'x' * 1000); print('ready', flush=True); sys.stdin.read()"
)


def start_holder(parent: Path) -> "subprocess.Popen[bytes]":
    """A process that uses a folder until its input ends."""
    environment = {**os.environ, "PYTHONPATH": "."}
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(parent)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"ready\n"
    return holder


def test_the_folder_is_gone_at_the_end_also_after_an_error(tmp_path: Path) -> None:
    def fail() -> None:
        with scratch_folder(tmp_path, "mine-") as folder:
            (folder / "a").write_bytes(b"x")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_goes_and_what_a_living_one_uses_stays(tmp_path: Path) -> None:
    killed, living = start_holder(tmp_path), start_holder(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    with scratch_folder(tmp_path, "mine-"):
        assert len(list(tmp_path.glob("mine-*/index.bin"))) == 1
    living.communicate()
    assert living.returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_folders_of_others_and_links_stay(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/a").write_bytes(b"x")
    (tmp_path / "mine-link").symlink_to(tmp_path / "outside")
    (tmp_path / "mine-file").write_bytes(b"x")
    with scratch_folder(tmp_path, "mine-"):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine-file", "mine-link", "outside"]
    assert (tmp_path / "outside/a").exists()


def test_many_at_once_do_not_remove_each_other(tmp_path: Path) -> None:
    failures: list[str] = []

    def use() -> None:
        for _ in range(20):
            with scratch_folder(tmp_path, "mine-") as folder:
                (folder / "a").write_bytes(b"x")
                if not (folder / "a").exists():
                    failures.append(str(folder))

    threads = [threading.Thread(target=use) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert list(tmp_path.iterdir()) == []
