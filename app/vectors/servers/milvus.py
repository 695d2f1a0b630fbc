"""Vectors in Milvus: a standalone or distributed server by address, or Milvus Lite in a folder.

A row is `id` (int64), `vector` and `folder`. A folder and all below it are two conditions on `folder`: equality, and a
range of strings, which unlike `like` is exact for every character. What was written is waited for when it is written,
which takes Milvus about 0.2 s; searches then need not wait for anything but this client's own writes (`Session`).
"""

import itertools
import logging
import os
import threading
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from app.errors import IndexCorrupt, InvalidSettings, VectorStoreUnavailable
from app.settings import MilvusSettings
from app.types import Ids, Vectors
from app.vectors.base import Accuracy
from app.vectors.rows import BATCH_ROWS, Hits, batches, check_rows, outermost, ranked, search_exactly
from app.vectors.servers import milvus_lite

MAX_K = 16_384
"""Most hits that Milvus returns."""

QUERIES = 16
"""Searched in one request, so that its answer comes within the timeout."""

MAX_FOLDER_BYTES = 4096

HNSW = {"M": 32, "efConstruction": 256}

EXACT_ROWS = 1000
"""Folders of up to this many rows are fetched and scored here: HNSW with such a filter, and what stands in for it while
Milvus builds it, finds too few of them, whatever `ef` says (seen with 2.3.5: 2 of 10)."""

ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r"})

LATEST = "Strong"
"""Consistency of reads that must see every write of everybody."""

OWN_WRITES = "Session"
"""Consistency of reads that must see the writes of this client."""


class MilvusServer:
    """Collections of one Milvus. Connects when first asked, and again after the connection was lost. Thread-safe."""

    engine = "milvus"

    def __init__(self, settings: MilvusSettings, recall: float) -> None:
        """`recall` is what searches are tuned to find of the true nearest. Raises InvalidSettings without pymilvus."""
        self._connection = _Connection(settings)
        self._recall = recall

    def create(self, collection: str, dimension: int) -> "MilvusStore":
        """A new, empty collection; one of that name is replaced. Raises VectorStoreUnavailable."""
        from pymilvus import DataType, MilvusClient

        self.drop(collection)
        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dimension)
        schema.add_field("folder", DataType.VARCHAR, max_length=MAX_FOLDER_BYTES)
        kind = {"index_type": "FLAT"} if self._connection.is_lite else {"index_type": "HNSW", "params": HNSW}
        index = MilvusClient.prepare_index_params("vector", metric_type="IP", **kind)
        self._connection.call(
            "create_collection", collection, schema=schema, index_params=index, consistency_level=OWN_WRITES
        )
        return MilvusStore(self._connection, collection, dimension, self._recall)

    def open(self, collection: str, dimension: int) -> "MilvusStore":
        """Raises IndexCorrupt when there is no such collection or one of another dimension, VectorStoreUnavailable."""
        if not self._connection.call("has_collection", collection):
            raise IndexCorrupt(
                f"{self._connection.place} has no collection {collection}, which the published index names. Set "
                "MILVUS_URI to the Milvus that holds it, or index again with --rebuild."
            )
        fields = self._connection.call("describe_collection", collection)["fields"]
        found = next((field["params"]["dim"] for field in fields if field["name"] == "vector"), None)
        if found != dimension:
            raise IndexCorrupt(
                f"Collection {collection} in {self._connection.place} holds vectors of dimension {found}, the "
                f"published index ones of {dimension}. Index again with --rebuild."
            )
        self._connection.call("load_collection", collection)
        return MilvusStore(self._connection, collection, dimension, self._recall)

    def serve(self, collection: str, alias: str) -> None:
        """Let `alias` name the collection, and write out what was filled into it. Raises VectorStoreUnavailable."""
        if self._connection.call("has_collection", alias):
            self._connection.call("alter_alias", collection, alias)
        else:
            self._connection.call("create_alias", collection, alias)
        self._connection.call("flush", collection)

    def drop(self, collection: str) -> None:
        """Delete it with the aliases that name it; an absent one is fine. Raises VectorStoreUnavailable."""
        if self._connection.call("has_collection", collection):
            for alias in self._connection.call("list_aliases", collection)["aliases"]:
                self._connection.call("drop_alias", alias)
            self._connection.call("drop_collection", collection)

    def collections(self, prefix: str) -> list[str]:
        """Names that begin with `prefix`, without aliases. Raises VectorStoreUnavailable."""
        return sorted(name for name in self._connection.call("list_collections") if name.startswith(prefix))


