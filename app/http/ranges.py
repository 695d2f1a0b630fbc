"""Parts of a file that a client asks for: `Range` and `If-Range` (RFC 9110, 13.1.5 and 14)."""

import re
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from app.http.problems import problem

MAX_RANGES = 32
"""In one request; with more, the whole file is the answer."""

_HEADER = re.compile(r"bytes=(.*)", re.IGNORECASE)
_SPEC = re.compile(r"[ \t]*(?:([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18}))[ \t]*")

PARTIAL_CONTENT: dict[int | str, dict[str, Any]] = {
    206: {"description": "The parts that `Range` asks for; several of them as `multipart/byteranges`"}
}
"""`responses=` of a route that may answer with parts; `problems(416)` besides."""

Chunks: TypeAlias = AsyncIterator[bytes]


@dataclass(frozen=True, slots=True)
class ByteRange:
    """`length` bytes from `start`."""

    start: int
    length: int

    @property
    def end(self) -> int:
        """Exclusive."""
        return self.start + self.length

    def header(self, size_bytes: int) -> str:
        """The value of Content-Range."""
        return f"bytes {self.start}-{self.end - 1}/{size_bytes}"


def asked_ranges(request: Request, etag: str, size_bytes: int) -> list[ByteRange] | None:
    """What parts of the file the request wants; none where the file has none of them, None for the whole file.

    `etag` is the file's, in quotes. A header that can't be understood asks for the whole file, as the RFC allows.
    """
    found = _HEADER.fullmatch(request.headers.get("range", ""))
    if found is None or request.method != "GET" or request.headers.get("if-range", etag).strip() != etag:
        return None
    specs = [spec for spec in found.group(1).split(",") if spec.strip()]
    if not 1 <= len(specs) <= MAX_RANGES:
        return None
    parts = [_part(spec, size_bytes) for spec in specs]
    if any(part is None for part in parts):
        return None
    return _without_overlap([part for part in parts if part is not None and part.length > 0])


def _part(spec: str, size_bytes: int) -> ByteRange | None:
    """The part of a file of this size, empty where the file ends before it; None for no range at all."""
    found = _SPEC.fullmatch(spec)
    if found is None:
        return None
    first, last, suffix = found.groups()
    if suffix:
        length = min(int(suffix), size_bytes)
        return ByteRange(size_bytes - length, length)
    start, end = int(first), int(last) + 1 if last else size_bytes
    if last and end <= start:
        return None
    return ByteRange(start, max(0, min(end, size_bytes) - start))


def _without_overlap(parts: list[ByteRange]) -> list[ByteRange]:
    """The parts in the order given; sorted and joined where some overlap, so that no byte is sent twice."""
    in_order = sorted(parts, key=lambda part: part.start)
    if all(part.end <= after.start for part, after in pairwise(in_order)):
        return parts
    joined = [in_order[0]]
    for part in in_order[1:]:
        last = joined[-1]
        if part.start <= last.end:
            joined[-1] = ByteRange(last.start, max(last.end, part.end) - last.start)
        else:
            joined.append(part)
    return joined


async def partial(
    request: Request,
    parts: Sequence[ByteRange],
    *,
    size_bytes: int,
    read: Callable[[ByteRange], Chunks],
    headers: dict[str, str],
    content_type: str,
) -> Response:
    """The 206 with these parts of a file, or the 416 where there is none. `read` gives the bytes of a part.

    The first bytes are read at once, so that errors are raised here.
    """
    if not parts:
        message = f"The file has {size_bytes:,} bytes, and the Range header asks only for bytes after its end."
        size = {"Content-Range": f"bytes */{size_bytes}"}
        return problem(request, 416, message, name="no-such-part", title="No such part of the file", headers=size)
    heads, tail = [b""], b""
    if len(parts) == 1:
        headers = headers | {"Content-Range": parts[0].header(size_bytes)}
    else:
        boundary = secrets.token_hex(16)
        heads = [_head(part, boundary, content_type, size_bytes) for part in parts]
        tail = f"\r\n--{boundary}--\r\n".encode()
        content_type = f"multipart/byteranges; boundary={boundary}"
    length = sum(map(len, heads)) + sum(part.length for part in parts) + len(tail)
    body = _body(zip(heads, map(read, parts), strict=True), tail)
    first = await anext(body)
    return StreamingResponse(
        _continued(first, body), 206, headers | {"Content-Length": str(length)}, media_type=content_type
    )


def _head(part: ByteRange, boundary: str, content_type: str, size_bytes: int) -> bytes:
    """What stands before a part of a multipart body."""
    return (
        f"\r\n--{boundary}\r\nContent-Type: {content_type}\r\nContent-Range: {part.header(size_bytes)}\r\n\r\n".encode()
    )


async def _body(parts: Iterable[tuple[bytes, Chunks]], tail: bytes) -> Chunks:
    for head, chunks in parts:
        before = head
        async for chunk in chunks:
            yield before + chunk
            before = b""
    if tail:
        yield tail


async def _continued(first: bytes, rest: Chunks) -> Chunks:
    yield first
    async for chunk in rest:
        yield chunk
