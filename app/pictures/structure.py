"""The parts of a JPEG or PNG file: counted before a decoder sees the file, and left out where a picture needs none.

Decoders spend time on every scan, segment and chunk, so a small file can keep one busy for minutes. They also refuse
whole pictures for what stands beside the pixels, such as a long text or a chunk with a wrong checksum.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from app.errors import InvalidImage

MAX_SCANS: Final = 64
"""Scans of a JPEG. Encoders write about 10; each one costs a pass over all pixels."""

MAX_SEGMENTS: Final = 4000
"""Segments of a JPEG before its first scan. Large profiles and previews take a few hundred."""

MAX_CHUNKS: Final = 100_000
"""Chunks of a PNG. The smallest that encoders write hold 8 KiB of pixels."""

KEPT_CHUNKS: Final = frozenset((b"tRNS", b"eXIf", b"acTL", b"fcTL", b"fdAT"))
"""Chunks that say how the picture looks, beside the critical ones and the profile."""

MAX_PROFILE_BYTES: Final = 1 << 20
"""A colour profile that is larger when unpacked is left out: Pillow would refuse the picture for it."""

_CRITICAL: Final = frozenset((b"IHDR", b"PLTE", b"IDAT", b"IEND"))

_PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"

_SOS, _EOI = 0xDA, 0xD9

_SEQUENTIAL: Final = frozenset((0xC0, 0xC1))
"""Frames that libjpeg decodes in one scan, if that scan has all components."""

_WITHOUT_LENGTH: Final = frozenset((0x01, *range(0xD0, 0xDA)))

_NEXT_MARKER: Final = re.compile(rb"\xff+([\x01-\xcf\xd8-\xfe])")
"""Passes over pixels: there a byte 0xFF is followed by 0 or by a restart marker, D0 to D7."""

_FILL: Final = b"\xff" * 64


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a JPEG that begins with a marker."""

    marker: int
    """The second byte: 0xDA begins a scan."""
    start: int
    """Where its fill bytes begin, if it has any."""
    body: int
    """Where its length stands."""
    end: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a PNG."""

    kind: bytes
    start: int
    end: int
    """Behind the checksum; beyond the file where it is cut short."""

    def body(self, data: bytes) -> bytes:
        return data[self.start + 8 : self.end - 4]

    def is_intact(self, data: bytes) -> bool:
        body_end = self.end - 4
        return zlib.crc32(data[self.start + 4 : body_end]) == int.from_bytes(data[body_end : self.end])


def plain_jpeg(data: bytes) -> bytes:
    """The file without long runs of fill bytes. Raises InvalidImage when it has too many parts."""
    pieces: list[bytes] = []
    copied = 0
    components = b""
    for number, segment in enumerate(jpeg_segments(data)):
        if number >= MAX_SEGMENTS:
            raise InvalidImage(f"The JPEG picture has more than {MAX_SEGMENTS:,} segments. Save it again.")
        if segment.body - segment.start > len(_FILL):
            pieces.append(data[copied : segment.start])
            copied = segment.body - 2
        if segment.marker in _SEQUENTIAL:
            components = data[segment.body + 7 : segment.body + 8]
        if segment.marker == _SOS:
            if not components or data[segment.body + 2 : segment.body + 3] != components:
                _check_scans(data)
            break
    return b"".join([*pieces, data[copied:]]) if pieces else data


def _check_scans(data: bytes) -> None:
    """Raises InvalidImage. Most files are counted without a walk: the two bytes are rare outside of scans."""
    if len(re.findall(b"\xff\xda", data)) > MAX_SCANS:  # a third of the time of `bytes.count`
        scans = sum(segment.marker == _SOS for segment in jpeg_segments(data))
        if scans > MAX_SCANS:
            raise InvalidImage(f"The JPEG picture has {scans:,} scans; at most {MAX_SCANS} are read. Save it again.")


def jpeg_segments(data: bytes) -> Iterator[Segment]:
    """From the first marker to the end of the picture, as far as the file can be read."""
    position = 2
    while found := _NEXT_MARKER.search(data, position):
        marker, body = found[1][0], found.end()
        if marker == _EOI:
            return
        length = 0 if marker in _WITHOUT_LENGTH else int.from_bytes(data[body : body + 2])
        position = body + length
        yield Segment(marker, found.start(), body, position)


def plain_png(data: bytes) -> bytes:
    """The file with only the chunks that say how the picture looks. Raises InvalidImage when it has too many chunks."""
    chunks = list(png_chunks(data))
    kept = [chunk for chunk in chunks if _is_kept(chunk, data)]
    return data if len(kept) == len(chunks) else _joined(data, kept)


def mended_png(data: bytes) -> bytes:
    """The same file with right checksums and an end. Raises as `plain_png`."""
    kept = [chunk for chunk in png_chunks(data) if chunk.kind in _CRITICAL and chunk.kind != b"IEND"]
    bodies = [(chunk.kind, data[chunk.start + 8 : min(chunk.end - 4, len(data))]) for chunk in kept]
    return _PNG_SIGNATURE + b"".join(_packed(kind, body) for kind, body in [*bodies, (b"IEND", b"")])


def png_chunks(data: bytes) -> Iterator[Chunk]:
    """All chunks up to IEND. Raises InvalidImage when there are too many."""
    position = len(_PNG_SIGNATURE)
    for _ in range(MAX_CHUNKS):
        if position + 8 > len(data):
            return
        length, kind = struct.unpack_from(">I4s", data, position)
        chunk = Chunk(kind, position, position + length + 12)
        yield chunk
        if kind == b"IEND":
            return
        position = chunk.end
    raise InvalidImage(f"The PNG picture has more than {MAX_CHUNKS:,} chunks. Save it again.")


def _is_kept(chunk: Chunk, data: bytes) -> bool:
    if chunk.kind in _CRITICAL:
        return True  # where one is damaged, the decoder says so
    if chunk.kind == b"iCCP":
        return chunk.is_intact(data) and _has_profile(chunk.body(data))
    return chunk.kind in KEPT_CHUNKS and chunk.is_intact(data)


def _has_profile(body: bytes) -> bool:
    """Whether the body of an iCCP chunk holds a profile that Pillow reads."""
    _, _, packed = body.partition(b"\0")
    try:
        return 0 < len(zlib.decompressobj().decompress(packed[1:], MAX_PROFILE_BYTES + 1)) <= MAX_PROFILE_BYTES
    except zlib.error:
        return False


def _joined(data: bytes, chunks: list[Chunk]) -> bytes:
    return _PNG_SIGNATURE + b"".join(data[chunk.start : chunk.end] for chunk in chunks)


def _packed(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
