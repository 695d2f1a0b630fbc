"""The protocols of vector stores and vector servers, and how near their answers are to those of exact search."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from app.types import Ids, Vectors

RowReader: TypeAlias = Callable[[Ids], Vectors]
"""Positions (N,) -> their vectors (N, D)."""

FEW_QUERIES: Final = 16
"""Up to this many queries in one search of FAISS have, to the last bit, the scores that each has alone. Of 20 or more,
FAISS may multiply whole matrices, which adds up in another order."""


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How a store searches, and what a comparison with exact search on a sample showed."""

    shape: str
    """`flat`, `ivf_sq8`, `ivf_rabitq`; for other engines, the name of their index."""
    exact: bool
    recall: float | None = None
    """Mean recall@10 against exact search, measured when the index was built; None where it was not measured."""
    queries: int = 0
    """Number of queries behind that mean."""
    probes: int = 0
    """IVF: lists that a search of everything scans."""
    filtered_probes: tuple[tuple[float, int], ...] = ()
    """IVF: (share of the rows of their lists that a filter lets through, lists to scan), by falling share."""
    refine: int = 1
    """RaBitQ: candidates that are scored again, for each hit asked for."""


EXACT = Accuracy("flat", exact=True)


class VectorStore(Protocol):
    """Unit vectors under int64 row ids, searched by cosine inside folders. Searching is thread-safe."""

    dimension: int

    @property
    def accuracy(self) -> Accuracy: ...

    def __len__(self) -> int: ...

    def ids(self) -> Ids:
        """(N,) row ids, in any order."""
        ...

    def copy(self) -> "VectorStore":
        """A store with the same rows, to be changed. FAISS copies; a store on a server returns itself."""
        ...

    def add(self, ids: Ids, vectors: Vectors, folders: Sequence[str]) -> None:
        """Insert rows, or replace those whose id is present. Raises ValueError as `rows.check_rows` does."""
        ...

    def remove(self, ids: Collection[int]) -> int:
        """Drop rows and return how many of them existed; absent ids are allowed."""
        ...

    def get(self, ids: Sequence[int]) -> Vectors:
        """(N, D) vectors of present ids, in that order. Raises KeyError."""
        ...

    def search(
        self, queries: Vectors, k: int, *, folders: Collection[str] = (), among: Ids | None = None
    ) -> list[list[tuple[int, float]]]:
        """For each query (Q, D) the best `(id, score)`, best first: min(k, eligible) of them.

        Rows in or below any of `folders` are eligible; without folders, all rows are. Of the rows `among` where they
        are given; some of those may be absent.
        """
        ...


class VectorServer(Protocol):
    """An engine outside the bucket (Milvus, Chroma) that holds the rows of each generation in a collection.

    Every call raises VectorStoreUnavailable when the server does not answer or refuses.
    """

    engine: str

    def create(self, collection: str, dimension: int) -> VectorStore:
        """A new, empty collection; an existing one of that name is replaced."""
        ...

    def open(self, collection: str, dimension: int) -> VectorStore:
        """Open a collection. Raises IndexCorrupt when it does not exist or has another dimension."""
        ...

    def serve(self, collection: str, alias: str) -> None:
        """Let `alias` name the collection from now on, for other programs that use the server."""
        ...

    def drop(self, collection: str) -> None:
        """Delete the collection; an absent one is allowed."""
        ...

    def collections(self, prefix: str) -> list[str]:
        """Names that begin with `prefix`."""
        ...
