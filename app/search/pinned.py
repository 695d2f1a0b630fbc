"""States of the index that pages are still shown of, after newer ones took their place."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeAlias

from app.catalog.view import View
from app.errors import PagesGone
from app.search.relevance.relevance import Scales

GONE = (
    "The state of the index that these pages show is gone: newer ones took its place. Search again from the first page."
)


class Pinned(NamedTuple):
    """A state as one scope sees it, and what its pictures are judged by."""

    view: View
    scales: Scales | None


class LoadView(Protocol):
    """As `LiveCatalog.earlier`."""

    def __call__(self, generation: str, journal: int, folders: tuple[str, ...]) -> View | None: ...


_Name: TypeAlias = tuple[str, int, tuple[str, ...]]


class PinnedStates:
    """Keeps the last states that pages were shown of. For several threads."""

    def __init__(
        self,
        load: LoadView,
        scales_of: Callable[[View], Scales | None],
        *,
        most: int,
        keep_s: float,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keeps at most `most` of them. One that was not used for `keep_s` seconds is dropped at the next call."""
        self._load = load
        self._scales_of = scales_of
        self._most = most
        self._keep_s = keep_s
        self._now = now
        self._kept: OrderedDict[_Name, tuple[float, Pinned]] = OrderedDict()
        self._changing = threading.Lock()
        self._loading = threading.Lock()

    def pin(self, view: View) -> Pinned:
        """Keep the state of a view. Raises VectorStoreUnavailable."""
        name = _name_of(view)
        with self._changing:
            kept = self._known(name)
        return kept or self._keep(view)

    def get(self, generation: str, journal: int, current: View) -> Pinned:
        """The state, as the caller of `current` may see it; from the bucket where it is not kept here.

        Raises PagesGone where it is not there either, IndexCorrupt, StorageUnavailable, VectorStoreUnavailable.
        """
        name = (generation, journal, current.scope)
        if name == _name_of(current):
            return self.pin(current)
        with self._changing:
            kept = self._known(name)
        if kept:
            return kept
        with self._loading:
            with self._changing:
                kept = self._known(name)
            view = None if kept else self._load(generation, journal, current.scope)
        if kept:
            return kept
        if view is None:
            raise PagesGone(GONE)
        return self._keep(view)

    def _known(self, name: _Name) -> Pinned | None:
        """The kept state. States that were not used for too long are dropped."""
        now = self._now()
        while self._kept:
            oldest, (used, _) = next(iter(self._kept.items()))
            if now - used < self._keep_s:
                break
            del self._kept[oldest]
        if name not in self._kept:
            return None
        pinned = self._kept[name][1]
        self._kept[name] = now, pinned
        self._kept.move_to_end(name)
        return pinned

    def _keep(self, view: View) -> Pinned:
        pinned = Pinned(view, self._scales_of(view))
        with self._changing:
            name = _name_of(view)
            self._kept[name] = self._now(), pinned
            self._kept.move_to_end(name)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return pinned


def _name_of(view: View) -> _Name:
    return view.generation, view.journal, view.scope
