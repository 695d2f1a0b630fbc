"""Files are recognised by their first bytes, and those of other formats are refused by name."""

import pytest
from PIL import Image

from app.errors import InvalidImage, UnsupportedImageType
from app.pictures.decoding import decode_image
from app.pictures.formats import FORMATS, PICTURE_SUFFIXES, recognise
from app.settings import ImageSettings
from tests.support.pictures import encoded, quarters


@pytest.mark.parametrize("kind", [each.name for each in FORMATS])
def test_a_file_is_recognised_by_its_first_bytes(kind: str) -> None:
    found = recognise(encoded(quarters(), kind))
    assert found.name == kind
    assert set(found.suffixes) <= set(PICTURE_SUFFIXES)
    assert all(Image.registered_extensions()[suffix] == kind for suffix in found.suffixes)


@pytest.mark.parametrize("data", [b"", b"hello", b"<html></html>", b"PK\x03\x04zip", bytes(100), b"\xff\xd8"])
def test_what_is_no_picture_is_invalid(data: bytes) -> None:
    with pytest.raises(InvalidImage, match=r"no picture.*PNG, JPEG"):
        decode_image(data, ImageSettings())


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("PDF", b"%PDF-1.7\n"),
        ("HEIC", b"\0\0\0\x18ftypheic\0\0\0\0"),
        ("HEIC", b"\0\0\0\x18ftypmif1\0\0\0\0"),
        ("AVIF", b"\0\0\0\x18ftypavif\0\0\0\0"),
        ("video", b"\0\0\0\x18ftypisom\0\0\0\0"),
        ("SVG", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
        ("SVG", b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- drawing -->\n<svg/>"),
        ("Photoshop", b"8BPS\0\x01"),
        ("PostScript", b"%!PS-Adobe-3.0"),
        ("JPEG 2000", b"\0\0\0\x0cjP  \r\n\x87\n"),
        ("JPEG XL", b"\xff\x0a\0\0"),
        ("icon", encoded(Image.new("RGB", (16, 16)), "ICO")),
    ],
)
def test_known_kinds_that_are_not_supported_are_named(kind: str, data: bytes) -> None:
    with pytest.raises(UnsupportedImageType, match=f"kind {kind}, which isn't supported. Send PNG"):
        decode_image(data, ImageSettings())
