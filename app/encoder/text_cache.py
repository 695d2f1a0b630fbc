"""The vectors of the texts asked for last, so that a text asked for again costs no pass."""

from collections import OrderedDict

from app.types import Vectors


class TextCache:
    """The least recently used text goes first. For one thread."""

    def __init__(self, size: int) -> None:
        """`size`: texts that are kept; 0 keeps none."""
        self._size = size
        self._vectors: OrderedDict[str, Vectors] = OrderedDict()
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._vectors)

    def get(self, text: str) -> Vectors | None:
        """(D,) float32, read-only; None for a text that is not kept."""
        vector = self._vectors.get(text)
        if vector is None:
            self.misses += 1
            return None
        self.hits += 1
        self._vectors.move_to_end(text)
        return vector

    def put(self, text: str, vector: Vectors) -> None:
        """Keep a copy of (D,)."""
        kept = vector.copy()  # a row of a batch would keep the whole batch alive
        kept.flags.writeable = False
        self._vectors[text] = kept
        self._vectors.move_to_end(text)
        while len(self._vectors) > self._size:
            self._vectors.popitem(last=False)
