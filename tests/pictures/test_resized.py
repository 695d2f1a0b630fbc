"""Small WebP copies: their size, and the etag that tells which picture they were made from."""

import io

import pytest
from PIL import Image

from app.errors import ImageTooLarge, InvalidImage
from app.pictures.resized import resized_copy, resized_file, source_etag_of
from app.settings import ImageSettings
from tests.support.pictures import assert_alike, encoded, quarters, smooth

LIMITS = ImageSettings()


def opened(copy: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(copy))
    assert image.format == "WEBP"
    return image


@pytest.mark.parametrize(
    ("size", "small"),
    [
        ((1000, 500), (256, 128)),
        ((500, 1000), (128, 256)),
        ((9, 7), (9, 7)),
        ((256, 3), (256, 3)),
        ((2000, 1), (256, 1)),
    ],
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_copy_fits_into_the_box_and_is_never_enlarged(
    kind: str, size: tuple[int, int], small: tuple[int, int]
) -> None:
    assert opened(resized_copy(encoded(smooth(*size), kind), LIMITS, max_side=256, source_etag="e")).size == small


def test_a_copy_shows_the_picture_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(smooth(600, 400).transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif, quality=95)
    image = opened(resized_copy(data, LIMITS, max_side=150, source_etag="e"))
    assert image.getexif().get(0x0112) is None
    assert_alike(image.convert("RGB"), smooth(150, 100), within=4)


def test_a_copy_names_its_source() -> None:
    etag = '"d41d8cd98f00b204e9800998ecf8427e-3"'
    assert source_etag_of(resized_copy(encoded(quarters()), LIMITS, max_side=16, source_etag=etag)) == etag


@pytest.mark.parametrize(
    "data", [b"", b"rubbish", encoded(quarters()), encoded(quarters(), "WEBP"), encoded(quarters(), "WEBP")[:30]]
)
def test_other_bytes_name_no_source(data: bytes) -> None:
    assert source_etag_of(data) is None


def test_what_cannot_be_decoded_has_no_copy() -> None:
    with pytest.raises(InvalidImage, match="no picture"):
        resized_copy(b"text", LIMITS, max_side=16, source_etag="e")
    with pytest.raises(ImageTooLarge):
        resized_copy(encoded(quarters()), ImageSettings(max_pixels=10), max_side=16, source_etag="e")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(("size", "small"), [((400, 200), (336, 168)), ((40, 30), (40, 30))])
def test_a_smaller_file_in_a_format_of_its_own(kind: str, size: tuple[int, int], small: tuple[int, int]) -> None:
    file = resized_file(encoded(smooth(*size)), LIMITS, max_side=336, kind=kind, quality=95)  # type: ignore[arg-type]
    with Image.open(io.BytesIO(file)) as image:
        assert image.format == kind
        assert_alike(
            image.convert("RGB"), smooth(*size).resize(small), within=0 if kind == "PNG" and size == small else 10
        )
