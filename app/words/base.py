"""The word file of a generation: at hand, or made in the background when it is first asked for.

Generations of older versions have none, and some were written by a version whose words this one can't read.
"""

import logging
import threading
from collections.abc import Callable
from typing import Final

from app.errors import AppError, IndexNotReady
from app.words.file import WordFile

log = logging.getLogger(__name__)

MADE_AT_ONCE: Final = 5000
"""Up to this many pictures the caller waits: it takes some tenths of a second."""


class WordBase:
    """For several threads."""

    def __init__(self, file: WordFile | None, make: Callable[[], WordFile], count: int) -> None:
        """`make` is called once, in another thread where there are many pictures. It may raise AppError, OSError."""
        self._file = file
        self._make = make
        self._count = count
        self._changing = threading.Lock()
        self._maker: threading.Thread | None = None

    def get(self) -> WordFile:
        """Raises IndexNotReady while the file is being made."""
        if self._file is not None:
            return self._file
        with self._changing:
            if self._file is None and self._count <= MADE_AT_ONCE:
                self._file = self._make()
            if self._file is not None:
                return self._file
            if self._maker is None:
                self._maker = threading.Thread(target=self._make_and_keep, name="words", daemon=True)
                self._maker.start()
        raise IndexNotReady(
            "The names, captions and tags of this index are being read: it was written without its words. "
            "Search with mode=vector meanwhile."
        )

    def _make_and_keep(self) -> None:
        """After an error the next search tries again."""
        try:
            self._file = self._make()
        except (AppError, OSError) as error:
            log.warning("The words of the index could not be read: %s", error)
        finally:
            with self._changing:
                self._maker = None
