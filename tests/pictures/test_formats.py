"""Files are recognised by their first bytes, and those of other formats are refused by name."""

import pytest
from PIL import Image

from app.errors import InvalidImage, UnsupportedImageType
from app.pictures.decoding import decode_image
from app.pictures.formats import PICTURE_SUFFIXES, is_picture_name, kind_of_name, recognise
from app.settings import ImageSettings
from tests.support.picture_files import HEIC, dng
from tests.support.pictures import assert_alike, encoded, quarters


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WebP", "AVIF", "JPEG 2000"])
def test_a_file_is_recognised_by_its_first_bytes(kind: str) -> None:
    found = recognise(encoded(quarters(), {"JPEG 2000": "JPEG2000"}.get(kind, kind)))
    assert found.name == kind
    assert set(found.suffixes) <= set(PICTURE_SUFFIXES)


@pytest.mark.parametrize("data", [b"", b"hello", b"<html></html>", b"PK\x03\x04zip", bytes(100), b"\xff\xd8"])
def test_what_is_no_picture_is_invalid(data: bytes) -> None:
    with pytest.raises(InvalidImage, match=r"no picture.*PNG, JPEG"):
        decode_image(data, ImageSettings())


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("PDF", b"%PDF-1.7\n"),
        ("video", b"\0\0\0\x18ftypisom\0\0\0\0"),
        ("SVG", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
        ("SVG", b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- drawing -->\n<svg/>"),
        ("Photoshop", b"8BPS\0\x01"),
        ("PostScript", b"%!PS-Adobe-3.0"),
        ("icon", encoded(Image.new("RGB", (16, 16)), "ICO")),
    ],
)
def test_known_kinds_that_are_not_supported_are_named(kind: str, data: bytes) -> None:
    with pytest.raises(UnsupportedImageType, match=f"kind {kind}, which isn't supported. Send PNG"):
        decode_image(data, ImageSettings())


def test_heic_is_read() -> None:
    assert_alike(decode_image(HEIC, ImageSettings()).image, quarters(64, 48), within=12)


@pytest.mark.parametrize("kind", ["AVIF", "JPEG2000"])
def test_newer_formats_of_pillow_are_read(kind: str) -> None:
    assert_alike(decode_image(encoded(quarters(64, 48), kind), ImageSettings()).image, quarters(64, 48), within=12)


def test_jpeg_xl_is_read() -> None:
    import pillow_jxl  # noqa: F401 - registers the encoder

    assert_alike(decode_image(encoded(quarters(64, 48), "JXL"), ImageSettings()).image, quarters(64, 48), within=12)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_preview_of_a_raw_file_is_read_upright(orientation: int) -> None:
    undo = {3: "ROTATE_180", 6: "ROTATE_90", 8: "ROTATE_270"}
    stored = quarters(320, 240).transpose(Image.Transpose[undo[orientation]]) if orientation > 1 else quarters(320, 240)
    file = dng(encoded(stored, "JPEG"), stored.size, orientation)
    assert recognise(file).name == "camera raw"
    assert_alike(decode_image(file, ImageSettings()).image, quarters(320, 240), within=12)


def test_a_raw_file_without_a_preview_is_refused() -> None:
    with pytest.raises(InvalidImage, match="raw"):
        decode_image(dng(b"", (0, 0)), ImageSettings())


def test_an_ordinary_tiff_with_the_name_of_a_camera_is_no_raw_file() -> None:
    assert recognise(encoded(quarters(), "TIFF", tiffinfo={271: "Acme"})).name == "TIFF"


def test_a_decoder_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.pictures.formats.find_spec", lambda name: None)
    with pytest.raises(UnsupportedImageType, match=r"camera raw.*pip install 'image2search\[raw\]'"):
        decode_image(dng(encoded(quarters(), "JPEG"), (40, 30)), ImageSettings())


@pytest.mark.parametrize(
    "name",
    [
        *("a.jpg", "a.JPEG", "b.jfif", "c.jpe", "h.HEIC", "g.avif", "x.dng", "x.jxl", "x.jp2"),
        *("f.jpg?width=800", "e.jpg_large", "i.jpg ", "a.png~", "a.jpg (1)", "a.jpeg!d"),
    ],
)
def test_names_of_pictures(name: str) -> None:
    assert is_picture_name(name)
    assert is_picture_name(f"folder.x/{name}")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *(("a.mp4", "video"), ("b.MOV", "video"), ("b.flv", "video"), ("c.pdf", "PDF"), ("d.svg", "SVG")),
        *(("a.mp3", "audio"), ("a.json", "text"), ("a.py", "text"), ("a.psd", "Photoshop"), ("a.zip", "archive")),
        *(("a.docx", ".docx"), ("2024.jpg/clip.mp4", "video")),
        *(("README", None), ("uploads/3f9c2a", None), ("a.jpg/b", None), ("a.weird", None), ("3.14", None)),
    ],
)
def test_kinds_of_other_files_by_their_names(name: str, kind: str | None) -> None:
    assert not is_picture_name(name)
    assert kind_of_name(name) == kind
