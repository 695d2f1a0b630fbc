"""Undoes `Content-Encoding: gzip`, with which some tools store objects: browsers undo it, so people don't notice it."""

import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from gzip import BadGzipFile, GzipFile
from typing import BinaryIO, cast

from botocore.response import StreamingBody

from app.errors import InvalidInput
from app.storage.base import read_bounded

MAGIC = b"\x1f\x8b"
"""The first bytes of every gzip file (RFC 1952). Some objects are called gzip and are not packed."""

MAX_UNPACKED_BYTES = 256 << 20
"""Most bytes of one unpacked object in memory: a small object may unpack to a thousand times its size."""


def is_packed(content_encoding: str) -> bool:
    """Whether the value of Content-Encoding says gzip; some tools leave `aws-chunked` beside it."""
    return "gzip" in (each.strip().lower() for each in content_encoding.split(","))


def unpack(data: bytes, content_encoding: str, key: str, max_bytes: int | None) -> bytes:
    """The object's own bytes, at most `max_bytes` or `MAX_UNPACKED_BYTES`.

    Raises InvalidInput when the packed ones are damaged, ObjectTooLarge when there are more.
    """
    if not is_packed(content_encoding) or not data.startswith(MAGIC):
        return data
    most = MAX_UNPACKED_BYTES if max_bytes is None else max_bytes
    with _undoing(key):
        return read_bounded(
            cast(BinaryIO, GzipFile(fileobj=io.BytesIO(data))),
            f"{key} is stored with Content-Encoding: gzip. Unpacked, it",
            most,
        )


def stream_unpacked(body: StreamingBody, content_encoding: str, key: str, chunk_bytes: int) -> Iterator[bytes]:
    """As `unpack`, in chunks and in bounded memory."""
    source: BinaryIO = cast(BinaryIO, body)
    if is_packed(content_encoding):
        buffered = io.BufferedReader(cast(io.RawIOBase, body))
        packed = buffered.peek(len(MAGIC)).startswith(MAGIC)
        source = cast(BinaryIO, GzipFile(fileobj=buffered) if packed else buffered)
    with _undoing(key):
        while chunk := source.read(chunk_bytes):
            yield chunk


@contextmanager
def _undoing(key: str) -> Iterator[None]:
    try:
        yield
    except (BadGzipFile, EOFError, zlib.error) as error:
        raise InvalidInput(f"{key} is stored with Content-Encoding: gzip, and is damaged ({error}).") from error
