"""The wheel brings the web app with it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]
FILES = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", "THIRD_PARTY_NOTICES.md")
SHOWING = "import app.web.built as built; print(built.__file__, *built.built_app(), sep='\\n')"


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What pip would install, from a checkout in which a wheel of an older app was built."""
    checkout, wheels, folder = (tmp_path_factory.mktemp(name) for name in ("checkout", "wheels", "unpacked"))
    for name in FILES:
        shutil.copy(ROOT / name, checkout)
    for name in ("app", "indexer", "web/dist"):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    older = checkout / "build" / "lib" / "app" / "web" / "dist" / "assets" / "older.js"
    older.parent.mkdir(parents=True)
    older.touch()
    words = ("wheel", "--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), ".")
    subprocess.run([sys.executable, "-m", "pip", *words], cwd=checkout, check=True, timeout=120)
    with ZipFile(next(wheels.iterdir())) as wheel:
        wheel.extractall(folder)
    return folder


def test_it_has_the_built_app_and_nothing_older(unpacked: Path) -> None:
    def contents(folder: Path) -> dict[str, bytes]:
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    assert contents(unpacked / "app" / "web" / "dist") == contents(ROOT / "web" / "dist")


def test_what_is_installed_finds_it(unpacked: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(unpacked)}
    shown = subprocess.run(
        [sys.executable, "-c", SHOWING], cwd=unpacked, env=environment, check=True, capture_output=True
    )
    module, *names = shown.stdout.decode().splitlines()
    assert Path(module).is_relative_to(unpacked)
    built = [path.relative_to(ROOT / "web" / "dist") for path in (ROOT / "web" / "dist").rglob("*") if path.is_file()]
    assert sorted(names) == sorted(path.as_posix() for path in built)
