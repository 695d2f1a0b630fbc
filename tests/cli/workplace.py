"""The program `image2search` in a folder with pictures and a tiny model."""

import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest
from rich.console import Console

from app.cli import main as cli
from tests.support.service import KEYS, encoded, picture
from tests.support.tiny_models import build_tiny_clip

PROGRAM = Path(sys.executable).with_name("image2search")


@dataclass
class Ended:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


class Workplace:
    """A folder with pictures and a model, and the program run in it."""

    def __init__(self, root: Path, model: str = "") -> None:
        """With a tiny model that is made for it, unless `model` names another."""
        self.root = root
        for key in KEYS:
            path = root / "pictures" / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded(picture(key), "JPEG" if key.endswith("jpg") else "PNG"))
        if not model:
            build_tiny_clip(root / "model")
        self.settings = {"STORAGE_URL": "file://pictures", "MODEL": model or "model"}

    def run(self, *arguments: str, **settings: str) -> Ended:
        """The command in this process, through its entry point."""
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.root)
            patch.setattr(sys, "argv", ["image2search", *arguments])
            patch.setattr(cli, "console", Console(width=200))
            patch.setattr(cli, "problems", Console(stderr=True, width=200))
            for name, value in {**self.settings, **settings}.items():
                patch.setenv(name, value)
            with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
                cli.main()
        return Ended(int(ended.value.code or 0), out.getvalue(), err.getvalue())

    def run_process(
        self, *arguments: str, stdout: int | IO[str] = subprocess.PIPE, **settings: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [PROGRAM, *arguments],
            cwd=self.root,
            env={**os.environ, **self.settings, **settings},
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
        )

    @contextmanager
    def serving(self, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
        """The process and its address, once it says that it answers."""
        with subprocess.Popen(
            [PROGRAM, *arguments],
            cwd=self.root,
            env={**os.environ, **self.settings},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield (
                    process,
                    next(found[0] for line in process.stdout if (found := re.search(r"http://\S+(?=/docs)", line))),
                )
            finally:
                process.kill()
