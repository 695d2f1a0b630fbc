"""The formats of picture files: which are accepted, and how a file is recognised by its first bytes and its name."""

import io
import mimetypes
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import Any, Final

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    ExifTags,
    GifImagePlugin,
    Image,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from app.errors import InvalidImage, UnsupportedImageType


@dataclass(frozen=True, slots=True)
class Format:
    """A format that is accepted, perhaps only after its decoder is installed."""

    name: str
    """As people call it."""
    magic: re.Pattern[bytes]
    """Matches the first bytes of a file."""
    open: Callable[[io.BytesIO], Image.Image]
    """Reads the header. Pixels are not decoded yet, unless `decodes_at_once`."""
    suffixes: tuple[str, ...]
    """The ends of file names, in lower case."""
    extra: str = ""
    """The extra of this package that installs the decoder; empty where every installation has it."""
    module: str = ""
    """The decoder that the extra installs."""
    media_type: str = ""
    """As the HTTP header Content-Type names it; empty where the files of the format have different ones."""
    decodes_at_once: bool = False
    """Whether `open` decodes the pixels too, so that their number is not known before."""

    @property
    def is_installed(self) -> bool:
        return not self.module or find_spec(self.module) is not None


def _open_heif(file: io.BytesIO) -> Image.Image:
    from pi_heif import HeifImageFile, options

    options.DECODE_THREADS = 1  # several pictures are decoded at the same time
    image: Image.Image = HeifImageFile(file)
    return image


def _open_jxl(file: io.BytesIO) -> Image.Image:
    from pillow_jxl import JpegXLImagePlugin

    image: Image.Image = JpegXLImagePlugin.JXLImageFile(file)
    return image


def _open_raw(file: io.BytesIO) -> Image.Image:
    """The preview that the camera has put into the file, as upright as the camera says."""
    import rawpy

    try:
        with rawpy.imread(file) as raw:
            preview, flip = raw.extract_thumb(), raw.sizes.flip
            pixels: Any = preview.data
    except (rawpy.LibRawNoThumbnailError, rawpy.LibRawUnsupportedThumbnailError) as error:
        raise InvalidImage("The raw file holds no preview that can be read. Export it as JPEG.") from error
    if preview.format is rawpy.ThumbFormat.BITMAP:
        image = Image.fromarray(pixels)
    else:
        image = JpegImagePlugin.JpegImageFile(io.BytesIO(pixels))
    exif = image.getexif()
    if flip in _ORIENTATIONS and ExifTags.Base.Orientation not in exif:
        exif[ExifTags.Base.Orientation] = _ORIENTATIONS[flip]
    return image


_ORIENTATIONS: Final = {3: 3, 5: 8, 6: 6}
"""EXIF's orientation for LibRaw's `flip`."""

TIFF: Final = Format(
    "TIFF",
    re.compile(rb"II[*+]\0|MM\0[*+]|MM\*\0|II\0\*"),
    TiffImagePlugin.TiffImageFile,
    (".tif", ".tiff"),
    media_type="image/tiff",
)

RAW: Final = Format(
    "camera raw",
    re.compile(rb"II\*\0....CR\x02|II(RO|RS|U\0)|MMOR|FUJIFILMCCD-RAW|....ftypcrx ", re.DOTALL),
    _open_raw,
    (*(".dng", ".cr2", ".cr3", ".nef", ".nrw", ".arw", ".sr2"), *(".raf", ".orf", ".rw2", ".pef", ".srw", ".3fr")),
    extra="raw",
    module="rawpy",
)

