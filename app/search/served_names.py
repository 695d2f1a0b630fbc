"""The folder names of the views that are searched, made before anybody waits for them.

The index follower calls `prepare` before it serves a new state of the index, so no search has to make names.
"""

import threading

from app.catalog.view import View
from app.search.folders import FolderNames

MAX_SCOPES = 64
"""For how many sets of visible folders names are kept."""


class ServedNames:
    """The names of the last state of each scope. For several threads."""

    def __init__(self) -> None:
        self._making = threading.Lock()
        self._kept: dict[tuple[str, ...], tuple[tuple[str, ...], FolderNames]] = {}
        """By scope: the state (`View.state`) and its names."""

    def prepare(self, view: View) -> None:
        """Make the names of a view that will be served. The cost grows with what changed since the last one."""
        self.of(view)

    def ready(self, view: View) -> FolderNames | None:
        """The names of the view where they are made already. Takes no time."""
        state, names = self._kept.get(view.state[1:], (None, None))
        return names if state == view.state else None

    def of(self, view: View) -> FolderNames:
        """The names of the view, made where need be."""
        with self._making:
            return self.ready(view) or self._make(view)

    def _make(self, view: View) -> FolderNames:
        scope = view.state[1:]
        _, before = self._kept.pop(scope, (None, None))
        names = FolderNames(view.folders, before)
        self._kept[scope] = view.state, names
        for oldest in list(self._kept)[:-MAX_SCOPES]:
            del self._kept[oldest]
        return names
