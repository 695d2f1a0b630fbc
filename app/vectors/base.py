"""What searches vectors, as everybody above sees it, and how near its answers come to exact ones."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from app.types import Ids, Vectors

Read: TypeAlias = Callable[[Ids], Vectors]
"""Positions (N,) -> their vectors (N, D)."""


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How a store searches, and what a comparison with exact search on a sample showed."""

    shape: str
    """`flat`, `ivf_sq8`, `ivf_rabitq`; for other engines, the name of their index."""
    exact: bool
    recall: float | None = None
    """Mean recall@10 against exact search, measured when the index was built; None for what was not measured."""
    queries: int = 0
    """How many queries that mean is of."""
    probes: int = 0
    """IVF: lists that a search of everything scans."""
    filtered_probes: tuple[tuple[float, int], ...] = ()
    """IVF: (share of the rows of their lists that a filter lets through, lists to scan), by falling share."""
    refine: int = 1
    """RaBitQ: so many candidates for each hit asked for are scored again."""


EXACT = Accuracy("flat", exact=True)


class VectorStore(Protocol):
    """Unit vectors under int64 row ids, searched by cosine inside folders. Searching is thread-safe."""

    dimension: int

    @property
    def accuracy(self) -> Accuracy: ...

    def __len__(self) -> int: ...

    def ids(self) -> Ids:
        """(N,) row ids, in no order that means anything."""
        ...

    def copy(self) -> "VectorStore":
        """A store with the same rows to change: an embedded one leaves this one as it is, a remote one is this one."""
        ...

    def add(self, ids: Ids, vectors: Vectors, folders: Sequence[str]) -> None:
        """Insert rows, or replace those whose id is present. Raises ValueError on what doesn't fit or is no number."""
        ...

    def remove(self, ids: Collection[int]) -> int:
        """Drop rows and return how many there were; absent ids are fine."""
        ...

    def get(self, ids: Sequence[int]) -> Vectors:
        """(N, D) vectors of present ids, in that order. Raises KeyError."""
        ...

    def search(self, queries: Vectors, k: int, *, folders: Collection[str] = ()) -> list[list[tuple[int, float]]]:
        """For each query (Q, D) the best `(id, score)`, best first: min(k, eligible) of them.

        Eligible is what lies in or below any of `folders`; no folders means everything.
        """
        ...


class VectorServer(Protocol):
    """An engine outside the bucket (Milvus, Chroma) that holds the rows of each generation in a collection.

    Every call raises VectorStoreUnavailable when the server does not answer or refuses.
    """

    engine: str

    def create(self, collection: str, dimension: int) -> VectorStore:
        """A new, empty collection; one of that name is replaced."""
        ...

    def open(self, collection: str, dimension: int) -> VectorStore:
        """Raises IndexCorrupt when there is no such collection, or one of another dimension."""
        ...

    def serve(self, collection: str, alias: str) -> None:
        """Let `alias` name the collection from now on, for people and programs that ask the server themselves."""
        ...

    def drop(self, collection: str) -> None:
        """Delete it; an absent one is fine."""
        ...

    def collections(self, prefix: str) -> list[str]:
        """Names that begin with `prefix`."""
        ...
