"""`image2search demo` as a real process."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.processes import unmeasured

PROGRAM = Path(sys.executable).with_name("image2search")


@contextmanager
def demo(folder: Path) -> Iterator[tuple[str, str]]:
    """(its address, what it printed until it was ready), run in `folder`; ended by Ctrl-C."""
    environment = {name: value for name, value in unmeasured().items() if name not in ("STORAGE_URL", "MODEL")}
    with (
        (folder / "stderr.txt").open("a") as stderr,
        subprocess.Popen(
            [PROGRAM, "demo", "--port", "0"],
            cwd=folder,
            env={**environment, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        ) as process,
    ):
        printed = ""
        for line in process.stdout:
            printed += line
            if found := re.match(r"Docs: (http://\S+)/docs", line):
                yield found[1], printed
                break
        else:
            raise AssertionError((folder / "stderr.txt").read_text())
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
