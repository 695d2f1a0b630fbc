"""Pictures whose files are damaged, read as far as they go.

Nothing here changes how other pictures are decoded: Pillow's own tolerance is a switch for the whole process.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from PIL import Image, ImageChops, ImageFile

from app.pictures.structure import jpeg_segments, mended_png

ENOUGH: Final = 0.98
"""Share of the pixels from which on a damaged picture is accepted."""

COMPARED_PIXELS: Final = 4_000_000
"""A JPEG is compared with itself in at most about this size."""

BLOCK_ROWS: Final = 16
"""Most rows of a JPEG that lie in the same blocks."""

BLURRED_ROWS: Final = 2
"""Rows at the end of a row of blocks that libjpeg smooths together with the next one."""

_END_OF_JPEG: Final = b"\xff\xd9"

Mark: TypeAlias = float | tuple[int, ...]

_MARK: Final[Mapping[str, Mark]] = {"L": 3, "P": 3, "1": 255, "I;16": 771, "I": 771, "F": 771.25, "LA": (3, 5)}
"""A value that hardly fills a whole row of a picture. Rows that still have it after decoding have not arrived."""

_COLOUR_MARK: Final = (3, 251, 7, 253)

_GARBAGE: Final = bytes(random.Random(0).randrange(255) for _ in range(4096))  # noqa: S311 - no secret
"""Bytes that decode to something else than zeros do."""

Open: TypeAlias = Callable[[bytes], Image.Image]
"""Reads a header, within the limits, and may choose a smaller size for the decoding."""


@dataclass(frozen=True, slots=True)
class Mended:
    """A decoded picture, and the share of its pixels that arrived."""

    image: Image.Image
    share: float

    @property
    def flaw(self) -> str:
        """What people are told."""
        missing = 1 - self.share
        seen = f"{missing:.1%} of the picture is missing" if missing else "all of the picture can be seen"
        return f"The file is damaged: {seen}."


def mended(format_name: str, data: bytes, open_file: Open, open_whole: Open) -> Mended | None:
    """What can be read of a damaged file; None when less than ENOUGH arrived. `open_whole` never chooses a size."""
    if format_name == "JPEG":
        return _mended_jpeg(data, open_file, open_whole)
    if format_name in ("PNG", "BMP", "TIFF"):
        return _as_far_as_it_goes(open_file(mended_png(data) if format_name == "PNG" else data))
    return None


def _mended_jpeg(data: bytes, open_file: Open, open_whole: Open) -> Mended | None:
    """libjpeg takes zeros for what is missing when the end of the file is marked."""
    if not _has_all_scans(data):
        return None
    share = _arrived(data, open_whole)
    if share < ENOUGH:
        return None
    image = open_file(data + _END_OF_JPEG)
    image.load()
    return Mended(image, share)


def _arrived(data: bytes, open_whole: Open) -> float:
    """The share of the picture before the first block that depends on what follows the file's end."""
    with_zeros, with_garbage = (_small(open_whole(data + end)) for end in (_END_OF_JPEG, _GARBAGE + _END_OF_JPEG))
    width, height = with_zeros.size
    for top in range(0, height, BLOCK_ROWS):
        bottom = min(height, top + BLOCK_ROWS)
        rows = (0, top, width, bottom if bottom == height else bottom - BLURRED_ROWS)
        change = ImageChops.difference(with_zeros.crop(rows), with_garbage.crop(rows)).convert("L").getbbox()
        if change:
            return (top * width + (bottom - top) * change[0]) / (width * height)
    return 1.0


def _small(image: Image.Image) -> Image.Image:
    if image.width * image.height > COMPARED_PIXELS:
        image.draft(None, (image.width // 2, image.height // 2))
    image.load()
    return image


def _has_all_scans(data: bytes) -> bool:
    """Whether a progressive JPEG has begun the last scan of every coefficient; others have one scan or few."""
    segments = list(jpeg_segments(data))
    frame = next((data[each.body : each.end] for each in segments if each.marker in (0xC0, 0xC1, 0xC2)), b"")
    scans = [data[each.body : each.end] for each in segments if each.marker == 0xDA]
    components = set(frame[8::3])
    if not scans or not components:
        return False
    if not any(each.marker == 0xC2 for each in segments):
        return components <= {component for scan in scans for component, _, _ in _coefficients(scan)}
    done = {(component, number) for scan in scans for component, number, is_last in _coefficients(scan) if is_last}
    return done >= {(component, number) for component in components for number in range(64)}


def _coefficients(scan: bytes) -> Iterator[tuple[int, int, bool]]:
    """(component, coefficient, whether this scan gives its last bit) of a scan's header (ITU T.81, B.2.3)."""
    count = scan[2] if len(scan) > 2 else 0
    if len(scan) < 6 + 2 * count:
        return
    first, last, bits = scan[3 + 2 * count : 6 + 2 * count]
    for component in scan[3 : 3 + 2 * count : 2]:
        for number in range(first, last + 1):
            yield component, number, not bits & 15


def _as_far_as_it_goes(image: Image.Image) -> Mended | None:
    if not isinstance(image, ImageFile.ImageFile):
        return None
    mark = _MARK.get(image.mode, _COLOUR_MARK[: len(image.getbands())])
    image.im = Image.new(image.mode, image.size, mark).im
    try:
        image.load()
    except (OSError, SyntaxError, ValueError, EOFError, IndexError):
        image.tile = []  # what has arrived is in place
    share = 1 - _rows_like(image, mark) / image.height
    return Mended(image, share) if share >= ENOUGH else None


def _rows_like(image: Image.Image, mark: Mark) -> int:
    """How many rows have this one value only."""
    expected = Image.new(image.mode, (image.width, 1), mark).tobytes()
    return sum(image.crop((0, top, image.width, top + 1)).tobytes() == expected for top in range(image.height))
