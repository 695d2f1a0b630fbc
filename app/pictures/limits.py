"""What one picture may cost, and how a decoder asks for the memory that the next one takes."""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final, Protocol

from app.errors import ImageTooLarge


class Limits(Protocol):
    """`ImageSettings` has these. This room does not import it: processes that only decode start faster without it."""

    @property
    def max_bytes(self) -> int:
        """Largest file."""
        ...

    @property
    def max_pixels(self) -> int:
        """Largest picture, width x height."""
        ...

    @property
    def max_memory_bytes(self) -> int:
        """Most memory that the decoding of one picture may take."""
        ...

    @property
    def timeout_s(self) -> float:
        """Seconds of processor time that the decoding of one picture may take."""
        ...


@dataclass(frozen=True, slots=True)
class FixedLimits:
    """Limits that travel to another process."""

    max_bytes: int
    max_pixels: int
    max_memory_bytes: int
    timeout_s: float

    @classmethod
    def of(cls, limits: Limits) -> "FixedLimits":
        return cls(limits.max_bytes, limits.max_pixels, limits.max_memory_bytes, limits.timeout_s)


ON_RESERVE: Final[ContextVar[Callable[[int], None] | None]] = ContextVar("on_reserve", default=None)
"""Gets the bytes that a picture will take before it is decoded, and returns when they are free."""


def reserve(size_bytes: int, limits: Limits) -> None:
    """Wait until this much memory may be used. A later call replaces the first. Raises ImageTooLarge."""
    if size_bytes > limits.max_memory_bytes:
        raise ImageTooLarge(
            f"Decoding the picture takes about {size_bytes >> 20:,} MiB of memory; at most "
            f"{limits.max_memory_bytes >> 20:,} MiB are allowed. Send a smaller copy, or raise IMAGE_MAX_MEMORY_BYTES."
        )
    if on_reserve := ON_RESERVE.get():
        on_reserve(size_bytes)
