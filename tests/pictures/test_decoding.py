"""Decoding: what is accepted, how it is turned into upright RGB, and that hostile bytes end in `InvalidInput`."""

import contextlib
import io
import struct
import threading
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from app.errors import ImageTooLarge, InvalidImage, InvalidInput
from app.pictures.decoding import decode_image
from app.settings import ImageSettings
from tests.support.pictures import assert_alike, encoded, quarters, smooth

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP")


def decode(data: bytes, *, max_bytes: int = 10_000_000, max_pixels: int = 1_000_000) -> Image.Image:
    return decode_image(data, ImageSettings(max_bytes=max_bytes, max_pixels=max_pixels)).image


@pytest.mark.parametrize("kind", FORMATS)
def test_every_supported_format_decodes(kind: str) -> None:
    assert_alike(decode(encoded(quarters(), kind)), quarters(), within=12)


def test_webp_without_loss_and_compressed_tiff_are_exact() -> None:
    assert_alike(decode(encoded(quarters(), "WEBP", lossless=True)), quarters())
    assert_alike(decode(encoded(quarters(), "TIFF", compression="tiff_lzw")), quarters())
    assert_alike(decode(encoded(quarters(), "TIFF", compression="tiff_deflate", big_tiff=True)), quarters())


def in_mode(mode: str) -> Image.Image:
    if mode == "LAB":
        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        return ImageCms.profileToProfile(quarters(), *profiles, outputMode="LAB")
    if mode == "I;16":
        return Image.fromarray(np.asarray(quarters(mode="L")).astype(np.uint16) * 257)
    return quarters(mode=mode)


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "YCbCr", "LAB", "RGBA", "LA", "RGBX", "I;16", "I", "F"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    is_grey = mode in ("L", "LA", "I;16", "I", "F")
    result = decode(encoded(in_mode(mode), "PNG" if mode == "P" else "TIFF"))
    assert_alike(result, quarters(mode="L") if is_grey else quarters(), within=8 if mode == "LAB" else 2)


def test_one_bit_pictures_are_black_and_white() -> None:
    result = decode(encoded(quarters(mode="1")))
    assert set(np.unique(np.asarray(result))) == {0, 255}
    assert_alike(result, quarters(mode="1"))


def test_cmyk_jpeg_is_not_inverted() -> None:
    assert_alike(decode(encoded(quarters(mode="CMYK"), "JPEG", quality=95)), quarters(), within=12)


def test_alpha_is_flattened_on_white() -> None:
    image = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    image.paste((255, 0, 0, 128), (0, 0, 2, 4))
    for kind in ("PNG", "TIFF", "WEBP"):
        options = {"lossless": True} if kind == "WEBP" else {}
        result = decode(encoded(image, kind, **options))
        assert result.getpixel((3, 0)) == (255, 255, 255)
        assert result.getpixel((0, 0)) == (255, 127, 127)
    grey = decode(encoded(Image.new("LA", (2, 2), (0, 0))))
    assert grey.getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize(("mode", "pixel"), [("LA", (64, 128)), ("RGBA", (64, 64, 64, 128))])
def test_premultiplied_alpha_in_tiff_is_flattened_on_white(mode: str, pixel: tuple[int, ...]) -> None:
    straight, premultiplied = (struct.pack("<HHIH", 338, 3, 1, kind) for kind in (2, 1))
    data = encoded(Image.new(mode, (2, 2), pixel), "TIFF")
    assert data.count(straight) == 1
    grey = decode(data.replace(straight, premultiplied)).getpixel((0, 0))
    assert isinstance(grey, tuple)
    assert np.abs(np.array(grey) - (64 + 127)).max() <= 1


def test_transparent_palette_entries_become_white() -> None:
    image = Image.new("P", (4, 1))
    image.putpalette([0, 0, 0, 200, 10, 10])
    image.putdata([0, 0, 1, 1])
    for transparency in (0, b"\x00\xff"):
        result = decode(encoded(image, "PNG", transparency=transparency))
        assert [result.getpixel((x, 0)) for x in (0, 3)] == [(255, 255, 255), (200, 10, 10)]
    assert decode(encoded(image, "GIF", transparency=0)).getpixel((0, 0)) == (255, 255, 255)


def test_a_colour_key_is_transparent_in_png_without_alpha() -> None:
    assert decode(encoded(Image.new("RGB", (2, 2), (1, 2, 3)), transparency=(1, 2, 3))).getpixel((0, 0)) == (255,) * 3
    assert decode(encoded(Image.new("L", (2, 2), 7), transparency=7)).getpixel((0, 0)) == (255,) * 3


