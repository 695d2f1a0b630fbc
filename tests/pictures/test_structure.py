"""The parts of files: counted, and left out where a picture needs none of them."""

import pytest
from PIL import Image

from app.errors import InvalidImage
from app.pictures.decoding import decode_image
from app.pictures.structure import MAX_CHUNKS, MAX_SCANS, MAX_SEGMENTS, plain_jpeg, plain_png
from app.settings import ImageSettings
from tests.support.picture_files import chunk, jpeg_with_scans, with_chunk
from tests.support.pictures import assert_alike, encoded, quarters, smooth

LIMITS = ImageSettings()


def test_ordinary_files_are_left_as_they_are() -> None:
    for file in (encoded(quarters(), "JPEG"), encoded(smooth(300, 200), "JPEG", progressive=True)):
        assert plain_jpeg(file) is file
    assert plain_png(encoded(quarters())) == encoded(quarters())


def test_a_jpeg_has_a_limited_number_of_scans() -> None:
    few = len(jpeg_with_scans(0).split(b"\xff\xda")) - 1
    assert decode_image(jpeg_with_scans(MAX_SCANS - few), LIMITS).width == 64
    with pytest.raises(InvalidImage, match=rf"{MAX_SCANS + 1} scans; at most {MAX_SCANS}"):
        decode_image(jpeg_with_scans(MAX_SCANS - few + 1), LIMITS)


def test_scans_of_a_sequential_jpeg_are_counted_where_one_scan_does_not_have_all_components() -> None:
    file = encoded(quarters(mode="L"), "JPEG")
    start = file.index(b"\xff\xc0")
    frame = file[start : start + 13]
    two_components = frame[:2] + b"\0\x0e" + frame[4:9] + b"\2" + b"\1\x11\0\2\x11\0"
    scans = file[file.rfind(b"\xff\xda") : -2] * 500
    with pytest.raises(InvalidImage, match="501 scans"):
        decode_image(file.replace(frame, two_components)[:-2] + scans + b"\xff\xd9", LIMITS)


def test_what_follows_a_jpeg_is_no_scan() -> None:
    film = encoded(quarters(), "JPEG") + b"\xff\xda" * 1000
    assert_alike(decode_image(film, LIMITS).image, quarters(), within=12)


def test_a_jpeg_has_a_limited_number_of_segments() -> None:
    file = encoded(quarters(), "JPEG")
    with pytest.raises(InvalidImage, match=f"more than {MAX_SEGMENTS:,} segments"):
        decode_image(file[:2] + b"\xff\xe1\0\2" * MAX_SEGMENTS + file[2:], LIMITS)


def test_fill_bytes_of_a_jpeg_cost_nothing() -> None:
    file = encoded(quarters(), "JPEG")
    assert plain_jpeg(file[:2] + b"\xff" * 5_000_000 + file[2:]) == file
    assert_alike(decode_image(file[:2] + b"\xff" * 100 + file[2:], LIMITS).image, quarters(), within=12)


def test_a_png_has_a_limited_number_of_chunks() -> None:
    with pytest.raises(InvalidImage, match=f"more than {MAX_CHUNKS:,} chunks"):
        decode_image(with_chunk(encoded(quarters()), chunk(b"abCd", b"") * MAX_CHUNKS), LIMITS)


@pytest.mark.parametrize(
    "extra",
    [
        chunk(b"tEXt", b"Comment\0hello", wrong_by=1),
        chunk(b"pHYs", b"short"),
        chunk(b"tRNS", b"\0\1\0\2\0\3", wrong_by=1),
        chunk(b"iCCP", b"icc\0\0no zlib"),
        chunk(b"iCCP", b"icc"),
        chunk(b"abCd", b"") * 1000,
    ],
)
def test_side_chunks_of_a_png_do_not_cost_the_picture(extra: bytes) -> None:
    picture = decode_image(with_chunk(encoded(quarters()), extra), LIMITS)
    assert_alike(picture.image, quarters())
    assert picture.flaw is None


def test_long_texts_and_profiles_of_a_png_do_not_cost_the_picture() -> None:
    import zlib

    text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"workflow " * 240_000))
    profile = chunk(b"iCCP", b"icc\0\0" + zlib.compress(bytes(2 << 20)))
    for extra in (text, profile):
        assert_alike(decode_image(with_chunk(encoded(quarters()), extra), LIMITS).image, quarters())


def test_what_says_how_a_png_looks_stays() -> None:
    key = encoded(Image.new("RGB", (4, 4), (1, 2, 3)), transparency=(1, 2, 3))
    assert b"tRNS" in plain_png(with_chunk(key, chunk(b"tEXt", b"a\0b")))
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decode_image(with_chunk(encoded(quarters(), exif=exif), chunk(b"tEXt", b"a\0b")), LIMITS).width == 30
