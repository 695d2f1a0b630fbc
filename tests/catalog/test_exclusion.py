"""Which keys are never indexed: our own folders, those of the default, and globs of every kind."""

import pytest

from app.catalog.exclusion import exclusion
from app.catalog.layout import is_picture_key
from app.settings import StorageSettings

DEFAULT = StorageSettings().exclude


@pytest.mark.parametrize(
    "key",
    [
        "_thumbnails/a.webp",
        "demo/_thumbnails/a.webp",
        "a/b/_index/00000001-0/x.jpg",
        "a/_generated/1.png",
        "2022/@eaDir/x.jpg/SYNOFILE_THUMB_M.jpg",
        "#recycle/deleted.jpg",
        "a/$RECYCLE.BIN/b.jpg",
        "a/$Recycle.Bin/b.jpg",
        "disk2/lost+found/1.jpg",
        "a/.Trash-1000/files/b.jpg",
        "a/.thumbnails/b.jpg",
    ],
)
def test_what_others_made_is_excluded_at_any_depth(key: str) -> None:
    is_excluded = exclusion(DEFAULT)
    assert is_excluded(key)
    folder = key.rpartition("/")[0] + "/"
    assert is_excluded(folder)


@pytest.mark.parametrize("key", ["a.jpg", "my_thumbnails/a.jpg", "_indexed/a.jpg", "a/eaDir/b.jpg", "a/recycle/b.jpg"])
def test_a_name_like_these_is_not_excluded(key: str) -> None:
    assert not exclusion(DEFAULT)(key)
    assert is_picture_key(key)


@pytest.mark.parametrize(
    ("globs", "excluded", "left"),
    [
        (",", [], ["@eaDir/a.jpg"]),
        ("raw", ["raw/a.jpg", "x/raw/y/a.jpg", "x/RAW/a.jpg"], ["raws/a.jpg", "x/raw.jpg"]),
        ("*_edited.*", ["a_edited.jpg", "x/b_edited.png"], ["a.jpg", "_edited/a.jpg"]),
        ("2022/*/proofs", ["2022/may/proofs/a.jpg"], ["2022/proofs/a.jpg", "x/2022/may/proofs/a.jpg"]),
        (" a , b/ ", ["a/1.jpg", "x/b/1.jpg"], ["c/1.jpg"]),
        ("shop/ma[in]n/a.jpg", ["shop/main/a.jpg"], ["shop/main/b.jpg"]),
        ("(x", ["(x/a.jpg"], ["x/a.jpg"]),
    ],
)
def test_globs(globs: str, excluded: list[str], left: list[str]) -> None:
    is_excluded = exclusion(globs)
    assert [key for key in excluded + left if is_excluded(key)] == excluded


def test_our_own_files_are_excluded_whatever_is_set() -> None:
    assert exclusion(",")("a/_thumbnails/b.webp")
    assert not is_picture_key("a/_thumbnails/b.webp")
