"""A folder of pictures put into a store."""

from pathlib import Path

import pytest

from app.errors import InvalidInput
from app.library.filling import pictures_in, put_pictures
from app.storage.local import LocalStore
from tests.support.pictures import encoded, quarters


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for name in ("a/1.jpg", "b.PNG", "notes.txt", ".hidden/2.jpg", "_index/3.jpg"):
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path / "pictures"


def test_pictures_go_in_under_their_relative_path_and_only_once(tmp_path: Path, pictures: Path) -> None:
    (tmp_path / "store").mkdir()
    store = LocalStore(tmp_path / "store")
    assert put_pictures(store, pictures) == 2
    assert [info.key for info in store.list()] == ["a/1.jpg", "b.PNG"]
    assert put_pictures(store, pictures) == 0
    (pictures / "c.webp").write_bytes(b"new")
    (pictures / "b.PNG").write_bytes(b"changed here, kept there")
    assert put_pictures(store, pictures) == 1
    assert store.get("b.PNG").data == b"b.PNG"


def test_files_without_a_suffix_go_in_when_they_are_pictures(tmp_path: Path, pictures: Path) -> None:
    (tmp_path / "store").mkdir()
    (pictures / "LICENSE").write_text("words")
    (pictures / "3f9c2a").write_bytes(encoded(quarters(), "JPEG"))
    store = LocalStore(tmp_path / "store")
    put_pictures(store, pictures)
    assert [info.key for info in store.list()] == ["3f9c2a", "a/1.jpg", "b.PNG"]


def test_the_pictures_of_a_folder_are_those_that_an_index_would_have(pictures: Path) -> None:
    assert pictures_in(pictures) == {name: pictures / name for name in ("a/1.jpg", "b.PNG")}


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InvalidInput, match="no pictures"):
        put_pictures(LocalStore(tmp_path / "store"), tmp_path)