def test_sixteen_bit_grey_is_scaled_not_clipped() -> None:
    ramp = np.array([[0, 257, 128 * 257, 65535]], np.uint16)
    result = decode(encoded(Image.fromarray(ramp)))
    assert np.asarray(result)[0, :, 0].tolist() == [0, 1, 128, 255]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),
        ([0.0, 100.0, 255.0], [0, 100, 255]),
        ([0.0, 32768.0, 65535.0], [0, 128, 255]),
        ([0.0, 5e5, 1e6], [0, 128, 255]),
        ([-1.0, 0.0, 1.0], [0, 128, 255]),
        ([float("nan"), float("inf"), 1.0], [0, 0, 255]),
    ],
)
def test_float_pictures_are_scaled_by_their_range(values: list[float], expected: list[int]) -> None:
    image = Image.fromarray(np.array([values], np.float32))
    assert np.asarray(decode(encoded(image, "TIFF")))[0, :, 0].tolist() == expected


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(kind: str, orientation: int) -> None:
    upright = quarters()
    undo = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE"}
    undo |= {6: "ROTATE_90", 7: "TRANSVERSE", 8: "ROTATE_270"}
    stored = upright.transpose(Image.Transpose[undo[orientation]]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert_alike(decode(encoded(stored, kind, exif=exif)), upright, within=12)


XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_orientation_in_xmp_is_ignored_as_browsers_ignore_it(kind: str) -> None:
    options: dict[str, object] = {"xmp": XMP}
    if kind == "PNG":
        text = PngInfo()
        text.add_itxt("XML:com.adobe.xmp", XMP.decode())
        options = {"pnginfo": text}
    elif kind == "TIFF":
        options = {"tiffinfo": {700: XMP}}
    assert_alike(decode(encoded(quarters(), kind, **options)), quarters(), within=12)


@pytest.mark.parametrize(
    "block",
    [
        b"Exif\0\0",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x01\x12\0\x03" * 9,
        b"Exif\0\0" + b"garbage" * 20,
    ],
)
def test_a_broken_exif_block_does_not_cost_the_picture(block: bytes) -> None:
    for kind in ("JPEG", "PNG", "WEBP"):
        assert_alike(decode(encoded(quarters(), kind, exif=block)), quarters(), within=12)


def test_an_orientation_once_applied_is_not_carried_on() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    result = decode(encoded(quarters(), "JPEG", exif=exif))
    again = decode(encoded(result, "PNG"))
    assert again.size == result.size == (30, 40)
    assert "exif" not in result.info


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_of_an_animation_is_taken(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "lime")]
    result = decode(encoded(frames[0], kind, save_all=True, append_images=frames[1:]))
    assert_alike(result, frames[0], within=3)


def test_too_many_bytes_are_refused_before_anything_is_read() -> None:
    with pytest.raises(ImageTooLarge, match="11 bytes; at most 10"):
        decode(b"no picture!", max_bytes=10)


@pytest.mark.parametrize("kind", FORMATS)
def test_too_many_pixels_are_refused(kind: str) -> None:
    data = encoded(quarters(40, 30), kind)
    assert decode(data, max_pixels=1200).size == (40, 30)
    with pytest.raises(ImageTooLarge, match="40 x 30 pixels; at most 1,199"):
        decode(data, max_pixels=1199)


def png_of(width: int, height: int, pixels: bytes = b"") -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


def test_the_pixel_limit_is_read_from_the_header_alone() -> None:
    with pytest.raises(ImageTooLarge, match="60000 x 60000"):
        decode(png_of(60_000, 60_000))


def test_our_limit_counts_and_not_pillows() -> None:
    assert Image.MAX_IMAGE_PIXELS is not None
    side = int(Image.MAX_IMAGE_PIXELS**0.5) + 1
    flat = Image.new("1", (2 * side, side))
    picture = decode_image(encoded(flat), ImageSettings(max_pixels=10**9), lambda size: (20, 20))
    assert (picture.width, picture.height) == flat.size


@pytest.mark.parametrize("kind", ["WEBP", "GIF"])
def test_a_bomb_that_only_pillow_notices_is_too_large(kind: str) -> None:
    if kind == "WEBP":  # VP8X header of 16384 x 16384, above twice Pillow's own limit
        body = b"WEBPVP8X" + struct.pack("<I", 10) + b"\0\0\0\0" + b"\xff\x3f\0" * 2
        data = b"RIFF" + struct.pack("<I", len(body)) + body
    else:  # 1 x 1 screen, whose one frame claims 65535 x 65535
        data = b"GIF89a\x01\0\x01\0\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\x02\x02D\x01\0;"
    with pytest.raises(ImageTooLarge):
        decode(data, max_pixels=10**12)


def test_zero_sized_pictures_are_invalid() -> None:
    with pytest.raises(InvalidImage, match="PNG"):
        decode(png_of(0, 5))
    with pytest.raises(InvalidImage, match="GIF"):
        decode(b"GIF89a\0\0\0\0\0\0\0,\0\0\0\0\0\0\0\0\0\x02\x02D\x01\0;")


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_truncated_file_is_invalid(kind: str, share: float) -> None:
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8))
    data = encoded(noise, kind)
    with pytest.raises(InvalidImage, match="damaged or cut short"):
        decode(data[: int(len(data) * share)])


def odd_tiff() -> bytes:
    """A readable TIFF with a tag whose data runs beyond the end, over which Pillow warns."""
    data = bytearray(encoded(quarters(), "TIFF", tiffinfo={65000: "x" * 40}))
    position = data.index(struct.pack("<HH", 65000, 2))
    data[position + 8 : position + 12] = struct.pack("<I", len(data) - 10)
    return bytes(data)


