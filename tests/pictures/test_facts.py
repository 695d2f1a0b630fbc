"""What files say about themselves: times, cameras and places; damaged values cost nothing."""

import math
from typing import Any

import orjson
import pillow_jxl  # noqa: F401 - so that Pillow writes JPEG XL
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import IFDRational

from app.pictures.decoding import decode_image
from app.pictures.facts import Facts
from app.settings import ImageSettings
from tests.support.picture_files import dng
from tests.support.pictures import encoded, quarters

WHEN = ExifTags.Base.DateTimeOriginal
NOON = 1_588_334_400.0
"""2020-05-01 12:00:00 UTC."""

PHOTO = {
    WHEN: "2020:05:01 12:00:00",
    ExifTags.Base.OffsetTimeOriginal: "+02:00",
    ExifTags.Base.SubsecTimeOriginal: "250",
    ExifTags.Base.LensModel: "EF50mm f/1.8",
    ExifTags.Base.FocalLength: IFDRational(50, 1),
    ExifTags.Base.FNumber: IFDRational(28, 10),
    ExifTags.Base.ExposureTime: IFDRational(1, 250),
    ExifTags.Base.ISOSpeedRatings: 200,
}
SYDNEY = {
    ExifTags.GPS.GPSLatitudeRef: "S",
    ExifTags.GPS.GPSLatitude: (IFDRational(33, 1), IFDRational(51, 1), IFDRational(354, 10)),
    ExifTags.GPS.GPSLongitudeRef: "E",
    ExifTags.GPS.GPSLongitude: (IFDRational(151, 1), IFDRational(12, 1), IFDRational(36, 1)),
}


def exif(
    photo: dict[int, Any] | None = None, gps: dict[int, Any] | None = None, main: dict[int, Any] | None = None
) -> bytes:
    block = Image.Exif()
    for tag, value in (main or {}).items():
        block[tag] = value
    for directory, values in ((ExifTags.IFD.Exif, photo), (ExifTags.IFD.GPSInfo, gps)):
        if values:
            block.get_ifd(directory).update(values)
    return block.tobytes()


def read(file: bytes) -> Facts:
    return decode_image(file, ImageSettings()).facts


def facts(photo: dict[int, Any] | None = None, gps: dict[int, Any] | None = None, **main: Any) -> Facts:
    """Of a JPEG with these entries; `main` by the names of their tags."""
    tags = {int(ExifTags.Base[name]): value for name, value in main.items()}
    return read(encoded(quarters(), "JPEG", exif=exif(photo, gps, tags)))


NAMES = {"WEBP": "WebP", "JXL": "JPEG XL"}
"""Of formats, where Pillow calls them otherwise."""


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "JXL"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_every_format_that_has_exif_is_read(kind: str, orientation: int) -> None:
    main = {ExifTags.Base.Make: "Canon", ExifTags.Base.Model: "Canon EOS 5D", ExifTags.Base.Orientation: orientation}
    assert read(encoded(quarters(), kind, exif=exif(PHOTO, SYDNEY, main))) == Facts(
        taken_at=NOON - 7200 + 0.25,
        camera="Canon EOS 5D, EF50mm f/1.8, 50 mm, f/2.8, 1/250 s, ISO 200",
        location=(-33.859833, 151.21),
        format=NAMES.get(kind, kind),
    )


def test_raw_files_are_read_themselves_and_not_only_their_previews() -> None:
    assert read(dng(encoded(quarters(), "JPEG"), (40, 30))).camera == "Acme Test"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF"])
def test_files_that_say_nothing(kind: str) -> None:
    assert read(encoded(quarters(), kind)) == Facts(format=kind)


@pytest.mark.parametrize(
    ("photo", "taken_at"),
    [
        ({WHEN: "2020:05:01 12:00:00"}, NOON),
        ({WHEN: "2020-05-01T12:00:00"}, NOON),
        ({WHEN: "2020:05:01 12:00"}, NOON),
        ({WHEN: b"2020:05:01 12:00:00\0"}, NOON),
        ({WHEN: "1969:12:31 23:59:00"}, -60.0),
        ({WHEN: "2020:05:01 12:00:00", ExifTags.Base.OffsetTimeOriginal: "-03:30"}, NOON + 12600),
        ({WHEN: "2020:05:01 12:00:00", ExifTags.Base.OffsetTimeOriginal: "local"}, NOON),
        ({WHEN: "2020:05:01 12:00:00", ExifTags.Base.OffsetTimeOriginal: "+99:00"}, NOON),
        ({ExifTags.Base.DateTimeDigitized: "2020:05:01 12:00:00"}, NOON),
        ({WHEN: "    :  :     :  :  ", ExifTags.Base.DateTimeDigitized: "2020:05:01 12:00:00"}, NOON),
    ],
)
def test_times_as_cameras_write_them(photo: dict[int, Any], taken_at: float) -> None:
    assert facts(photo).taken_at == taken_at


