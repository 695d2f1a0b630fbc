"""Folders and addresses, written as people write them."""

from pathlib import Path

import pytest

from app.errors import InvalidSettings
from app.storage.urls import folder_of_url, scheme_of, url_of_folder


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    monkeypatch.setenv("SHOTS", "2024 100%")


@pytest.mark.parametrize(
    ("written", "folder"),
    [
        ("data", "data"),
        ("./data/", "data"),
        ("../up", "../up"),
        ("/srv/my pictures", "/srv/my pictures"),
        ("/srv/100%25", "/srv/100%25"),
        ("~", "/home/ann"),
        ("~/Pictures", "/home/ann/Pictures"),
        ("$HOME/Pictures", "/home/ann/Pictures"),
        ("${HOME}/$SHOTS", "/home/ann/2024 100%"),
        ("/srv/$UNSET", "/srv/$UNSET"),
        ("~nobody-of-this-name/x", "~nobody-of-this-name/x"),
        ("c:/pictures", "c:/pictures"),
        ("file://data", "data"),
        ("file:///srv/my%20pictures", "/srv/my pictures"),
        ("file:///srv/100%25", "/srv/100%"),
        ("file:///srv/100%", "/srv/100%"),
        ("file:///srv/caf%C3%A9", "/srv/café"),
        ("file:///srv/a#b?c", "/srv/a#b?c"),
        ("file:/srv/pictures", "/srv/pictures"),
        ("FILE:///srv/pictures", "/srv/pictures"),
        ("file://~/My%20Pictures", "/home/ann/My Pictures"),
        ("file://$HOME/Pictures", "/home/ann/Pictures"),
    ],
)
def test_a_folder_as_people_write_it(written: str, folder: str) -> None:
    assert scheme_of(written) == "file"
    assert folder_of_url(written) == Path(folder)


@pytest.mark.parametrize(
    "written", ["", "file://", "file:", "s3://bucket", "ftp://host/x", "/srv/a%00b\0", "file:///a%00b"]
)
def test_what_names_no_folder_is_refused(written: str) -> None:
    with pytest.raises(InvalidSettings, match=r"INDEX_URL=.* names no folder\. Use a path such as ~/Pictures"):
        folder_of_url(written, "INDEX_URL")


def test_a_variable_that_holds_another_address_is_no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUCKET", "s3://bucket")
    with pytest.raises(InvalidSettings):
        folder_of_url("$BUCKET")


@pytest.mark.parametrize("written", ["s3://bucket/prefix", "S3://bucket", "ftp://host", "s3:bucket"])
def test_other_addresses_are_no_folders(written: str) -> None:
    assert scheme_of(written) in ("s3", "ftp")


@pytest.mark.parametrize("folder", ["/srv/100%25", "/srv/$HOME/~x", "/srv/a b#c?d", "/srv/é\udcff"])
def test_the_address_of_a_folder_leads_back_to_it(folder: str) -> None:
    assert folder_of_url(url_of_folder(Path(folder))) == Path(folder)
