"""Vectors in a Chroma server. A row is its id in decimal, the vector, and the list of folders that it lies in.

Chroma can't ask for the beginning of a text, but for an element of a list: a folder and all below it are the rows
whose `folders` contain it.
"""

import contextlib
import itertools
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Iterator, Sequence
from operator import methodcaller
from typing import Any, TypeVar
from urllib.parse import urlsplit

import numpy as np

from app.errors import IndexCorrupt, InvalidSettings, VectorStoreUnavailable
from app.settings import ChromaSettings
from app.types import Ids, Vectors
from app.vectors.base import Accuracy
from app.vectors.rows import Hits, ancestors, batches, check_rows, outermost, ranked, search_exactly

HNSW = {"space": "ip", "max_neighbors": 32, "ef_construction": 256, "ef_search": 256}

FOLDERS = "folders"
"""Every folder that a row lies in, from the root to its own."""

DIMENSION = "dimension"
SERVED = "collection"
"""Metadata of an alias, which in Chroma is an empty collection: the name of the collection that it stands for."""

PAGE_ROWS = 20_000

RETRIES = 3
RETRY_DELAY_S = 0.1
"""Before the first repetition; doubled before each next one."""

Result = TypeVar("Result")


class ChromaServer:
    """Collections of one Chroma server. Connects when first asked. Thread-safe."""

    engine = "chroma"

    def __init__(self, settings: ChromaSettings) -> None:
        """Raises InvalidSettings without chromadb, and for an address that is none."""
        self._connection = _Connection(settings)

    def create(self, collection: str, dimension: int) -> "ChromaStore":
        """A new, empty collection; one of that name is replaced. Raises VectorStoreUnavailable."""
        self.drop(collection)
        made = self._connection.call(
            lambda client: client.get_or_create_collection(
                collection, configuration={"hnsw": HNSW}, metadata={DIMENSION: dimension}, embedding_function=None
            )
        )
        return ChromaStore(self._connection, made, dimension)

    def open(self, collection: str, dimension: int) -> "ChromaStore":
        """Raises IndexCorrupt when there is no such collection or one of another dimension, VectorStoreUnavailable."""
        found = self._find(collection)
        if found is None:
            raise IndexCorrupt(
                f"{self._connection.place} has no collection {collection}, which the published index names. Set "
                "CHROMA_URL to the Chroma that holds it, or index again with --rebuild."
            )
        if (found.metadata or {}).get(DIMENSION) != dimension:
            raise IndexCorrupt(
                f"Collection {collection} in {self._connection.place} does not hold vectors of dimension {dimension}, "
                "as the published index does. Index again with --rebuild."
            )
        return ChromaStore(self._connection, found, dimension)

    def serve(self, collection: str, alias: str) -> None:
        """Let `alias` name the collection: its metadata says `collection`. Raises VectorStoreUnavailable."""
        self._connection.call(
            lambda client: client.get_or_create_collection(alias, embedding_function=None).modify(
                metadata={SERVED: collection}
            )
        )

    def drop(self, collection: str) -> None:
        """Delete it; an absent one is fine. Raises VectorStoreUnavailable."""
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

    def __init__(self, connection: "_Connection", collection: Any, dimension: int) -> None:
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
        """This store: what is changed in Chroma is changed for everybody."""
        return self

    def add(self, ids: Ids, vectors: Vectors, folders: Sequence[str]) -> None:
        """Insert rows, or replace those whose id is present; every search sees them afterwards.

        Raises ValueError on what doesn't fit or is no number, VectorStoreUnavailable.
        """
        check_rows(self.dimension, ids, vectors, folders)
        most = self._connection.call(methodcaller("get_max_batch_size"))
        for part in batches(len(ids), self.dimension, most):
            rows = {
                "ids": list(map(str, ids[part].tolist())),
                "embeddings": vectors[part].astype(np.float32, copy=False),
                "metadatas": [{FOLDERS: ancestors(folder)} for folder in folders[part]],
            }
            self._call(methodcaller("upsert", **rows))

    def remove(self, ids: Collection[int]) -> int:
        """Drop rows and return how many there were; absent ids are fine. Raises VectorStoreUnavailable."""
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
        for part in batches(len(wanted), self.dimension):
            names = list(map(str, wanted[part]))
            rows = self._call(methodcaller("get", ids=names, include=["embeddings"]))
            found.update(zip(map(int, rows["ids"]), rows["embeddings"], strict=True))
        return np.array([found[row] for row in wanted], np.float32).reshape(len(wanted), self.dimension)

    def search(self, queries: Vectors, k: int, *, folders: Collection[str] = ()) -> list[Hits]:
        """For each query (Q, D) the best `(id, score)`, best first: min(k, eligible) of them.

        Eligible is what lies in or below any of `folders`; no folders means everything.
        Raises VectorStoreUnavailable.
        """
        if not len(queries):
            return []
        condition = _is_below(outermost(folders))
        found = self._call(
            methodcaller("query", query_embeddings=queries, n_results=k, where=condition, include=["distances"])
        )
        pairs = zip(found["ids"], found["distances"], strict=True)
        hits = [ranked(map(int, ids), (1.0 - distance for distance in distances), k) for ids, distances in pairs]
        if any(len(each) < k for each in hits) and any(len(each) < min(k, self._count(condition)) for each in hits):
            # A graph whose eligible rows hang together badly ends early: then they are all scored.
            pages = self._pages(condition, ["embeddings"])
            rows = ((list(map(int, page["ids"])), np.array(page["embeddings"], np.float32)) for page in pages)
            return search_exactly(queries, k, rows)
        return hits

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


