"""Vectors in a Chroma server. A row is its id in decimal, the vector, and the list of folders that it lies in.

Chroma has no filter for the beginning of a text, but one for an element of a list: the rows in or below a folder are
those whose `folders` contain it.
"""

import contextlib
import itertools
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Iterator, Sequence
from operator import methodcaller
from typing import Any, TypeVar
from urllib.parse import urlsplit

import numpy as np
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential

from app.errors import InvalidSettings, first_line
from app.settings import ChromaSettings
from app.types import Ids, Vectors, ancestors_of
from app.vectors.base import Accuracy
from app.vectors.rows import Hits, batches, check_rows, outermost, ranked, search_exactly
from app.vectors.servers.connection import (
    LazyClient,
    check_collection,
    check_dimension,
    not_installed,
    translated,
)

HNSW = {"space": "ip", "max_neighbors": 32, "ef_construction": 256, "ef_search": 256}

FOLDERS = "folders"
"""Every folder that a row lies in, from the root to its own."""

DIMENSION = "dimension"
SERVED = "collection"
"""Metadata of an alias, which is an empty collection in Chroma: the name of the collection that it stands for."""

PAGE_ROWS = 20_000

ATTEMPTS = 3
RETRY_DELAY_S = 0.1
"""Before the second attempt; doubled before each next one."""

REMEDY = "Check that it runs (`chroma run`), and that CHROMA_URL and CHROMA_TOKEN are right."

Result = TypeVar("Result")


class ChromaServer:
    """Collections of one Chroma server. Connects when first asked. Thread-safe."""

    engine = "chroma"

    def __init__(self, settings: ChromaSettings) -> None:
        """Raises InvalidSettings as `ChromaConnection` does."""
        self._connection = ChromaConnection(settings)

    def create(self, collection: str, dimension: int) -> "ChromaStore":
        """A new, empty collection; an existing one of that name is replaced. Raises VectorStoreUnavailable."""
        self.drop(collection)
        made = self._connection.call(
            lambda client: client.get_or_create_collection(
                collection, configuration={"hnsw": HNSW}, metadata={DIMENSION: dimension}, embedding_function=None
            )
        )
        return ChromaStore(self._connection, made, dimension)

    def open(self, collection: str, dimension: int) -> "ChromaStore":
        """Open a collection. Raises IndexCorrupt when it is absent or of another dimension, VectorStoreUnavailable."""
        place, found = self._connection.place, self._find(collection)
        check_collection(place, "CHROMA_URL", collection, exists=found is not None)
        check_dimension(place, collection, (found.metadata or {}).get(DIMENSION), dimension)
        return ChromaStore(self._connection, found, dimension)

    def serve(self, collection: str, alias: str) -> None:
        """Let `alias` name the collection: its metadata says `collection`. Raises VectorStoreUnavailable."""
        self._connection.call(
            lambda client: client.get_or_create_collection(alias, embedding_function=None).modify(
                metadata={SERVED: collection}
            )
        )

    def drop(self, collection: str) -> None:
        """Delete the collection; an absent one is allowed. Raises VectorStoreUnavailable."""
        from chromadb.errors import NotFoundError

        def delete(client: Any) -> None:
            with contextlib.suppress(NotFoundError):
                client.delete_collection(collection)

        self._connection.call(delete)

    def collections(self, prefix: str) -> list[str]:
        """Names that begin with `prefix`, without aliases. Raises VectorStoreUnavailable."""
        found = list(itertools.chain.from_iterable(self._pages()))
        return sorted(
            each.name for each in found if each.name.startswith(prefix) and SERVED not in (each.metadata or {})
        )

    def _pages(self, size: int = 500) -> Iterator[list[Any]]:
        for start in itertools.count(0, size):
            page = self._connection.call(methodcaller("list_collections", size, start))
            yield page
            if len(page) < size:
                return

    def _find(self, collection: str) -> Any:
        from chromadb.errors import NotFoundError

        def get(client: Any) -> Any:
            try:
                return client.get_collection(collection, embedding_function=None)
            except NotFoundError:
                return None

        return self._connection.call(get)


