"""A folder of pictures searched from any directory, without settings: `search --images-dir`, and from programs.

Both share the folder's index in the cache, so one module tests them.
"""

import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from app.errors import InvalidInput
from app.local import index_local_images, retrieve_local
from tests.cli.workplace import Ended, Workplace
from tests.support.service import KEYS

pytestmark = pytest.mark.long(30)

NO_PLACE = {"STORAGE_URL": "no-such-folder"}
"""`--images-dir` needs none."""


class Folder:
    """A person's own pictures, long there, beside the program's model."""

    def __init__(self, root: Path) -> None:
        self.place = Workplace(root)
        self.pictures = root / "pictures"
        for path in self.pictures.rglob("*.*"):
            os.utime(path, (0, 1_000_000_000))

    def search(self, *arguments: str, images_dir: str = "pictures", **settings: str) -> Ended:
        return self.place.run("search", *arguments, "--images-dir", images_dir, **NO_PLACE, **settings)

    def looks(self) -> dict[str, tuple[int, float, float]]:
        """Size and times of everything in the folder."""
        found = {path: path.stat() for path in (self.pictures, *self.pictures.rglob("*"))}
        return {str(path): (it.st_size, it.st_mtime, it.st_ctime) for path, it in found.items()}

    def cached(self, pattern: str) -> list[Path]:
        """Files of the folder's index."""
        for seen in Path(os.environ["MODEL_CACHE"], "folders").glob("*/.image2search/seen.json"):
            if str(self.pictures) in seen.read_text():
                return sorted(seen.parents[1].rglob(pattern))
        return []


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Indexed by the first search, whose own test this is too."""
    folder = Folder(tmp_path_factory.mktemp("folder"))
    before = folder.looks()
    first = folder.place.run_process("search", "--prompt", "a black cat", "--images_dir", "pictures", **NO_PLACE)
    assert first.returncode == 0, first.stderr
    assert len(re.findall(r"^-?\d\.\d{3} — pictures/\S", first.stdout, re.MULTILINE)) == first.stdout.count("\n") == 5
    assert f"{len(KEYS)} pictures: {len(KEYS)} added" in first.stderr
    assert folder.looks() == before
    return folder


def test_the_second_search_indexes_nothing(folder: Folder, capfd: pytest.CaptureFixture[str]) -> None:
    found = folder.search("a black cat", "-k", "100")
    assert len(found.stdout.splitlines()) == len(KEYS)
    assert found.stderr == capfd.readouterr().err == ""


def test_paths_begin_as_the_folder_was_named(folder: Folder) -> None:
    found = folder.search("a black cat", "-k", "100", images_dir=f"{folder.pictures}/")
    assert {line.partition(" — ")[2] for line in found.stdout.splitlines()} == {
        f"{folder.pictures}/{key}" for key in KEYS
    }


def test_by_picture_in_a_folder_of_the_folder(folder: Folder) -> None:
    found = folder.search("pictures/nature/sunset1.jpg", "-k", "100", "--folder", "nature")
    assert found.stdout.startswith("1.000 — pictures/nature/sunset1.jpg\n")
    assert found.stdout.count("\n") == found.stdout.count("— pictures/nature/") == 3


def test_for_programs(folder: Folder, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(folder.place.root)
    monkeypatch.setenv("MODEL", "model")
    embeddings, paths = index_local_images("pictures")
    assert paths == [f"pictures/{key}" for key in sorted(KEYS)]
    assert embeddings.shape == (len(KEYS), 16)
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-6)

    found = retrieve_local("a black cat", embeddings, paths, 3)
    lines = folder.search("a black cat", "-k", "3", "--no-auto-folder").stdout.splitlines()
    assert [f"{score:.3f} — {path}" for path, score in found] == lines
    ((path, score),) = retrieve_local("pictures/top.png", embeddings, paths, top_k=1)
    assert (path, round(score, 5)) == ("pictures/top.png", 1)
    assert retrieve_local("a cat", embeddings[:0], []) == []
    with pytest.raises(InvalidInput, match="There is no picture"):
        retrieve_local("pictures/no.jpg", embeddings, paths)
    with pytest.raises(InvalidInput, match="There is no folder"):
        index_local_images("no-such-folder")
    assert capfd.readouterr().err == ""


def test_an_index_that_was_swept_from_the_cache_is_made_again(folder: Folder) -> None:
    (part,) = folder.cached("image_faiss_index.bin")
    part.unlink()
    found = folder.search("a black cat", "-k", "100")
    assert len(found.stdout.splitlines()) == len(KEYS), found.stderr


def test_new_pictures_are_found_and_removed_ones_are_not(folder: Folder) -> None:
    kept = folder.pictures / "top.png"
    moved = kept.rename(folder.place.root / "top.png")
    new = shutil.copy(folder.pictures / "nature/sunset1.jpg", folder.pictures / "new.jpg")
    lines = folder.search("pictures/new.jpg", "-k", "100").stdout.splitlines()
    moved.rename(kept)
    new.unlink()
    assert "1.000 — pictures/new.jpg" in lines
    assert len(lines) == len(KEYS)
    assert not any(line.endswith("top.png") for line in lines)


@pytest.mark.parametrize(
    ("images_dir", "settings", "reason"),
    [
        ("no-such-folder", {}, "There is no folder no-such-folder"),
        ("model/config.json", {}, "There is no folder model/config.json"),
        ("empty", {}, "There are no pictures in"),
        ("pictures", {"MODEL_CACHE": "model/config.json"}, "Set MODEL_CACHE"),
    ],
)
def test_what_can_not_be_searched(folder: Folder, images_dir: str, settings: dict[str, str], reason: str) -> None:
    (folder.place.root / "empty").mkdir(exist_ok=True)
    refused = folder.search("a cat", images_dir=images_dir, **settings)
    assert refused.returncode == 1
    assert reason in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_the_demo_model_is_warned_of(folder: Folder, capfd: pytest.CaptureFixture[str]) -> None:
    """At length when it indexes, in short when it searches."""
    first = folder.search("a cat", MODEL="demo")
    assert first.returncode == 0, first.stderr
    indexing = capfd.readouterr().err
    assert "does not know 7 of the pictures" in indexing
    assert indexing.count("MODEL=") == 2
    assert first.stderr == ""
    second = folder.search("a cat", MODEL="demo")
    assert re.fullmatch(r"The demo model knows drawings, not photographs: .*MODEL=\S+\.\n", second.stderr)
    assert second.stdout == first.stdout
