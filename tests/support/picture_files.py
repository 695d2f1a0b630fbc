"""Picture files that Pillow can't write, or not that way: made byte by byte."""

import base64
import io
import struct
import zlib

from PIL import Image

from tests.support.pictures import encoded

HEIC = base64.b64decode(
    b"AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAX1tZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAACJpbG9jAA"
    b"AAAERAAAEAAQAAAAABoQABAAAAAAAAAHcAAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABodmMxAAAAAA5waXRtAAAAAAABAAAA/WlwcnAA"
    b"AADdaXBjbwAAAHZodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQAqQgEBA3AAAAMAkA"
    b"AAAwAAAwAeoCCBBZbq5Ka5uAhoMCAAAAMDIAAAAwAhYgABAAZEAcFzwIkAAAATY29scm5jbHgAAQANAAaAAAAAFGlzcGUAAAAAAAAAQAAAAEAA"
    b"AAAoY2xhcAAAAEAAAAABAAAAMAAAAAEAAAAAAAAAAv////AAAAACAAAAEHBpeGkAAAAAAwgICAAAABhpcG1hAAAAAAAAAAEAAQWBAgMFhAAAAH"
    b"9tZGF0AAAAcygBr1j5Et3/1hP/nTSHDVy8cw1P9QgLsZ5+gNramVBNx3qhPMeX7nHQjai15Q48yqIoCaaBxTnBTC6UHiTI/+YY/9Gy1gEyPqpE"
    b"GO2oCNCneUGl4XKkf9gP567s9uT2UHpSqtKjaw+jT9MHjW8ZPabyl1w="
)
"""`quarters(64, 48)`, written once with pillow-heif."""


def chunk(kind: bytes, body: bytes, *, wrong_by: int = 0) -> bytes:
    """A PNG chunk, whose checksum may be wrong."""
    checksum = zlib.crc32(kind + body) ^ wrong_by
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)


def png(size: tuple[int, int], depth: int, colour: int, rows: bytes, *extra: bytes) -> bytes:
    """A PNG of these rows, each with its filter byte; `extra` are chunks that stand before the pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + pixels + chunk(b"IEND", b"")


def with_chunk(file: bytes, extra: bytes) -> bytes:
    """The PNG with one more chunk behind its header."""
    return file[:33] + extra + file[33:]


def tiff(size: tuple[int, int], bits: int, samples: int, pixels: bytes, *tags: tuple[int, int, int, int]) -> bytes:
    """A TIFF with one uncompressed strip. `tags` are further entries: number, type, count, value."""
    depth = (258, 3, 1, bits) if samples == 1 else (258, 3, samples, 900)
    entries = sorted(
        [
            (256, 4, 1, size[0]),
            (257, 4, 1, size[1]),
            depth,
            (259, 3, 1, 1),
            (262, 3, 1, 1 if samples == 1 else 2),
            (273, 4, 1, 1000),
            (277, 3, 1, samples),
            (278, 4, 1, size[1]),
            (279, 4, 1, len(pixels)),
            *tags,
        ]
    )
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    head = b"II*\0" + struct.pack("<I", 8) + directory + bytes(4)
    return head.ljust(900, b"\0") + (struct.pack("<H", bits) * samples).ljust(100, b"\0") + pixels


def jpeg_with_scans(extra: int) -> bytes:
    """A progressive JPEG whose last scan comes `extra` times more."""
    file = encoded(Image.new("RGB", (64, 48)), "JPEG", progressive=True)
    last = file.rfind(b"\xff\xda")
    return file[:-2] + file[last:-2] * extra + b"\xff\xd9"


def gif(*frames: Image.Image) -> bytes:
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


def dng(preview: bytes, size: tuple[int, int], orientation: int = 1) -> bytes:
    """A camera's raw file: a preview of this size as JPEG, and 64 x 64 raw samples."""
    directories = 2000
    pixels = 3000
    preview_at = pixels + 64 * 64 * 2
    first = [
        *[(254, 4, 1, 1), (256, 4, 1, size[0]), (257, 4, 1, size[1]), (258, 3, 3, 900), (259, 3, 1, 7)],
        *[(262, 3, 1, 6), (271, 2, 5, 920), (272, 2, 5, 930), (273, 4, 1, preview_at), (274, 3, 1, orientation)],
        *[(277, 3, 1, 3), (278, 4, 1, size[1]), (279, 4, 1, len(preview)), (330, 4, 1, directories)],
        *[(50706, 1, 4, 0x0401), (50708, 2, 5, 930)],
    ]
    raw = [
        *[(254, 4, 1, 0), (256, 4, 1, 64), (257, 4, 1, 64), (258, 3, 1, 16), (259, 3, 1, 1), (262, 3, 1, 32803)],
        *[(273, 4, 1, pixels), (277, 3, 1, 1), (278, 4, 1, 64), (279, 4, 1, 64 * 64 * 2)],
        *[(33421, 3, 2, 0x00020002), (33422, 1, 4, 0x02010100)],
    ]
    head = (b"II*\0" + struct.pack("<I", 8) + _directory(first)).ljust(900, b"\0")
    head = (head + struct.pack("<HHH", 8, 8, 8)).ljust(920, b"\0") + b"Acme\0".ljust(10, b"\0") + b"Test\0"
    samples = struct.pack("<H", 1000) * 64 * 64
    return (head.ljust(directories, b"\0") + _directory(raw)).ljust(pixels, b"\0") + samples + preview


def _directory(entries: list[tuple[int, int, int, int]]) -> bytes:
    return struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