def test_pillows_warnings_neither_leak_nor_fail_the_picture() -> None:
    with pytest.warns(UserWarning):  # noqa: PT030 - that this file makes Pillow warn is what the test stands on
        Image.open(io.BytesIO(odd_tiff())).load()
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        decode(odd_tiff())
    assert seen == []


def test_warnings_of_others_pass_while_pictures_are_read_and_the_filters_are_left_as_they_were() -> None:
    before = list(warnings.filters)
    data, stop, all_read = odd_tiff(), threading.Event(), threading.Barrier(5)

    def read() -> None:
        assert_alike(decode(data), quarters())
        all_read.wait(10)
        while not stop.is_set():
            assert_alike(decode(data), quarters())

    with ThreadPoolExecutor(4) as threads:
        readers = [threads.submit(read) for _ in range(4)]
        try:
            all_read.wait(10)
            for _ in range(200):
                with pytest.raises(UserWarning, match="mine"):
                    warnings.warn("mine", UserWarning, stacklevel=1)
        finally:
            stop.set()
        for reader in readers:
            reader.result()
    assert list(warnings.filters) == before


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from([encoded(quarters(12, 9), kind)[:12] for kind in FORMATS] + [b""]), st.binary(max_size=400))
def test_random_bytes_raise_nothing_but_invalid_input(head: bytes, tail: bytes) -> None:
    with contextlib.suppress(InvalidInput):
        assert decode(head + tail).mode == "RGB"


SEEDS = [encoded(quarters(12, 9), kind) for kind in FORMATS] + [
    encoded(quarters(12, 9, "P"), "GIF"),
    encoded(quarters(12, 9, "RGBA"), "WEBP"),
    encoded(quarters(12, 9), "TIFF", compression="tiff_lzw"),
    encoded(quarters(12, 9), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"),
]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=6),
    st.floats(0.1, 1),
)
def test_damaged_files_raise_nothing_but_invalid_input(
    data: bytes, flips: list[tuple[float, int]], share: float
) -> None:
    damaged = bytearray(data)
    for where, value in flips:
        damaged[int(where * len(damaged))] = value
    with contextlib.suppress(InvalidInput):
        assert decode(bytes(damaged[: int(len(damaged) * share)])).mode == "RGB"


@pytest.mark.parametrize(
    ("needed", "decoded"),
    [((400, 300), (400, 300)), ((266, 200), (400, 300)), ((130, 90), (200, 150)), ((20, 20), (100, 75))],
)
def test_a_jpeg_is_decoded_as_small_as_it_is_needed_with_some_to_spare(
    needed: tuple[int, int], decoded: tuple[int, int]
) -> None:
    scene = smooth(800, 600)
    read = decode_image(encoded(scene, "JPEG", quality=95), ImageSettings(), lambda size: needed)
    assert (read.width, read.height) == (800, 600)
    assert read.image.size == ((800, 600) if needed == (400, 300) else decoded)
    assert_alike(read.image, scene.resize(read.image.size, Image.Resampling.BOX), within=3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_reduced_jpeg_is_upright_and_so_is_what_is_said_of_its_size(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(smooth(800, 400), "JPEG", quality=95, exif=exif)
    full = decode_image(data, ImageSettings())
    asked: list[tuple[int, int]] = []
    reduced = decode_image(data, ImageSettings(), lambda size: asked.append(size) or (size[0] // 4, size[1] // 4))  # type: ignore[func-returns-value]
    lying = orientation >= 5
    assert asked == [(400, 800) if lying else (800, 400)] == [(full.width, full.height)]
    assert (reduced.width, reduced.height) == (full.width, full.height) == full.image.size
    assert reduced.image.size == ((200, 400) if lying else (400, 200))
    assert_alike(reduced.image, full.image.resize(reduced.image.size, Image.Resampling.BOX), within=3)


def test_other_formats_and_pictures_needed_in_full_are_not_reduced() -> None:
    scene = smooth(800, 600)
    assert decode_image(encoded(scene), ImageSettings(), lambda size: (20, 20)).image.size == (800, 600)
    assert decode_image(encoded(scene, "JPEG"), ImageSettings(), lambda size: None).image.size == (800, 600)
    assert decode_image(encoded(scene, "JPEG"), ImageSettings()).image.size == (800, 600)
    small = encoded(smooth(500, 375), "JPEG")
    assert decode_image(small, ImageSettings(), lambda size: (20, 20)).image.size == (500, 375)


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpegs_of_every_kind_are_reduced(mode: str, progressive: bool) -> None:
    scene = smooth(640, 480).convert(mode)
    data = encoded(scene, "JPEG", quality=95, progressive=progressive)
    reduced = decode_image(data, ImageSettings(), lambda size: (100, 75)).image
    assert reduced.size == (160, 120)
    assert_alike(reduced, decode_image(data, ImageSettings()).image.resize((160, 120), Image.Resampling.BOX), within=3)
