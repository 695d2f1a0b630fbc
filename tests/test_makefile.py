"""What the targets of the Makefile install. The Python of the virtual environment only notes its arguments."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

NOTING = """#!/bin/sh
echo "$@" >> calls
case "$*" in *scripts.needs_models*) exit "$NEEDS_NOTHING";; esac
"""


class Checkout:
    """A checkout whose virtual environment is made but empty."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for name in ("Makefile", "pyproject.toml", "constraints.txt"):
            shutil.copy(ROOT / name, folder)
        programs = folder / ".venv" / "bin"
        programs.mkdir(parents=True)
        for program in ("python", "image2search", "ruff", "mypy", "lint-imports"):
            (programs / program).write_text(NOTING)
            (programs / program).chmod(0o755)

    def make(self, *targets: str, needs_models: bool = False) -> list[str]:
        """The extras that it installs, `` for none, in order."""
        calls = self._folder / "calls"
        calls.write_text("")
        environment = os.environ | {"NEEDS_NOTHING": str(int(not needs_models))}
        for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS"):  # of the `make test` that runs this
            environment.pop(name, None)
        command = ["make", "--no-print-directory", *targets]
        subprocess.run(command, cwd=self._folder, env=environment, check=True, capture_output=True)
        installs = [line for line in calls.read_text().splitlines() if " --editable " in line]
        return [line.rpartition(" --editable .")[2].strip("[]") for line in installs]

    def change_dependencies(self) -> None:
        """Make pyproject.toml newer than every stamp."""
        for stamp in (self._folder / ".venv").glob(".*"):
            os.utime(stamp, (0, 0))


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_the_demo_is_installed_without_pytorch_and_once(checkout: Checkout) -> None:
    assert checkout.make("demo", needs_models=True) == [""]
    assert checkout.make("demo") == []


@pytest.mark.parametrize("target", ["serve", "index"])
def test_pytorch_is_installed_where_the_model_needs_it(checkout: Checkout, target: str) -> None:
    assert checkout.make(target) == [""]
    assert checkout.make(target, needs_models=True) == ["models"]
    assert checkout.make("index", "serve") == []


def test_the_tests_install_everything_also_after_the_demo(checkout: Checkout) -> None:
    assert checkout.make("demo") == [""]
    assert checkout.make("lint") == ["dev"]
    assert checkout.make("demo", "serve", "models", "lint") == []


def test_a_change_of_the_dependencies_reaches_what_is_installed(checkout: Checkout) -> None:
    checkout.make("serve", needs_models=True)
    checkout.change_dependencies()
    assert checkout.make("serve") == ["", "models"]