class MilvusStore:
    """One collection: cosine search by HNSW, by exact scan in Milvus Lite. Thread-safe, and shared by its copies."""

    def __init__(self, connection: "_Connection", collection: str, dimension: int, recall: float) -> None:
        self.dimension = dimension
        self.accuracy = Accuracy("flat", exact=True) if connection.is_lite else Accuracy("hnsw", exact=False)
        self._connection = connection
        self._collection = collection
        self._recall = recall

    def __len__(self) -> int:
        return self._count("", LATEST)

    def ids(self) -> Ids:
        """(N,) row ids, by rising id."""
        found = [row["id"] for page in self._pages("", ["id"]) for row in page]
        return np.array(found, np.int64)

    def copy(self) -> "MilvusStore":
        """This store: what is changed in Milvus is changed for everybody."""
        return self

    def add(self, ids: Ids, vectors: Vectors, folders: Sequence[str]) -> None:
        """Insert rows, or replace those whose id is present; every search sees them afterwards.

        Raises ValueError on what doesn't fit or is no number, VectorStoreUnavailable.
        """
        check_rows(self.dimension, ids, vectors, folders)
        for part in batches(len(ids), self.dimension):
            values = zip(ids[part].tolist(), vectors[part].astype(np.float32, copy=False), folders[part], strict=True)
            rows = [{"id": row, "vector": vector, "folder": folder} for row, vector, folder in values]
            self._call("upsert", rows)
        self._wait_for_writes()

    def remove(self, ids: Collection[int]) -> int:
        """Drop rows and return how many there were; absent ids are fine. Raises VectorStoreUnavailable."""
        wanted, removed = sorted(map(int, ids)), 0
        for part in batches(len(wanted), 1):
            present = [row["id"] for row in self._query(_is_one_of(wanted[part]), ["id"], LATEST)]
            if present:
                self._call("delete", ids=present)
                removed += len(present)
        if removed:
            self._wait_for_writes()
        return removed

    def get(self, ids: Sequence[int]) -> Vectors:
        """(N, D) vectors of present ids, in that order. Raises KeyError, VectorStoreUnavailable."""
        wanted = [int(row) for row in ids]
        found: dict[int, Vectors] = {}
        for part in batches(len(wanted), self.dimension):
            for row in self._query(_is_one_of(wanted[part]), ["id", "vector"], OWN_WRITES):
                found[row["id"]] = np.array(row["vector"], np.float32)
        return np.array([found[row] for row in wanted], np.float32).reshape(len(wanted), self.dimension)

    def search(self, queries: Vectors, k: int, *, folders: Collection[str] = ()) -> list[Hits]:
        """For each query (Q, D) the best `(id, score)`, best first: min(k, eligible) of them, at most MAX_K.

        Eligible is what lies in or below any of `folders`; no folders means everything.
        Raises VectorStoreUnavailable.
        """
        k = min(k, MAX_K)
        condition = _is_below(outermost(folders))
        eligible = self._count(condition, OWN_WRITES) if condition and not self.accuracy.exact else None
        if eligible == 0:
            return [[] for _ in queries]
        if eligible is not None and eligible <= EXACT_ROWS:
            return search_exactly(queries, k, [_batch(self._query(condition, ["id", "vector"], OWN_WRITES))])
        found = itertools.chain.from_iterable(
            self._call(
                "search",
                data=list(queries[part].astype(np.float32, copy=False)),
                limit=k,
                filter=condition,
                search_params={"metric_type": "IP", "params": {"ef": max(_ef(self._recall), 2 * k)}},
                consistency_level=OWN_WRITES,
            )
            for part in batches(len(queries), self.dimension, QUERIES)
        )
        hits = [ranked([hit["id"] for hit in each], [hit["distance"] for hit in each], k) for each in found]
        if eligible is not None and any(len(each) < min(k, eligible) for each in hits):
            return search_exactly(queries, k, self._vectors(condition))
        return hits

    def _vectors(self, condition: str) -> Iterator[tuple[list[int], Vectors]]:
        for page in self._pages(condition, ["id", "vector"]):
            yield _batch(page)

    def _pages(self, condition: str, fields: list[str]) -> Iterator[list[dict[str, Any]]]:
        """All rows that fulfil the condition, by rising id."""
        if self._connection.is_lite:  # knows no cursors, and no limit
            yield self._query(condition or "id >= 0 or id < 0", fields, LATEST)
            return
        size = BATCH_ROWS if "vector" in fields else MAX_K
        pages = self._call(
            "query_iterator", batch_size=size, filter=condition, output_fields=fields, consistency_level=LATEST
        )
        with self._connection.translated():
            while page := pages.next():
                yield page
            pages.close()

    def _query(self, condition: str, fields: list[str], consistency: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self._call(
            "query", filter=condition, output_fields=fields, consistency_level=consistency
        )
        return rows

    def _count(self, condition: str, consistency: str) -> int:
        return int(self._query(condition, ["count(*)"], consistency)[0]["count(*)"])

    def _wait_for_writes(self) -> None:
        """Until every search sees them, also those of other clients, which don't know that they have to wait."""
        if not self._connection.is_lite:
            self._count("", LATEST)

    def _call(self, method: str, *args: Any, **options: Any) -> Any:
        return self._connection.call(method, self._collection, *args, **options)


class _Connection:
    """A client that is made when first needed, and whose errors are ours."""

    def __init__(self, settings: MilvusSettings) -> None:
        try:
            _import_pymilvus()
        except ImportError as error:
            raise InvalidSettings(
                "VECTOR_STORE=milvus needs pymilvus. Install it with `pip install 'image2search[milvus]'`."
            ) from error
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)  # it logs each error that it raises, with traceback
        self.is_lite = "://" not in settings.uri
        self.place = f"Milvus Lite in {settings.uri}" if self.is_lite else f"Milvus at {settings.uri}"
        self._settings = settings
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()

    def call(self, method: str, *args: Any, **options: Any) -> Any:
        """Call the client's method; pymilvus repeats within the timeout what fails for want of a connection."""
        with self.translated():
            return getattr(self._client(), method)(*args, timeout=self._settings.timeout_s, **options)

    def translated(self) -> "_Translated":
        return _Translated(self.place)

    def _client(self) -> Any:
        from pymilvus import MilvusClient

        address = milvus_lite.address_of(Path(self._settings.uri)) if self.is_lite else self._settings.uri
        with self._lock:
            if address not in self._clients:
                self._clients = {
                    address: MilvusClient(
                        address,
                        token=self._settings.token,
                        db_name=self._settings.database,
                        timeout=self._settings.timeout_s,
                    )
                }
            return self._clients[address]