def test_the_time_of_the_last_change_counts_where_no_other_is_given() -> None:
    assert facts(DateTime="2020:05:01 12:00:00").taken_at == NOON
    assert facts({WHEN: "2020:05:01 12:00:00"}, DateTime="2021:01:01 00:00:00").taken_at == NOON


@pytest.mark.parametrize(
    "text",
    [
        *("0000:00:00 00:00:00", "9999:12:31 23:59:59", "0001:01:01 00:00:00", "2020:13:01 12:00:00"),
        *("2020:02:30 12:00:00", "2020:05:01 25:00:00", "", " ", "yesterday", "2020:05:01", "12345", "\0\0\0\0"),
    ],
)
def test_times_that_can_not_be_are_left_out(text: str) -> None:
    assert facts({WHEN: text}).taken_at is None


@pytest.mark.parametrize(
    ("main", "photo", "camera"),
    [
        ({"Make": "NIKON CORPORATION", "Model": "NIKON D70"}, {}, "NIKON D70"),
        ({"Make": "OLYMPUS IMAGING CORP.  ", "Model": "E-M1 "}, {}, "OLYMPUS IMAGING CORP. E-M1"),
        ({"Make": "Apple"}, {}, "Apple"),
        ({"Model": "X-T4"}, {}, "X-T4"),
        ({"Make": b"Caf\xc3\xa9\0", "Model": "One\0rubbish"}, {}, "Caf\xe9 One"),
        ({"Make": "a\x1b[31m\nb"}, {}, "a [31m b"),
        ({"Make": "x" * 5000}, {}, "x" * 80),
        ({}, {ExifTags.Base.ExposureTime: IFDRational(2, 1)}, "2 s"),
        ({}, {ExifTags.Base.ExposureTime: IFDRational(4, 10)}, "0.4 s"),
        ({}, {ExifTags.Base.ISOSpeedRatings: (100, 0)}, "ISO 100"),
        ({}, {ExifTags.Base.FNumber: IFDRational(0, 0), ExifTags.Base.FocalLength: IFDRational(0, 1)}, None),
        ({}, {}, None),
    ],
)
def test_the_words_of_the_camera(main: dict[str, Any], photo: dict[int, Any], camera: str | None) -> None:
    assert facts(photo, **main).camera == camera


def place(north: tuple[Any, ...], east: tuple[Any, ...], refs: tuple[Any, Any] = ("N", "W")) -> Facts:
    angles = ([IFDRational(*part) if isinstance(part, tuple) else part for part in each] for each in (north, east))
    latitude, longitude = angles
    values = {1: refs[0], 2: tuple(latitude), 3: refs[1], 4: tuple(longitude)}
    return facts(gps={tag: value for tag, value in values.items() if value is not None})


def test_places_in_the_west_and_as_decimal_degrees() -> None:
    assert place(((4_044_555, 100_000),), ((7, 1), (30, 1))).location == (40.44555, -7.5)
    assert place(((4_044_555, 100_000),), ((7, 1), (30, 1)), ("n", "w\0")).location == (40.44555, -7.5)


@pytest.mark.parametrize(
    ("north", "east", "refs"),
    [
        (((91, 1),), ((0, 1),), ("N", "E")),
        (((1, 1),), ((181, 1),), ("N", "E")),
        (((0, 1),), ((0, 1),), ("N", "E")),
        (((1, 0),), ((1, 1),), ("N", "E")),
        (((1, 1),), ((1, 1),), (None, "E")),
        (((1, 1),), ((1, 1),), ("X", "E")),
        (((1, 1),) * 5, ((1, 1),), ("N", "E")),
    ],
)
def test_places_that_can_not_be_are_left_out(
    north: tuple[Any, ...], east: tuple[Any, ...], refs: tuple[Any, Any]
) -> None:
    assert place(north, east, refs).location is None


WHOLE = exif(PHOTO, SYDNEY, {ExifTags.Base.Make: "Canon", ExifTags.Base.Orientation: 6})


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(6, len(WHOLE) - 1), st.integers(0, 255)), max_size=12), st.integers(8, 400))
def test_damaged_exif_costs_no_picture_and_gives_nothing_that_json_refuses(
    changes: list[tuple[int, int]], length: int
) -> None:
    block = bytearray(WHOLE)
    for place_, value in changes:
        block[place_] = value
    picture = decode_image(encoded(quarters(), "JPEG", exif=bytes(block[:length])), ImageSettings())
    assert sorted((picture.width, picture.height)) == [30, 40]
    assert orjson.loads(orjson.dumps(picture.facts))
    numbers = [picture.facts.taken_at, *(picture.facts.location or ())]
    assert all(math.isfinite(number) for number in numbers if number is not None)
