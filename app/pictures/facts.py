"""What a picture file says about itself beside its pixels: when it was taken, with what, and where.

Times, words and places come from EXIF (CIPA DC-008). Damaged or impossible values are left out: they never cost a
picture.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from PIL import ExifTags, Image

if TYPE_CHECKING:
    pass

_Raw = TypeVar("_Raw")
_Value = TypeVar("_Value")

Tags: TypeAlias = Mapping[int, Any]
"""The entries of one EXIF directory."""

Location: TypeAlias = tuple[float, float]
"""Latitude and longitude, degrees."""

YEARS: Final = range(1826, 2100)
"""The first photograph is of 1826. Other years are a camera's or a program's mistake: 0000, 9999."""

MAX_WORDS: Final = 80
"""Characters of one text; EXIF would allow 64 KiB."""


@dataclass(frozen=True, slots=True)
class Facts:
    """None for what a file does not say. The fields are those of `app.types.ImageRecord`."""

    taken_at: float | None = None
    """By the camera's clock, seconds since the epoch; read as UTC where EXIF names no time zone."""
    camera: str | None = None
    """The camera's words: `Canon EOS 5D, EF50mm f/1.8, 50 mm, f/2.8, 1/250 s, ISO 200`."""
    location: Location | None = None
    perceptual_hash: str | None = None
    format: str | None = None
    """By content, as `app.pictures.formats.Format.name`."""


NO_FACTS: Final = Facts()


def facts_of(image: Image.Image, data: bytes) -> Facts:
    """What the EXIF block of a decoded file says; `data` are the file's bytes."""
    try:
        exif = _exif_of(image, data)
        tags, gps = dict(exif) | exif.get_ifd(ExifTags.IFD.Exif), exif.get_ifd(ExifTags.IFD.GPSInfo)
    except Exception:  # noqa: BLE001 - the parser raises anything on damaged blocks, and a picture needs none
        return NO_FACTS
    return Facts(_read(_taken_at, tags), _read(_camera, tags), _read(_location, gps))


def _exif_of(image: Image.Image, data: bytes) -> Image.Exif:
    """TIFF and most raw files are EXIF blocks themselves. Pillow forgets a TIFF's when it turns the picture."""
    if not data.startswith((b"II*\0", b"MM\0*")):
        return image.getexif()
    exif = Image.Exif()
    exif.load(data)
    return exif


def _read(reader: Callable[[_Raw], _Value | None], raw: _Raw) -> _Value | None:
    """What the reader finds; None where the values are not such as EXIF prescribes."""
    try:
        return reader(raw)
    except (ArithmeticError, ValueError, TypeError, LookupError, AttributeError):
        return None


_TIME: Final = re.compile(r"(\d{4})[:/.-](\d\d?)[:/.-](\d\d?)[ T]+(\d\d?):(\d\d?)(?::(\d\d?))?")
_OFFSET: Final = re.compile(r"([+-])(\d\d):?(\d\d)")

_CLOCKS: Final = (
    (ExifTags.Base.DateTimeOriginal, ExifTags.Base.OffsetTimeOriginal, ExifTags.Base.SubsecTimeOriginal),
    (ExifTags.Base.DateTimeDigitized, ExifTags.Base.OffsetTimeDigitized, ExifTags.Base.SubsecTimeDigitized),
    (ExifTags.Base.DateTime, ExifTags.Base.OffsetTime, ExifTags.Base.SubsecTime),
)
"""Time, time zone, fraction of a second: of the photograph, else of its scan, else of the file's last change."""


def _taken_at(tags: Tags) -> float | None:
    clocks = ([_words(tags.get(tag)) for tag in clock] for clock in _CLOCKS)
    return next((time for clock in clocks if (time := _read(_time, clock)) is not None), None)


def _time(clock: Sequence[str]) -> float | None:
    at, zone, fraction = clock
    found = _TIME.match(at)
    if not found or int(found[1]) not in YEARS:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups())
    local = datetime(year, month, day, hour, minute, second, tzinfo=_zone(zone))
    digits = re.match(r"\d{1,6}", fraction)
    return local.timestamp() + (float(f"0.{digits[0]}") if digits else 0.0)


def _zone(text: str) -> timezone:
    found = _OFFSET.match(text)
    if not found or int(found[2]) > 14 or int(found[3]) > 59:
        return UTC
    offset = timedelta(hours=int(found[2]), minutes=int(found[3]))
    return timezone(-offset if found[1] == "-" else offset)


def _camera(tags: Tags) -> str | None:
    maker, model = _words(tags.get(ExifTags.Base.Make)), _words(tags.get(ExifTags.Base.Model))
    is_named = model.lower().startswith(maker.lower().split(" ")[0])
    body = model if is_named else f"{maker} {model}".strip()
    words = [body, _words(tags.get(ExifTags.Base.LensModel)), *_exposure(tags)]
    return ", ".join(filter(None, words)) or None


def _exposure(tags: Tags) -> Iterator[str]:
    """As photographers write it."""
    if length := _positive(tags.get(ExifTags.Base.FocalLength)):
        yield f"{length:.4g} mm"
    if stop := _positive(tags.get(ExifTags.Base.FNumber)):
        yield f"f/{stop:.3g}"
    if seconds := _positive(tags.get(ExifTags.Base.ExposureTime)):
        yield f"1/{1 / seconds:.0f} s" if seconds < 0.3 else f"{seconds:.3g} s"
    if speed := _positive(tags.get(ExifTags.Base.ISOSpeedRatings)):
        yield f"ISO {speed:.0f}"


def _positive(value: object) -> float | None:
    """A number that can be a measurement. Some cameras write several: the first counts."""
    first: Any = value[0] if isinstance(value, tuple) and value else value
    try:
        number = float(first)
    except (TypeError, ValueError, ArithmeticError):
        return None
    return number if 1e-6 < number < 1e7 else None


def _words(value: object) -> str:
    """A text on one line, without what can't be printed. EXIF's ASCII is often UTF-8."""
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if not isinstance(value, str):
        return ""
    text = value[: 4 * MAX_WORDS].partition("\0")[0]
    with suppress(UnicodeError):
        text = text.encode("latin-1").decode()
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())[:MAX_WORDS]


def _location(gps: Tags) -> Location | None:
    latitude = _degrees(gps, ExifTags.GPS.GPSLatitude, ExifTags.GPS.GPSLatitudeRef, "NS")
    longitude = _degrees(gps, ExifTags.GPS.GPSLongitude, ExifTags.GPS.GPSLongitudeRef, "EW")
    if abs(latitude) > 90 or abs(longitude) > 180 or (latitude == longitude == 0):  # zeros: no satellite was found
        return None
    return latitude, longitude


def _degrees(gps: Tags, angle: int, direction: int, directions: str) -> float:
    """Degrees, minutes and seconds as one number, negative in the south and west; to a tenth of a metre.

    Raises what `_read` catches.
    """
    sign = directions.index(_words(gps[direction])[0].upper())
    parts = [float(part) for part in (gps[angle] if isinstance(gps[angle], tuple) else (gps[angle],))]
    degrees = math.fsum(part / 60**place for place, part in enumerate(parts))
    if not 1 <= len(parts) <= 3 or min(parts) < 0 or not math.isfinite(degrees):
        raise ValueError("no angle")
    return round(-degrees if sign else degrees, 6)