FORMATS: Final = (
    Format(
        "PNG", re.compile(rb"\x89PNG\r\n\x1a\n"), PngImagePlugin.PngImageFile, (".png", ".apng"), media_type="image/png"
    ),
    Format(
        "JPEG",
        re.compile(rb"\xff\xd8\xff"),
        JpegImagePlugin.JpegImageFile,
        (".jpg", ".jpeg", ".jpe", ".jfif", ".jif"),
        media_type="image/jpeg",
    ),
    Format("GIF", re.compile(rb"GIF8[79]a"), GifImagePlugin.GifImageFile, (".gif",), media_type="image/gif"),
    Format("BMP", re.compile(rb"BM"), BmpImagePlugin.BmpImageFile, (".bmp", ".dib"), media_type="image/bmp"),
    RAW,
    TIFF,
    Format(
        "WebP",
        re.compile(rb"RIFF....WEBP", re.DOTALL),
        WebPImagePlugin.WebPImageFile,
        (".webp",),
        media_type="image/webp",
    ),
    Format(
        "AVIF",
        re.compile(rb"....ftyp(avi[fs]|(mif1|msf1).{4}(?=.{0,40}avi[fs]))", re.DOTALL),
        AvifImagePlugin.AvifImageFile,
        (".avif", ".avifs"),
        media_type="image/avif",
    ),
    Format(
        "HEIC",
        re.compile(rb"....ftyp(hei[cxms]|hev[cxms]|mif1|msf1)", re.DOTALL),
        _open_heif,
        (".heic", ".heif", ".heics", ".heifs", ".hif"),
        media_type="image/heic",
    ),
    Format(
        "JPEG 2000",
        re.compile(rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51"),
        Jpeg2KImagePlugin.Jpeg2KImageFile,
        (".jp2", ".j2k", ".jpx", ".jpf", ".j2c", ".jpc"),
        media_type="image/jp2",
    ),
    Format(
        "JPEG XL",
        re.compile(rb"\0\0\0\x0cJXL |\xff\x0a"),
        _open_jxl,
        (".jxl",),
        media_type="image/jxl",
        extra="jxl",
        module="pillow_jxl",
        decodes_at_once=True,
    ),
)

FORMATS_BY_NAME: Final[Mapping[str, Format]] = {each.name: each for each in FORMATS}

PICTURE_SUFFIXES: Final = tuple(suffix for each in FORMATS if each.is_installed for suffix in each.suffixes)
"""A file whose name ends like this is taken for a picture."""

REMEDY: Final = "Send PNG, JPEG, GIF, BMP, TIFF, WebP, HEIC, AVIF or JPEG 2000."

_UNSUPPORTED: Final[Mapping[str, re.Pattern[bytes]]] = {
    "PDF": re.compile(rb"\s*%PDF-"),
    "video": re.compile(rb"....ftyp|....moov|\x1aE\xdf\xa3|RIFF....AVI |\0\0\x01\xba", re.DOTALL),
    "SVG": re.compile(rb"(\xef\xbb\xbf)?\s*(<svg|<!DOCTYPE svg|<\?xml.{0,900}?<svg)", re.DOTALL | re.IGNORECASE),
    "Photoshop": re.compile(rb"8BPS\0"),
    "PostScript": re.compile(rb"%!PS|\xc5\xd0\xd3\xc6"),
    "icon": re.compile(rb"\0\0[\x01\x02]\0[^\0]\0"),
}
"""Formats that users try, by their first bytes, so that the error can name them."""


def recognise(data: bytes) -> Format:
    """The format of a picture file, by its first bytes.

    Raises `UnsupportedImageType` for a known format that is not accepted or not installed, and `InvalidImage` for
    other bytes.
    """
    found = format_of(data)
    if found is None:
        if kind := other_kind(data):
            raise UnsupportedImageType(f"This is a file of kind {kind}, which isn't supported. {REMEDY}")
        raise InvalidImage(f"{'These bytes are' if data else 'The file is empty:'} no picture. {REMEDY}")
    if not found.is_installed:
        raise UnsupportedImageType(
            f"This is a file of kind {found.name}, which isn't installed. Run: pip install "
            f"'image2search[{found.extra}]', or convert it. {REMEDY}"
        )
    return found


def format_of(data: bytes) -> Format | None:
    """The accepted format that begins like this."""
    found = next((each for each in FORMATS if each.magic.match(data)), None)
    return RAW if found is TIFF and _is_raw_tiff(data) else found


def other_kind(data: bytes) -> str:
    """A kind of file that is not accepted and begins like this; empty for unknown bytes."""
    return next((name for name, magic in _UNSUPPORTED.items() if magic.match(data)), "")


def _is_raw_tiff(data: bytes) -> bool:
    """Whether a TIFF is a camera's raw file: DNG, NEF, ARW and others. Its first directory tells."""
    tags = dict(_first_directory(data))
    if _DNG_VERSION in tags:
        return True
    is_preview = tags.get(_NEW_SUBFILE_TYPE) == 1 and _SUB_IFDS in tags
    return _MAKE in tags and (is_preview or tags.get(_COMPRESSION) in _RAW_COMPRESSIONS)


_DNG_VERSION, _NEW_SUBFILE_TYPE, _SUB_IFDS, _MAKE, _COMPRESSION = 50706, 254, 330, 271, 259

_SHORT: Final = 3
"""The type of a 16-bit number in a TIFF directory."""

_RAW_COMPRESSIONS: Final = frozenset((32767, 34713, 65535))
"""Sony's, Nikon's and Pentax's."""


def _first_directory(data: bytes) -> Iterator[tuple[int, int]]:
    """(tag, value) of each entry of a classic TIFF's first directory. A value that stands elsewhere is its offset."""
    order = "<" if data[:2] == b"II" else ">"
    try:
        (start,) = struct.unpack_from(f"{order}I", data, 4)
        (count,) = struct.unpack_from(f"{order}H", data, start)
        for number in range(count):
            tag, kind, _ = struct.unpack_from(f"{order}HHI", data, start + 2 + 12 * number)
            form = "H" if kind == _SHORT else "I"
            yield tag, struct.unpack_from(f"{order}{form}", data, start + 2 + 12 * number + 8)[0]
    except struct.error:
        return


_ODD_SUFFIX: Final = re.compile(
    f"(?:{'|'.join(map(re.escape, PICTURE_SUFFIXES))})(?:[^a-z0-9/].*|_large|_orig|_small|_thumb)$"
)
"""`f.jpg?width=800`, `e.jpg_large`, `i.jpg `: what programs that save pictures from the web add."""

_KINDS: Final[Mapping[str, str]] = {
    **dict.fromkeys((".mp4", ".mov", ".avi", ".mkv", ".m4v", ".3gp", ".mts", ".m2ts", ".webm"), "video"),
    **dict.fromkeys((".pdf",), "PDF"),
    **dict.fromkeys((".svg", ".svgz"), "SVG"),
    **dict.fromkeys((".psd", ".psb"), "Photoshop"),
    **dict.fromkeys((".eps", ".ai", ".ps"), "PostScript"),
    **dict.fromkeys((".ico", ".cur"), "icon"),
    **dict.fromkeys((".zip", ".gz", ".tar", ".7z", ".rar", ".tgz"), "archive"),
    **dict.fromkeys((".xmp", ".aae", ".thm", ".json", ".xml", ".txt", ".csv", ".md", ".html", ".htm"), "text"),
    **{suffix: each.name for each in FORMATS if not each.is_installed for suffix in each.suffixes},
}
"""Kinds of files that are no pictures for us, by the ends of their names."""

UNKNOWN: Final = "unknown"
"""The kind of a file whose name and content say nothing."""


def is_picture_name(name: str) -> bool:
    """Whether the name of a file says that it is a picture of an accepted format."""
    lowered = name.lower()
    return lowered.endswith(PICTURE_SUFFIXES) or _ODD_SUFFIX.search(lowered) is not None


def format_of_name(name: str) -> Format | None:
    """The accepted format that the name of a file says, whether or not its decoder is installed."""
    lowered = name.lower()
    odd = _ODD_SUFFIX.search(lowered)
    end = odd.group() if odd else lowered
    says = end.startswith if odd else end.endswith
    return next((each for each in FORMATS if says(each.suffixes)), None)


def kind_of_name(name: str) -> str | None:
    """What the name of a file that is no picture says about it: `video`, `PDF`, ...; None when it says nothing."""
    _, dot, end = name.rpartition("/")[2].lower().rpartition(".")
    return _kind_of_suffix(end) if dot else None


@lru_cache(maxsize=1024)
def _kind_of_suffix(end: str) -> str | None:
    if kind := _KINDS.get(f".{end}"):
        return kind
    guessed = (mimetypes.guess_type(f"x.{end}")[0] or "").partition("/")[0]
    return guessed if guessed in ("video", "audio", "text") else f".{end}" if guessed else None
