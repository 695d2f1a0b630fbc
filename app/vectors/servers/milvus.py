"""Vectors in Milvus: a standalone or distributed server by address, or Milvus Lite in a folder.

A row is `id` (int64), `vector` and `folder`. A folder and all below it are two conditions on `folder`: equality, and a
range of strings, which unlike `like` is exact for every character. Writing waits until all searches see the rows, which
takes Milvus about 0.2 s. So a search only has to wait for this client's own writes (`Session`).
"""

import itertools
import logging
import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from app.errors import first_line
from app.settings import MilvusSettings
from app.types import Ids, Vectors
from app.vectors.base import Accuracy
from app.vectors.rows import BATCH_ROWS, Hits, batches, check_rows, outermost, ranked, search_exactly
from app.vectors.servers import milvus_lite
from app.vectors.servers.connection import (
    LazyClient,
    check_collection,
    check_dimension,
    not_installed,
    translated,
)

MAX_K = 16_384
"""Most hits that Milvus returns."""

QUERIES = 16
"""Queries in one request, few enough that the answer comes within the timeout."""

MAX_FOLDER_BYTES = 4096

HNSW = {"M": 32, "efConstruction": 256}

EXACT_ROWS = 1000
"""Folders of up to this many rows are fetched and scored here. With so strict a filter Milvus finds too few rows, with
HNSW as well as before HNSW is built, and `ef` does not help (seen with 2.3.5: 2 of 10)."""

ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r"})

LATEST = "Strong"
"""Consistency of reads that must see the writes of all clients."""

OWN_WRITES = "Session"
"""Consistency of reads that must see the writes of this client."""

REMEDY = "Check that it runs, and that MILVUS_URI, MILVUS_TOKEN and MILVUS_DATABASE are right."


class MilvusServer:
    """Collections of one Milvus. Connects when first asked, and again after the connection was lost. Thread-safe."""

    engine = "milvus"

    def __init__(self, settings: MilvusSettings, recall: float) -> None:
        """`recall` is the share of the true nearest that searches should find.

        Raises InvalidSettings as `MilvusConnection` does.
        """
        self._connection = MilvusConnection(settings)
        self._recall = recall

    def create(self, collection: str, dimension: int) -> "MilvusStore":
        """A new, empty collection; an existing one of that name is replaced. Raises VectorStoreUnavailable."""
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
        """Open a collection. Raises IndexCorrupt when it is absent or of another dimension, VectorStoreUnavailable."""
        place, exists = self._connection.place, self._connection.call("has_collection", collection)
        check_collection(place, "MILVUS_URI", collection, exists=exists)
        fields = self._connection.call("describe_collection", collection)["fields"]
        found = next((field["params"]["dim"] for field in fields if field["name"] == "vector"), None)
        check_dimension(place, collection, found, dimension)
        self._connection.call("load_collection", collection)
        return MilvusStore(self._connection, collection, dimension, self._recall)

    def serve(self, collection: str, alias: str) -> None:
        """Let `alias` name the collection, and flush the collection to disk. Raises VectorStoreUnavailable."""
        if self._connection.call("has_collection", alias):
            self._connection.call("alter_alias", collection, alias)
        else:
            self._connection.call("create_alias", collection, alias)
        self._connection.call("flush", collection)

    def drop(self, collection: str) -> None:
        """Delete the collection and its aliases; an absent one is allowed. Raises VectorStoreUnavailable."""
        if self._connection.call("has_collection", collection):
            for alias in self._connection.call("list_aliases", collection)["aliases"]:
                self._connection.call("drop_alias", alias)
            self._connection.call("drop_collection", collection)

    def collections(self, prefix: str) -> list[str]:
        """Names that begin with `prefix`, without aliases. Raises VectorStoreUnavailable."""
        return sorted(name for name in self._connection.call("list_collections") if name.startswith(prefix))


