"""Pictures look as in a browser: colours in sRGB, deep samples by their range, light things not on white."""

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageDraw

from app.pictures import colours
from app.pictures.decoding import Picture, decode_image
from app.pictures.resized import resized_copy
from app.settings import ImageSettings
from tests.support.picture_files import png, tiff
from tests.support.pictures import assert_alike, encoded, quarters, smooth
from tests.support.profiles import WIDE_GAMUT, ink_profile, rgb_profile

LIMITS = ImageSettings()


def read(data: bytes) -> Picture:
    return decode_image(data, LIMITS)


def middle(data: bytes) -> tuple[int, ...]:
    image = read(data).image
    pixel = image.getpixel((image.width // 2, image.height // 2))
    assert isinstance(pixel, tuple)
    return pixel


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP", "AVIF"])
def test_a_wide_gamut_is_converted(kind: str) -> None:
    options = {"PNG": {}, "TIFF": {}, "WEBP": {"lossless": True}}.get(kind, {"quality": 100, "subsampling": "4:4:4"})
    plain = Image.new("RGB", (32, 32), (200, 100, 60))
    assert middle(encoded(plain, kind, **options)) == pytest.approx((200, 100, 60), abs=3)
    wide = encoded(plain, kind, icc_profile=rgb_profile(WIDE_GAMUT), **options)
    assert middle(wide) == pytest.approx((227, 100, 55), abs=4)  # by the matrices of IEC 61966-2-1 and Adobe RGB


def test_inks_are_converted_by_their_profile() -> None:
    cyan = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    assert middle(encoded(cyan, "TIFF")) == (0, 255, 255)
    pink = middle(encoded(cyan, "TIFF", icc_profile=ink_profile((60, 60, 0))))
    assert pink == pytest.approx((235, 92, 148), abs=3)  # CIELAB under D50, adapted by Bradford


def test_the_thumbnail_and_a_reduced_jpeg_are_converted_as_well() -> None:
    scene = Image.new("RGB", (1600, 1200), (200, 100, 60))
    file = encoded(scene, "JPEG", quality=95, icc_profile=rgb_profile(WIDE_GAMUT))
    full = middle(file)
    small = Image.open(io.BytesIO(resized_copy(file, LIMITS, max_side=64, source_etag="e"))).convert("RGB")
    assert small.getpixel((32, 24)) == pytest.approx(full, abs=4)
    assert "icc_profile" not in read(file).image.info


def test_an_srgb_profile_changes_nothing() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert_alike(read(encoded(smooth(60, 40), icc_profile=srgb)).image, smooth(60, 40))


@pytest.mark.parametrize("profile", [b"rubbish", b"x" * 200, rgb_profile(WIDE_GAMUT)[:300]])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_damaged_or_foreign_profile_does_not_cost_the_picture(profile: bytes, mode: str) -> None:
    assert_alike(read(encoded(quarters(mode=mode), icc_profile=profile)).image, quarters(mode=mode))


def test_a_grey_picture_with_the_profile_of_a_colour_picture_is_read_as_it_is() -> None:
    file = encoded(quarters(mode="L"), icc_profile=rgb_profile(WIDE_GAMUT))
    assert_alike(read(file).image, quarters(mode="L"))


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_grey_samples_are_read_by_the_bits_that_they_use(kind: str, bits: int) -> None:
    values = np.array([[0, (1 << bits) // 2, (1 << bits) - 1]], "<u2")
    assert np.asarray(read(deep(kind, values[:, :, None])).image)[0, :, 0].tolist() == pytest.approx(
        [0, 128, 255], abs=1
    )


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_colour_samples_are_read_by_the_bits_that_they_use(kind: str, bits: int) -> None:
    white, grey = (1 << bits) - 1, (1 << bits) // 2
    values = np.array([[[white, 0, 0], [0, grey, 0], [white, white, white]]], "<u2")
    found = np.asarray(read(deep(kind, values)).image, int)
    assert np.abs(found - [[[255, 0, 0], [0, 128, 0], [255, 255, 255]]]).max() <= 2


def deep(kind: str, values: NDArray[np.uint16]) -> bytes:
    """A file of 16 bits a sample; `values` is (H, W, 1 or 3)."""
    height, width, samples = values.shape
    if kind == "tiff":
        return tiff((width, height), 16, samples, values.astype("<u2").tobytes())
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    return png((width, height), 16, 0 if samples == 1 else 2, rows)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_white_on_transparency_is_seen(mode: str) -> None:
    logo = Image.new("RGBA", (300, 300), (255, 255, 255, 0))
    ImageDraw.Draw(logo).ellipse((50, 50, 250, 250), "white")
    image = np.asarray(read(encoded(logo.convert(mode))).image)
    assert image[150, 150].tolist() == [255, 255, 255]
    assert image[5, 5].tolist() == [0, 0, 0]


@pytest.mark.parametrize("colour", ["black", "red", (200, 200, 200), (255, 255, 0)])
def test_what_can_be_seen_on_white_stays_on_white(colour: str | tuple[int, int, int]) -> None:
    logo = Image.new("RGBA", (300, 300), (255, 255, 255, 0))
    ImageDraw.Draw(logo).ellipse((50, 50, 250, 250), colour)
    assert read(encoded(logo)).image.getpixel((5, 5)) == (255, 255, 255)


@pytest.mark.parametrize("alpha", [0, 255])
def test_nothing_or_everything_transparent_is_white(alpha: int) -> None:
    assert read(encoded(Image.new("RGBA", (30, 30), (255, 255, 255, alpha)))).image.getpixel((5, 5)) == (255, 255, 255)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "I;16", "CMYK", "P"])
def test_large_pictures_are_converted_in_strips_without_a_seam(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    scene = smooth(90, 70)
    if mode == "I;16":
        image = Image.fromarray(np.asarray(scene.convert("L")).astype(np.uint16) * 257)
    else:
        image = scene.convert(mode)
    whole, reduced = colours.to_srgb(image), colours.to_srgb(image, 3)
    monkeypatch.setattr(colours, "STRIP_PIXELS", 900)
    assert_alike(colours.to_srgb(image), whole)
    assert reduced.size == (30, 24)
    assert_alike(colours.to_srgb(image, 3), reduced)
    assert_alike(reduced, whole.reduce(3), within=3)