class _Connection:
    """A client that is made when first needed, with a timeout that chromadb does not know, and errors that are ours."""

    def __init__(self, settings: ChromaSettings) -> None:
        try:
            import chromadb  # noqa: F401
        except ImportError as error:
            raise InvalidSettings(
                "VECTOR_STORE=chroma needs chromadb. Install it with `pip install 'image2search[chroma]'`."
            ) from error
        parts = urlsplit(settings.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidSettings(f"CHROMA_URL={settings.url} is no address of a server. Use http://host:8001.")
        self.place = f"Chroma at {settings.url}"
        self._settings = settings
        self._client: Any = None
        self._lock = threading.Lock()

    def call(self, act: Callable[[Any], Result]) -> Result:
        """`act` on the client; repeated when the connection breaks, which no call minds being."""
        import httpx
        from chromadb.errors import ChromaError

        try:
            for attempt in range(RETRIES):
                try:
                    return act(self._connected())
                except httpx.TransportError as error:
                    if isinstance(error, httpx.TimeoutException) or attempt == RETRIES - 1:
                        raise
                    time.sleep(RETRY_DELAY_S * 2**attempt)
        except (httpx.HTTPError, ChromaError, OSError) as error:
            raise self._unavailable(error) from error
        raise AssertionError("the last attempt returns or raises")

    def _connected(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = self._connect()
            return self._client

    def _connect(self) -> Any:
        import chromadb
        from chromadb.config import Settings

        headers = {"Authorization": f"Bearer {self._settings.token}"} if self._settings.token else {}
        self._probe(headers)
        parts = urlsplit(self._settings.url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            client = chromadb.HttpClient(
                host=str(parts.hostname),
                port=port,
                ssl=parts.scheme == "https",
                headers=headers,
                settings=Settings(anonymized_telemetry=False),
            )
        except ValueError as error:  # chromadb's word for a server that does not answer or refuses
            raise OSError(str(error)) from error
        client._server._session.timeout = self._settings.timeout_s
        return client

    def _probe(self, headers: dict[str, str]) -> None:
        """Ask whether it is there: chromadb's own first questions have no timeout. Raises OSError."""
        address = f"{self._settings.url.rstrip('/')}/api/v2/heartbeat"
        request = urllib.request.Request(address, headers=headers)  # noqa: S310 - http(s) by `__init__`
        with urllib.request.urlopen(request, timeout=self._settings.timeout_s):  # noqa: S310
            pass

    def _unavailable(self, error: Exception) -> VectorStoreUnavailable:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        return VectorStoreUnavailable(
            f"{self.place} does not answer, or refuses: {reason or type(error).__name__}. Check that it runs (`chroma "
            "run`), and that CHROMA_URL and CHROMA_TOKEN are right."
        )


def _is_below(folders: Sequence[str]) -> dict[str, Any] | None:
    """The rows in or below any of the folders; all of them when there are none."""
    conditions: list[dict[str, Any]] = [{FOLDERS: {"$contains": folder}} for folder in folders]
    if len(conditions) > 1:
        return {"$or": conditions}
    return conditions[0] if conditions else None