class MilvusStore:
    """One collection: cosine search by HNSW, by exact scan in Milvus Lite. Thread-safe, and shared by its copies."""

    def __init__(self, connection: "MilvusConnection", collection: str, dimension: int, recall: float) -> None:
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
        """This store itself: Milvus has one state of a collection for all clients."""
        return self

    def add(self, ids: Ids, vectors: Vectors, folders: Sequence[str]) -> None:
        """Insert rows, or replace those whose id is present; every search sees them afterwards.

        Raises ValueError as `check_rows` does, VectorStoreUnavailable.
        """
        check_rows(self.dimension, ids, vectors, folders)
        for part in batches(len(ids), self.dimension):
            values = zip(ids[part].tolist(), vectors[part].astype(np.float32, copy=False), folders[part], strict=True)
            rows = [{"id": row, "vector": vector, "folder": folder} for row, vector, folder in values]
            self._call("upsert", rows)
        self._wait_for_writes()

    def remove(self, ids: Collection[int]) -> int:
        """Drop rows and return how many of them existed; absent ids are allowed. Raises VectorStoreUnavailable."""
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
        for rows, vectors in self._some(wanted, ""):
            found.update(zip(rows, vectors, strict=True))
        return np.array([found[row] for row in wanted], np.float32).reshape(len(wanted), self.dimension)

    def search(
        self, queries: Vectors, k: int, *, folders: Collection[str] = (), among: Ids | None = None
    ) -> list[Hits]:
        """For each query (Q, D) the best `(id, score)`, best first: min(k, eligible) of them, at most MAX_K.

        Rows in or below any of `folders` are eligible; without folders, all rows are. The rows `among` are read and
        scored here, so that none is missed. Raises VectorStoreUnavailable.
        """
        k = min(k, MAX_K)
        condition = _is_below(outermost(folders))
        if among is not None:
            return search_exactly(queries, k, self._some(among.tolist(), condition))
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

    def _some(self, wanted: Sequence[int], condition: str) -> Iterator[tuple[list[int], Vectors]]:
        """Those of the wanted rows that are there and fit, in batches of ids and (N, D) vectors."""
        for part in batches(len(wanted), self.dimension):
            is_wanted = " and ".join(f"({each})" for each in (_is_one_of(wanted[part]), condition) if each)
            if rows := self._query(is_wanted, ["id", "vector"], OWN_WRITES):
                yield _batch(rows)

    def _vectors(self, condition: str) -> Iterator[tuple[list[int], Vectors]]:
        for page in self._pages(condition, ["id", "vector"]):
            yield _batch(page)

    def _pages(self, condition: str, fields: list[str]) -> Iterator[list[dict[str, Any]]]:
        """All rows that fulfil the condition, by rising id."""
        if self._connection.is_lite:  # has neither cursors nor a limit
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
        """Wait until every search sees the writes, also searches of other clients, which don't wait themselves."""
        if not self._connection.is_lite:
            self._count("", LATEST)

    def _call(self, method: str, *args: Any, **options: Any) -> Any:
        return self._connection.call(method, self._collection, *args, **options)


class MilvusConnection:
    """A client that raises our errors."""

    def __init__(self, settings: MilvusSettings) -> None:
        """Raises InvalidSettings when pymilvus is not installed."""
        try:
            _import_pymilvus()
        except ImportError as error:
            raise not_installed("VECTOR_STORE=milvus", "pymilvus", "milvus") from error
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)  # it logs each error that it raises, with traceback
        self.is_lite = "://" not in settings.uri
        self.place = f"Milvus Lite in {settings.uri}" if self.is_lite else f"Milvus at {settings.uri}"
        self._settings = settings
        self._client = LazyClient(self._connect)

    def call(self, method: str, *args: Any, **options: Any) -> Any:
        """Call the client's method. After a lost connection pymilvus itself tries again, within the timeout.

        Raises VectorStoreUnavailable.
        """
        with self.translated():
            uri = self._settings.uri
            address = milvus_lite.address_of(Path(uri)) if self.is_lite else uri
            return getattr(self._client.at(address), method)(*args, timeout=self._settings.timeout_s, **options)

    def translated(self) -> AbstractContextManager[None]:
        """Raise the errors of Milvus and of its transport as VectorStoreUnavailable."""
        import grpc
        from pymilvus.exceptions import MilvusException

        return translated(self.place, (MilvusException, grpc.RpcError, grpc.FutureTimeoutError), REMEDY, _reason)

    def _connect(self, address: str) -> Any:
        from pymilvus import MilvusClient

        settings = self._settings
        return MilvusClient(address, token=settings.token, db_name=settings.database, timeout=settings.timeout_s)


def _import_pymilvus() -> None:
    """Import with an empty MILVUS_URI: pymilvus reads it for a default that we don't use, and fails for a folder."""
    uri = os.environ.get("MILVUS_URI")
    os.environ["MILVUS_URI"] = ""
    try:
        import pymilvus  # noqa: F401
    finally:
        del os.environ["MILVUS_URI"]
        if uri is not None:
            os.environ["MILVUS_URI"] = uri


def _reason(error: BaseException) -> str:
    said = getattr(error, "message", None) or (error.details() if hasattr(error, "details") else "")
    return str(said or first_line(error)).rstrip(".")


def _batch(rows: Sequence[dict[str, Any]]) -> tuple[list[int], Vectors]:
    """Ids (N,) and vectors (N, D) of at least one row."""
    return [row["id"] for row in rows], np.array([row["vector"] for row in rows], np.float32)


def _ef(recall: float) -> int:
    """Candidates that HNSW keeps: measured on clustered vectors, with folders that follow the clusters."""
    return 256 if recall <= 0.95 else 512 if recall <= 0.98 else 1024


def _is_one_of(ids: Sequence[int]) -> str:
    return f"id in [{','.join(map(str, ids))}]"


def _is_below(folders: Sequence[str]) -> str:
    """The condition for rows in or below any of the folders; empty for all rows.

    Every folder below `a/b` lies between `a/b/` and `a/b0`, as `0` follows `/` in every order of strings.
    """
    if not folders:
        return ""
    ranges = [f"(folder >= {_quoted(folder + '/')} and folder < {_quoted(folder + '0')})" for folder in folders]
    return f"folder in [{','.join(map(_quoted, folders))}] or {_any(ranges)}"


def _any(conditions: Sequence[str]) -> str:
    """One `or` of all conditions, as a balanced tree: Milvus refuses a chain of some dozens as too deep."""
    if len(conditions) == 1:
        return conditions[0]
    middle = len(conditions) // 2
    return f"({_any(conditions[:middle])} or {_any(conditions[middle:])})"


def _quoted(text: str) -> str:
    return f'"{text.translate(ESCAPES)}"'
