"""What all routes that hand out picture files have in common."""

from typing import Any, Final

SAFE_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cache-Control": "private, no-cache",
    "Cross-Origin-Resource-Policy": "cross-origin",
}
"""A picture is shown as a picture and can't run code. Caches ask again each time, which costs a 304."""


def picture_of(*media_types: str) -> dict[int | str, dict[str, Any]]:
    """`responses=` of a route whose answer is a picture of one of these types."""
    schema = {"type": "string", "format": "binary"}
    return {200: {"content": {name: {"schema": schema} for name in media_types}, "description": "The picture"}}