class ChromaStore:
    """One collection, searched by Chroma's HNSW. Thread-safe, and shared by its copies."""

    accuracy = Accuracy("hnsw", exact=False)

    def __init__(self, connection: "ChromaConnection", collection: Any, dimension: int) -> None:
        self.dimension = dimension
        self._connection = connection
        self._collection = collection

    def __len__(self) -> int:
        return int(self._call(methodcaller("count")))

    def ids(self) -> Ids:
        """(N,) row ids."""
        found = [row for page in self._pages(None, []) for row in page["ids"]]
        return np.array(found, np.int64) if found else np.empty(0, np.int64)

    def copy(self) -> "ChromaStore":
        """This store itself: Chroma has one state of a collection for all clients."""
        return self

    def add(self, ids: Ids, vectors: Vectors, folders: Sequence[str]) -> None:
        """Insert rows, or replace those whose id is present; every search sees them afterwards.

        Raises ValueError as `check_rows` does, VectorStoreUnavailable.
        """
        check_rows(self.dimension, ids, vectors, folders)
        most = self._connection.call(methodcaller("get_max_batch_size"))
        for part in batches(len(ids), self.dimension, most):
            rows = {
                "ids": list(map(str, ids[part].tolist())),
                "embeddings": vectors[part].astype(np.float32, copy=False),
                "metadatas": [{FOLDERS: _every_folder_of(folder)} for folder in folders[part]],
            }
            self._call(methodcaller("upsert", **rows))

    def remove(self, ids: Collection[int]) -> int:
        """Drop rows and return how many of them existed; absent ids are allowed. Raises VectorStoreUnavailable."""
        wanted, removed = [str(int(row)) for row in ids], 0
        for part in batches(len(wanted), 1):
            names = wanted[part]
            present = self._call(methodcaller("get", ids=names, include=[]))["ids"]
            if present:
                self._call(methodcaller("delete", ids=present))
                removed += len(present)
        return removed

    def get(self, ids: Sequence[int]) -> Vectors:
        """(N, D) vectors of present ids, in that order. Raises KeyError, VectorStoreUnavailable."""
        wanted = [int(row) for row in ids]
        found: dict[int, Vectors] = {}
        for rows, vectors in self._some(wanted, None):
            found.update(zip(rows, vectors, strict=True))
        return np.array([found[row] for row in wanted], np.float32).reshape(len(wanted), self.dimension)

    def search(
        self, queries: Vectors, k: int, *, folders: Collection[str] = (), among: Ids | None = None
    ) -> list[Hits]:
        """For each query (Q, D) the best `(id, score)`, best first: min(k, eligible) of them.

        Rows in or below any of `folders` are eligible; without folders, all rows are. The rows `among` are read and
        scored here, so that none is missed. Raises VectorStoreUnavailable.
        """
        if not len(queries):
            return []
        condition = _is_below(outermost(folders))
        if among is not None:
            return search_exactly(queries, k, self._some(among.tolist(), condition))
        found = self._call(
            methodcaller("query", query_embeddings=queries, n_results=k, where=condition, include=["distances"])
        )
        pairs = zip(found["ids"], found["distances"], strict=True)
        hits = [ranked(map(int, ids), (1.0 - distance for distance in distances), k) for ids, distances in pairs]
        if any(len(each) < k for each in hits) and any(len(each) < min(k, self._count(condition)) for each in hits):
            # HNSW ends early when few links join the eligible rows. Then all of them are scored.
            pages = self._pages(condition, ["embeddings"])
            rows = ((list(map(int, page["ids"])), np.array(page["embeddings"], np.float32)) for page in pages)
            return search_exactly(queries, k, rows)
        return hits

    def _some(self, wanted: Sequence[int], condition: dict[str, Any] | None) -> Iterator[tuple[list[int], Vectors]]:
        """Those of the wanted rows that are there and fit, in batches of ids and (N, D) vectors."""
        for part in batches(len(wanted), self.dimension):
            names = list(map(str, wanted[part]))
            rows = self._call(methodcaller("get", ids=names, where=condition, include=["embeddings"]))
            yield list(map(int, rows["ids"])), np.array(rows["embeddings"], np.float32).reshape(-1, self.dimension)

    def _count(self, condition: dict[str, Any] | None) -> int:
        return sum(len(page["ids"]) for page in self._pages(condition, [])) if condition else len(self)

    def _pages(self, condition: dict[str, Any] | None, include: list[str]) -> Iterator[dict[str, Any]]:
        size = PAGE_ROWS // 10 if include else PAGE_ROWS
        for start in itertools.count(0, size):
            page = self._call(methodcaller("get", where=condition, limit=size, offset=start, include=include))
            if page["ids"]:
                yield page
            if len(page["ids"]) < size:
                return

    def _call(self, act: Callable[[Any], Result]) -> Result:
        return self._connection.call(lambda _: act(self._collection))


