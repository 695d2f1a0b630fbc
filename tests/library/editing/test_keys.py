"""The keys under which pictures that people add are stored."""

from itertools import islice

import pytest

from app.catalog.exclusion import exclusion
from app.catalog.layout import is_picture_key
from app.errors import InvalidInput
from app.library.editing.keys import MAX_NAME_BYTES, checked_folder, checked_name, numbered
from app.pictures.formats import FORMATS

JPEG = next(each for each in FORMATS if each.name == "JPEG")
IS_EXCLUDED = exclusion("@eaDir,private/*,*.tmp.jpg")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("cat.jpg", "cat.jpg"),
        ("cat.JPEG", "cat.JPEG"),
        ("cat.png", "cat.jpg"),
        ("cat", "cat.jpg"),
        ("my cat.v2", "my cat.jpg"),
        ("C:\\Users\\me\\cat.jpg", "cat.jpg"),
        ("../../etc/passwd", "passwd.jpg"),
        ("", "picture.jpg"),
        ("...", "picture.jpg"),
        (".htaccess", "htaccess.jpg"),
        ("a\x00b\nc.jpg", "a_b_c.jpg"),
        ("what?.jpg", "what_.jpg"),
        ("\ud800.jpg", "picture.jpg"),
        ("café.jpg", "caf\u00e9.jpg"),
        ("x\u202egpj.exe.jpg", "x_gpj.exe.jpg"),
        ("x.tmp.jpg", "picture.jpg"),
    ],
)
def test_names(given: str, kept: str) -> None:
    name = checked_name(given, JPEG, IS_EXCLUDED)
    assert name == kept
    assert is_picture_key(name)


def test_a_long_name_is_cut_between_characters() -> None:
    name = checked_name("ü" * 300 + ".jpg", JPEG, IS_EXCLUDED)
    assert name == "ü" * (MAX_NAME_BYTES // 2) + ".jpg"


@pytest.mark.parametrize(
    ("given", "kept"), [("", ""), ("/", ""), ("a", "a"), ("/a/b/", "a/b"), ("a\\b", "a/b"), ("cafe\u0301", "caf\u00e9")]
)
def test_folders(given: str, kept: str) -> None:
    assert checked_folder(given, IS_EXCLUDED) == kept


@pytest.mark.parametrize(
    "given",
    ["a/../b", "..", ".git", "a/.hidden", "_index", "x/_trash/y", "a//b", "@eaDir", "private/x", "a\0b", "x" * 800],
)
def test_folders_that_the_indexer_would_not_look_into(given: str) -> None:
    with pytest.raises(InvalidInput):
        checked_folder(given, IS_EXCLUDED)


def test_numbers() -> None:
    assert list(islice(numbered("beach", "a.b.jpg"), 3)) == ["beach/a.b.jpg", "beach/a.b-2.jpg", "beach/a.b-3.jpg"]
    assert next(numbered("", "a.jpg")) == "a.jpg"
