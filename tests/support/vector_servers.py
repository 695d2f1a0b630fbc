"""A vector server in memory, for tests of what stands above one."""

from collections.abc import Callable, Collection, Sequence

from app.errors import IndexCorrupt, VectorStoreUnavailable
from app.types import Ids, Vectors
from app.vectors.base import Accuracy
from app.vectors.faiss.store import FaissStore


class MemoryCollection:
    """One collection: all who open it see the same rows, changed in place."""

    def __init__(self, server: "MemoryServer", dimension: int) -> None:
        self.dimension = dimension
        self._server = server
        self._rows = FaissStore(dimension)
        self.asked: list[int] = []
        """The k of each search."""

    @property
    def accuracy(self) -> Accuracy:
        return Accuracy("hnsw", exact=False)

    def __len__(self) -> int:
        return len(self._rows)

    def ids(self) -> Ids:
        self._server.check()
        return self._rows.ids()

    def copy(self) -> "MemoryCollection":
        return self

    def add(self, ids: Ids, vectors: Vectors, folders: Sequence[str]) -> None:
        self._server.write()
        self._rows.add(ids, vectors, folders)

    def remove(self, ids: Collection[int]) -> int:
        self._server.write()
        return self._rows.remove(ids)

    def get(self, ids: Sequence[int]) -> Vectors:
        self._server.check()
        return self._rows.get(ids)

    def search(
        self, queries: Vectors, k: int, *, folders: Collection[str] = (), among: Ids | None = None
    ) -> list[list[tuple[int, float]]]:
        self._server.check()
        self.asked.append(k)
        return self._rows.search(queries, k, folders=folders, among=among)


class MemoryServer:
    """Collections and aliases by name. It can be down, or fail at a given write."""

    engine = "milvus"

    def __init__(self) -> None:
        self.held: dict[str, MemoryCollection] = {}
        self.aliases: dict[str, str] = {}
        self.is_down = False
        self.writes = 0
        self.fail_at = 0
        """The write that fails; 0 for none."""
        self.interfere: Callable[[], object] | None = None
        """Called once, just before the next write."""

    def check(self) -> None:
        if self.is_down:
            raise VectorStoreUnavailable("The vector server does not answer.")

    def write(self) -> None:
        interfere, self.interfere = self.interfere, None
        if interfere:
            interfere()
        self.writes += 1
        self.check()
        if self.writes == self.fail_at:
            raise VectorStoreUnavailable("The vector server went away.")

    def create(self, collection: str, dimension: int) -> MemoryCollection:
        self.write()
        self.held[collection] = MemoryCollection(self, dimension)
        return self.held[collection]

    def open(self, collection: str, dimension: int) -> MemoryCollection:
        self.check()
        held = self.held.get(collection)
        if held is None or held.dimension != dimension:
            raise IndexCorrupt(f"The server has no collection {collection}. Index again with --rebuild.")
        return held

    def serve(self, collection: str, alias: str) -> None:
        self.write()
        self.aliases[alias] = collection

    def drop(self, collection: str) -> None:
        self.write()
        self.held.pop(collection, None)

    def collections(self, prefix: str) -> list[str]:
        self.check()
        return [name for name in self.held if name.startswith(prefix)]