class _Translated:
    """Lets the errors of Milvus and of its transport out as VectorStoreUnavailable."""

    def __init__(self, place: str) -> None:
        self._place = place

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        import grpc
        from pymilvus.exceptions import MilvusException

        if isinstance(error, (MilvusException, grpc.RpcError, grpc.FutureTimeoutError)):
            raise VectorStoreUnavailable(
                f"{self._place} does not answer, or refuses: {_reason(error)}. Check that it runs, and that "
                "MILVUS_URI, MILVUS_TOKEN and MILVUS_DATABASE are right."
            ) from error


def _import_pymilvus() -> None:
    """With MILVUS_URI empty meanwhile: pymilvus reads it too, for a default that we don't use, and dies of a folder."""
    uri = os.environ.get("MILVUS_URI")
    os.environ["MILVUS_URI"] = ""
    try:
        import pymilvus  # noqa: F401
    finally:
        del os.environ["MILVUS_URI"]
        if uri is not None:
            os.environ["MILVUS_URI"] = uri


def _reason(error: BaseException) -> str:
    said = getattr(error, "message", None) or (error.details() if hasattr(error, "details") else str(error))
    return str(said or type(error).__name__).rstrip(".")


def _batch(rows: Sequence[dict[str, Any]]) -> tuple[list[int], Vectors]:
    """Ids (N,) and vectors (N, D) of at least one row."""
    return [row["id"] for row in rows], np.array([row["vector"] for row in rows], np.float32)


def _ef(recall: float) -> int:
    """Candidates that HNSW keeps: measured on clustered vectors, folders that follow the clusters included."""
    return 256 if recall <= 0.95 else 512 if recall <= 0.98 else 1024


def _is_one_of(ids: Sequence[int]) -> str:
    return f"id in [{','.join(map(str, ids))}]"


def _is_below(folders: Sequence[str]) -> str:
    """The rows in or below any of the folders; all of them when there are none.

    What is below `a/b` lies between `a/b/` and `a/b0`, as `0` follows `/` in every order of strings.
    """
    if not folders:
        return ""
    ranges = [f"(folder >= {_quoted(folder + '/')} and folder < {_quoted(folder + '0')})" for folder in folders]
    return f"folder in [{','.join(map(_quoted, folders))}] or {_any(ranges)}"


def _any(conditions: Sequence[str]) -> str:
    """Their disjunction as a balanced tree: Milvus refuses a chain of some dozens for its depth."""
    if len(conditions) == 1:
        return conditions[0]
    middle = len(conditions) // 2
    return f"({_any(conditions[:middle])} or {_any(conditions[middle:])})"


def _quoted(text: str) -> str:
    return f'"{text.translate(ESCAPES)}"'
