"""What the clients of all vector servers share: a connection made when it is needed, and errors that say what to do."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from app.errors import IndexCorrupt, InvalidSettings, VectorStoreUnavailable, first_line


class LazyClient:
    """A client that is made when it is first needed, and made again when the address changes. Thread-safe."""

    def __init__(self, connect: Callable[[str], Any]) -> None:
        self._connect = connect
        self._made: tuple[str, Any] | None = None
        self._lock = threading.Lock()

    def at(self, address: str) -> Any:
        with self._lock:
            if self._made is None or self._made[0] != address:
                self._made = address, self._connect(address)
            return self._made[1]


@contextmanager
def translated(
    place: str, kinds: tuple[type[BaseException], ...], remedy: str, reason: Callable[[Any], str] = first_line
) -> Iterator[None]:
    """Raise errors of these kinds as VectorStoreUnavailable, with their reason."""
    try:
        yield
    except kinds as error:
        raise VectorStoreUnavailable(f"{place} does not answer, or refuses: {reason(error)}. {remedy}") from error


def not_installed(setting: str, package: str, extra: str, otherwise: str = "") -> InvalidSettings:
    """The error for a client whose package is missing; `otherwise` names an alternative."""
    return InvalidSettings(
        f"{setting} needs {package}. Install it with `pip install 'image2search[{extra}]'`{otherwise}."
    )


def check_collection(place: str, setting: str, collection: str, *, exists: bool) -> None:
    """Raises IndexCorrupt when the collection that the index names does not exist."""
    if not exists:
        raise IndexCorrupt(
            f"{place} has no collection {collection}, which the published index names. Set {setting} to the server "
            "that holds it, or index again with --rebuild."
        )


def check_dimension(place: str, collection: str, found: object, dimension: int) -> None:
    """Raises IndexCorrupt when the collection holds vectors of another dimension than the index."""
    if found != dimension:
        raise IndexCorrupt(
            f"Collection {collection} in {place} holds vectors of dimension {found}, the published index those of "
            f"dimension {dimension}. Index again with --rebuild."
        )
