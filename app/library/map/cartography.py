"""The layout of the whole library: made, completed with new pictures, turned onto the old one, and kept.

Two walks: `chart` (a request) follows the published state and cuts out what the caller may see; `write_input` and
`adopt` (the background) take a UMAP layout in.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.catalog.view import View
from app.errors import VectorStoreUnavailable
from app.library.map.layout import (
    NEIGHBOURS,
    Kind,
    Layout,
    Points,
    ReadVectors,
    between,
    blocks,
    normalised,
    principal_points,
)
from app.library.map.regions import Region, regions_of
from app.library.map.store import MapStore
from app.library.map.words import WORDS
from app.types import Ids, Vectors, hash_content

MIN_UMAP: Final = 100
"""Pictures from which on UMAP is worth its seconds."""

MAX_PLACED: Final = 0.1
"""Share of the pictures that may be put beside their neighbours before a new layout is made."""

MAX_PLACED_MEANWHILE: Final = 0.5
"""The same, for a UMAP layout that is still shown while the next one is worked out."""

CANDIDATES: Final = 32
"""Neighbours that are looked at for a new picture: some of them may be new too."""

SEARCHED_AT_ONCE: Final = 256
"""New pictures in one search: vector servers take no request of any size."""

ANCHORS: Final = 4096
"""Pictures that a new one is compared with when all its near neighbours are new too."""

Pending: TypeAlias = Literal["umap", "names"]


@dataclass(frozen=True, eq=False)
class PictureMap:
    """The map of one view. Immutable."""

    generation: str
    layout: Kind
    pending: tuple[Pending, ...]
    """What is still being worked out, and changes the answer when it is there."""
    placed: int
    """Pictures that came after the layout was made, and lie beside their neighbours."""
    rows: Ids
    """(N,) row ids."""
    points: Points
    """(N, 2)."""
    regions: tuple[Region, ...]
    digest: str = ""
    """Equal for equal answers."""

    def with_digest(self) -> "PictureMap":
        head = repr((self.generation, self.layout, self.pending, self.placed, self.regions)).encode()
        return replace(self, digest=hash_content(b"".join([head, self.rows.tobytes(), self.points.tobytes()])))


class Cartographer:
    """Makes, follows and keeps the layout of the whole library. Synchronous, for one thread at a time."""

    def __init__(self, store: MapStore, whole: Callable[[], View], *, has_umap: bool | None = None) -> None:
        """`whole` is the view of everything. `has_umap`: whether UMAP is installed; None: look."""
        self._store = store
        self._whole = whole
        self._has_umap = find_spec("umap") is not None if has_umap is None else has_umap
        self._layout: Layout | None = None
        self._generation = ""
        self._state: tuple[str, ...] = ()

    def chart(self, view: View, word_vectors: Vectors | None) -> PictureMap:
        """The map of this view. Raises IndexNotReady, IndexCorrupt, StorageUnavailable, VectorStoreUnavailable."""
        layout = self.current()
        rows = np.sort(view.columns.rows)
        places, found = layout.places_of(rows)
        rows, places = rows[found], places[found]
        points = layout.points[places]
        placed = layout.placed[places]
        regions = regions_of(rows, points, _reader(view), WORDS, word_vectors, settled=~placed)
        pending = self._pending(word_vectors)
        answer = PictureMap(view.generation, layout.kind, pending, int(placed.sum()), rows, points, tuple(regions))
        return answer.with_digest()

    def _pending(self, word_vectors: Vectors | None) -> tuple[Pending, ...]:
        pending: dict[Pending, bool] = {"umap": self.wants_umap, "names": word_vectors is None}
        return tuple(name for name, is_pending in pending.items() if is_pending)

    def current(self) -> Layout:
        """The layout of everything as it is now. Raises as `chart`."""
        view = self._whole()
        if self._layout is None or view.state != self._state:
            self._follow(view)
        assert self._layout is not None
        return self._layout

    @property
    def wants_umap(self) -> bool:
        """Whether UMAP would make a better layout than the current one."""
        layout = self._layout
        if layout is None or not self._has_umap or len(layout) < MIN_UMAP:
            return False
        return layout.kind != "umap" or layout.placed.mean() > MAX_PLACED

    def give_up_umap(self) -> None:
        """Make do without UMAP: it has failed."""
        self._has_umap = False

    def write_input(self, folder: Path) -> Layout:
        """The files that `umap.py` reads, and the layout whose rows they have. Raises as `chart`, and OSError."""
        view = self._whole()
        layout = self.current().only(*_rows_and_contents(view))
        read = _reader(view)
        first = read(layout.rows[:1])
        shape = (len(layout), first.shape[1])
        vectors = np.lib.format.open_memmap(folder / "vectors.npy", mode="w+", dtype=np.float32, shape=shape)
        for block in blocks(np.arange(len(layout))):
            vectors[block] = read(layout.rows[block])
        vectors.flush()
        np.save(folder / "start.npy", layout.points)
        return layout

    def adopt(self, laid_out: Layout, points: Points) -> None:
        """Go on from these UMAP coordinates of the pictures of `laid_out`. Raises as `chart`."""
        current = self.current()
        if current.fingerprint != laid_out.fingerprint:
            return  # the index was made again with another model meanwhile
        none_placed = np.zeros(len(laid_out), bool)
        made = replace(laid_out, kind="umap", points=normalised(points), placed=none_placed)
        self._go_on_from(made.aligned_to(current))
        self._store.keep_layout(self._generation, self.current())

    def adopt_kept(self) -> bool:
        """Whether another replica has kept a UMAP layout that serves; then go on from that. Raises as `chart`."""
        self.current()
        kept = self._store.layout(self._generation, "umap")
        view = self._whole()
        if kept is None or not self._serves(kept.only(*_rows_and_contents(view)), view, MAX_PLACED):
            return False
        self._go_on_from(kept)
        self.current()
        return True

    def _go_on_from(self, layout: Layout) -> None:
        self._layout, self._state = layout, ()

    def _follow(self, view: View) -> None:
        """Make the layout one of this view."""
        known, is_kept = self._known(view)
        rows, contents = _rows_and_contents(view)
        part = known.only(rows, contents) if known else None
        if part is not None and self._serves(part, view, self._most_placed(part)):
            layout = self._with_new(part, rows, contents, view)
        else:
            layout = _principal_layout(view, rows, contents)
            layout = layout.aligned_to(known) if known else layout
            is_kept = False
        self._layout, self._generation, self._state = layout, view.generation, view.state
        if not is_kept:
            self._store.keep_layout(view.generation, layout)

    def _known(self, view: View) -> tuple[Layout | None, bool]:
        """The layout to go on from, and whether it is kept under this generation."""
        if self._layout is not None and self._generation == view.generation:
            return self._layout, True
        found = self._store.newest_layout(view.generation)
        if found is None:
            return self._layout, False
        generation, kept = found
        is_of_this = generation == view.generation
        if self._layout is None or (is_of_this and (kept.kind == "umap" or self._layout.kind == "pca")):
            return kept, is_of_this
        return self._layout, False

    def _most_placed(self, part: Layout) -> float:
        return MAX_PLACED_MEANWHILE if part.kind == "umap" and self._has_umap else MAX_PLACED

    def _serves(self, part: Layout, view: View, most_placed: float) -> bool:
        """Whether the layout can be completed: it is of the same model, and lacks few of the pictures."""
        lacks = len(view) - len(part) + int(part.placed.sum())
        return part.fingerprint == view.indexed_by.fingerprint and lacks <= most_placed * len(view)

    def _with_new(self, part: Layout, rows: Ids, contents: NDArray[np.uint64], view: View) -> Layout:
        """`part` and the pictures that it lacks, beside their neighbours."""
        _, found = part.places_of(rows)
        if found.all():
            return part
        missing = rows[~found]
        return part.joined(missing, contents[~found], _beside_neighbours(missing, part, view))


def _rows_and_contents(view: View) -> tuple[Ids, NDArray[np.uint64]]:
    """(N,) the row ids, sorted, and their contents."""
    columns = view.columns
    order = np.argsort(columns.rows)
    return columns.rows[order], columns.contents[order]


def _reader(view: View) -> ReadVectors:
    def read(rows: Ids) -> Vectors:
        try:
            return view.vectors_of(rows.tolist())
        except KeyError as error:
            raise VectorStoreUnavailable(
                f"The vector server has lost the vector of row {error}. Run `image2search index`, which makes it again."
            ) from error

    return read


def _principal_layout(view: View, rows: Ids, contents: NDArray[np.uint64]) -> Layout:
    points = principal_points(rows, _reader(view))
    return Layout("pca", view.indexed_by.fingerprint, rows, contents, points, np.zeros(len(rows), bool))


def _beside_neighbours(rows: Ids, layout: Layout, view: View) -> Points:
    """(N, 2) places for pictures that `layout` lacks."""
    read = _reader(view)
    anchors = layout.rows[~layout.placed][:ANCHORS]
    found = []
    for block in blocks(rows, SEARCHED_AT_ONCE):
        vectors = read(block)
        points, distances = _laid_out_neighbours(vectors, layout, view)
        is_lost = np.isinf(distances).all(axis=1)
        if is_lost.any():
            points[is_lost], distances[is_lost] = _nearest_anchors(vectors[is_lost], anchors, read(anchors), layout)
        found.append(between(points, distances))
    return np.concatenate(found)


def _laid_out_neighbours(vectors: Vectors, layout: Layout, view: View) -> tuple[Points, NDArray[np.float64]]:
    """(Q, K, 2) the places of the nearest pictures that were laid out, and (Q, K) how far they are; inf for none."""
    hits = view.nearest_rows(vectors, CANDIDATES)
    near = np.zeros((len(hits), CANDIDATES), np.int64)
    scores = np.full((len(hits), CANDIDATES), -np.inf)
    for at, row in enumerate(hits):
        near[at, : len(row)] = [row_id for row_id, _ in row]
        scores[at, : len(row)] = [score for _, score in row]
    places, found = layout.places_of(near.ravel())
    counts = found.reshape(near.shape) & ~layout.placed[places].reshape(near.shape)
    scores = np.where(counts, scores, -np.inf)
    best = np.argsort(-scores, axis=1, kind="stable")[:, :NEIGHBOURS]
    points = layout.points[np.take_along_axis(places.reshape(near.shape), best, axis=1)]
    return points, _distances(np.take_along_axis(scores, best, axis=1))


def _nearest_anchors(
    vectors: Vectors, anchors: Ids, anchor_vectors: Vectors, layout: Layout
) -> tuple[Points, NDArray[np.float64]]:
    """As `_laid_out_neighbours`, among the anchors alone."""
    scores = (vectors @ anchor_vectors.T).astype(np.float64)
    best = np.argsort(-scores, axis=1, kind="stable")[:, np.arange(NEIGHBOURS) % len(anchors)]
    places, _ = layout.places_of(anchors)
    return layout.points[places[best]], _distances(np.take_along_axis(scores, best, axis=1))


def _distances(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.isinf(scores), np.inf, np.sqrt(np.maximum(0, 2 - 2 * np.where(np.isinf(scores), 0, scores))))
