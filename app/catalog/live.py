"""The state that the service searches: the newest generation that could be verified."""

import logging
import threading
import time
from collections.abc import Callable

from app.catalog.catalog import Catalog, check_model
from app.catalog.changes import Changes
from app.catalog.layout import generation_number
from app.catalog.pointer import Pointer
from app.catalog.snapshot import Snapshot
from app.catalog.view import View
from app.errors import AppError, IndexCorrupt, IndexNotReady
from app.types import ModelIdentity

log = logging.getLogger(__name__)

DAMAGE_RETRY_S = 60
"""Damaged files are read again after this time: they may have been restored under the same pointer."""

NOTHING_YET = "No index has been published yet. Run `image2search index`."


class LiveCatalog:
    """Holds one snapshot and replaces it as a whole. Any thread may read `current` at any time."""

    def __init__(
        self, catalog: Catalog, model: ModelIdentity, before_swap: Callable[[View], None] = lambda _: None
    ) -> None:
        """`before_swap` prepares what searches of a newly loaded state need, before it is served."""
        self._catalog = catalog
        self._model = model
        self._before_swap = before_swap
        self._snapshot: Snapshot | None = None
        self._problem: str | None = NOTHING_YET
        self._refreshing = threading.Lock()
        self._damaged = ("", 0.0)
        """Token of the state that could not be read, and when to try it again (monotonic seconds)."""

    @property
    def current(self) -> Snapshot:
        """The snapshot to search. Raises IndexNotReady, with the reason, while there is none."""
        if self._snapshot is None:
            raise IndexNotReady(self._problem or NOTHING_YET)
        return self._snapshot

    @property
    def view(self) -> View | None:
        """What is served, with everything in it; None while there is nothing."""
        return View(self._snapshot) if self._snapshot is not None else None

    @property
    def problem(self) -> str | None:
        """Why the newest published state is not the one that is served; None when it is."""
        return self._problem

    def refresh(self) -> None:
        """Look for a newer generation. If it can't be served, the last good one stays and `problem` says why."""
        with self._refreshing:
            try:
                self._follow(self._catalog.pointer())
            except AppError as error:
                self._report(str(error))

    def publish(self, plan: Callable[[View | None], Changes]) -> View:
        """Publish what `plan` wants to change in the state that is served, and serve the result from now on.

        `plan` gets None before the first publication. The result may lack a part of the changes: what another writer
        changed meanwhile stays (`app.catalog.merge`). Raises as `Catalog.publish`, and what `plan` raises.
        """
        with self._refreshing:
            changes = plan(self.view)
            if self._snapshot is not None and not changes:
                return View(self._snapshot)
            newest = self._catalog.publish(changes, self._model, since=self._snapshot)
            self._swap(newest)
            return View(newest)

    def earlier(self, generation: str, journal: int, folders: tuple[str, ...]) -> View | None:
        """The state after a journal of a generation, from the bucket, narrowed to `folders`; None where it is gone.

        Raises IndexCorrupt, IndexMismatch, StorageUnavailable, VectorStoreUnavailable.
        """
        snapshot = self._catalog.load_earlier(generation, journal)
        if snapshot is None:
            return None
        check_model(snapshot.pointer, self._model)
        return View(snapshot, folders)

    def _follow(self, pointer: Pointer | None) -> None:
        if pointer is None:
            self._report(NOTHING_YET if self._snapshot is None else "The published index is gone from the bucket.")
        elif self._snapshot is not None and pointer.token == self._snapshot.pointer.token:
            self._problem = None
        elif not self._is_known_damage(pointer):
            check_model(pointer, self._model)
            self._swap(self._load(pointer))

    def _is_known_damage(self, pointer: Pointer) -> bool:
        """Whether these files were found damaged a moment ago. They may be large, so not every poll reads them."""
        token, until = self._damaged
        return pointer.token == token and time.monotonic() < until

    def _load(self, pointer: Pointer) -> Snapshot | None:
        try:
            return self._catalog.load(self._snapshot)
        except IndexCorrupt:
            self._damaged = pointer.token, time.monotonic() + DAMAGE_RETRY_S
            raise

    def _swap(self, newest: Snapshot | None) -> None:
        if newest is None:
            return
        check_model(newest.pointer, self._model)
        pointer = newest.pointer
        if self._snapshot is not None and _starts_from_nothing(pointer, self._snapshot.pointer):
            self._report(
                f"An empty index (generation {pointer.generation}) was made from nothing where "
                f"{self._snapshot.pointer.count} pictures are served; they are served on. Check that the disk of "
                f"STORAGE_URL is mounted. If the pictures were meant to go, restart the service."
            )
            return
        self._before_swap(View(newest))
        is_known = self._snapshot is not None and self._snapshot.pointer.generation == pointer.generation
        log.log(
            logging.DEBUG if is_known else logging.INFO,
            "Serving generation %s, journal %d: %d pictures.",
            *(pointer.generation, pointer.journal, pointer.count),
        )
        self._snapshot = newest
        self._problem = None

    def _report(self, problem: str) -> None:
        if problem != self._problem:
            log.warning("%s", problem)
        self._problem = problem


def _starts_from_nothing(newest: Pointer, served: Pointer) -> bool:
    """Whether an empty state was not made from the one that is served: its predecessors are gone, not its pictures.

    A run in the empty folder of a disk that is not mounted makes such a state.
    """
    follows = served.generation in {kept.generation for kept in newest.used}
    is_later = generation_number(newest.generation) > generation_number(served.generation)
    return newest.count == 0 and served.count > 0 and not follows and not is_later