class ChromaConnection:
    """A client with a timeout, which chromadb does not know, that raises our errors."""

    def __init__(self, settings: ChromaSettings) -> None:
        """Raises InvalidSettings when chromadb is not installed or the address is not an http(s) one."""
        try:
            import chromadb  # noqa: F401
        except ImportError as error:
            raise not_installed("VECTOR_STORE=chroma", "chromadb", "chroma") from error
        parts = urlsplit(settings.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidSettings(f"CHROMA_URL={settings.url} is no address of a server. Use http://host:8001.")
        self.place = f"Chroma at {settings.url}"
        self._settings = settings
        self._client = LazyClient(self._connect)

    def call(self, act: Callable[[Any], Result]) -> Result:
        """Call `act` with the client, and again when the connection breaks: repeating a call does no harm.

        Raises VectorStoreUnavailable.
        """
        import httpx
        from chromadb.errors import ChromaError

        with translated(self.place, (httpx.HTTPError, ChromaError, OSError), REMEDY, _reason):
            return Retrying(
                stop=stop_after_attempt(ATTEMPTS),
                wait=wait_exponential(multiplier=RETRY_DELAY_S),
                retry=retry_if_exception(_is_broken_connection),
                reraise=True,
            )(lambda: act(self._client.at(self._settings.url)))

    def _connect(self, url: str) -> Any:
        import chromadb
        from chromadb.config import Settings

        headers = {"Authorization": f"Bearer {self._settings.token}"} if self._settings.token else {}
        self._probe(url, headers)
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            client = chromadb.HttpClient(
                host=str(parts.hostname),
                port=port,
                ssl=parts.scheme == "https",
                headers=headers,
                settings=Settings(anonymized_telemetry=False),
            )
        except ValueError as error:  # chromadb raises it for a server that does not answer or refuses
            raise OSError(str(error)) from error
        client._server._session.timeout = self._settings.timeout_s
        return client

    def _probe(self, url: str, headers: dict[str, str]) -> None:
        """Ask whether the server is there: chromadb's own first requests have no timeout. Raises OSError."""
        request = urllib.request.Request(f"{url.rstrip('/')}/api/v2/heartbeat", headers=headers)  # noqa: S310 - http(s) by `__init__`
        with urllib.request.urlopen(request, timeout=self._settings.timeout_s):  # noqa: S310
            pass


def _is_broken_connection(error: BaseException) -> bool:
    """Whether to try again. Not after a timeout: the caller has waited long enough."""
    import httpx

    return isinstance(error, httpx.TransportError) and not isinstance(error, httpx.TimeoutException)


def _reason(error: BaseException) -> str:
    return str(error.reason) if isinstance(error, urllib.error.URLError) else first_line(error)


def _every_folder_of(folder: str) -> list[str]:
    """Every folder that a row lies in, from the root to its own: `["", "a", "a/b"]`."""
    return ["", *ancestors_of(folder), folder] if folder else [""]


def _is_below(folders: Sequence[str]) -> dict[str, Any] | None:
    """The condition for rows in or below any of the folders; None for all rows."""
    conditions: list[dict[str, Any]] = [{FOLDERS: {"$contains": folder}} for folder in folders]
    if len(conditions) > 1:
        return {"$or": conditions}
    return conditions[0] if conditions else None
