"""The engines that are compared, each with the parameters that its own documentation offers to trade time for recall.

All run in the calling process, which is the fastest way to use each. Filters get the five folders that rows lie in as a
list to compare with, on an indexed column where the engine has one.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np

from app.settings import VectorSettings
from app.vectors.base import Accuracy
from app.vectors.faiss.store import FaissStore, Rows
from scripts.bench.workload import FOLDERS, NEIGHBOURS, Workload, leaves_below

Setting: TypeAlias = dict[str, int]
Answer: TypeAlias = Callable[[Any], Sequence[int]]
"""A query (D,) -> ids, best first."""

BATCH_ROWS = 4000

HNSW_M = 32


def ef_construction(count: int) -> int:
    """200, as is usual; half of it for half a million rows and more, so that building ends."""
    return 200 if count < 500_000 else 100


class Engine(Protocol):
    """Made twice: one builds in `out` and ends, another opens what was built and answers."""

    ladder: Sequence[Setting]
    """Search parameters, by rising recall."""

    def build(self, workload: Workload, out: Path) -> None: ...

    def open(self, workload: Workload, out: Path) -> None: ...

    def answer(self, folder: str, setting: Setting) -> Answer:
        """How one query is answered in or below a folder; "" is everything."""
        ...


class Ours:
    """FaissStore in one shape; it is tuned when it is built."""

    ladder: Sequence[Setting] = ({},)

    def __init__(self, shape: str) -> None:
        self._settings = VectorSettings.model_validate({"shape": shape, "recall": 0.98})

    def build(self, workload: Workload, out: Path) -> None:
        store = FaissStore(workload.vectors.shape[1])
        store.add(np.arange(len(workload.vectors)), workload.vectors, workload.folders)
        saved = store.save(out / "index.bin", self._settings)
        np.save(out / "ids.npy", saved.ids)
        np.save(out / "codes.npy", workload.codes[saved.ids].astype(np.int32))
        names = Accuracy.__dataclass_fields__
        (out / "accuracy.json").write_text(json.dumps({name: getattr(saved.accuracy, name) for name in names}))

    def open(self, workload: Workload, out: Path) -> None:
        said = json.loads((out / "accuracy.json").read_text())
        said["filtered_probes"] = tuple(map(tuple, said["filtered_probes"]))
        rows = Rows(np.load(out / "ids.npy"), FOLDERS, np.load(out / "codes.npy"))
        self._store = FaissStore.load(out / "index.bin", rows, Accuracy(**said))
        self.ladder = ({"probes": self._store.accuracy.probes},) if self._store.accuracy.probes else ({},)

    def answer(self, folder: str, setting: Setting) -> Answer:
        folders = [folder] if folder else []
        return lambda query: [row for row, _ in self._store.search(query[None], NEIGHBOURS, folders=folders)[0]]


class Hnswlib:
    """Filters with a function of the id."""

    ladder = tuple({"ef": ef} for ef in (16, 32, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 2048))

    def build(self, workload: Workload, out: Path) -> None:
        index = self._empty(workload)
        count = len(workload.vectors)
        index.init_index(max_elements=count, ef_construction=ef_construction(count), M=HNSW_M, random_seed=1)
        for start in range(0, count, BATCH_ROWS):
            rows = workload.vectors[start : start + BATCH_ROWS]
            index.add_items(rows, np.arange(start, start + len(rows)))
        index.save_index(str(out / "index.bin"))

    def open(self, workload: Workload, out: Path) -> None:
        self._index, self._codes = self._empty(workload), workload.codes
        self._index.load_index(str(out / "index.bin"))

    def answer(self, folder: str, setting: Setting) -> Answer:
        self._index.set_ef(setting["ef"])
        wanted = [FOLDERS.index(leaf) for leaf in leaves_below(folder)]
        allowed = np.isin(self._codes, wanted).tolist().__getitem__ if folder else None

        def ask(query: Any) -> Sequence[int]:
            try:
                found: Sequence[int] = self._index.knn_query(query, NEIGHBOURS, num_threads=1, filter=allowed)[0][0]
            except RuntimeError:  # raised when it finds fewer rows than were asked for
                return []
            return found

        return ask

    @staticmethod
    def _empty(workload: Workload) -> Any:
        import hnswlib

        return hnswlib.Index("ip", workload.vectors.shape[1])


class Chroma:
    """A persistent client; `where` on the folder."""

    ladder = Hnswlib.ladder

    def build(self, workload: Workload, out: Path) -> None:
        count = len(workload.vectors)
        hnsw = {"space": "ip", "max_neighbors": HNSW_M, "ef_construction": ef_construction(count)}
        made = self._client(out).create_collection("rows", configuration={"hnsw": hnsw}, embedding_function=None)
        for start in range(0, count, BATCH_ROWS):
            rows = range(start, min(start + BATCH_ROWS, count))
            metadatas = [{"folder": FOLDERS[code]} for code in workload.codes[rows.start : rows.stop]]
            made.add(list(map(str, rows)), np.array(workload.vectors[rows.start : rows.stop]), metadatas)

    def open(self, workload: Workload, out: Path) -> None:
        self._out, self._dimension = out, workload.vectors.shape[1]
        self._opened = self._client(out)
        self._rows = self._opened.get_collection("rows", embedding_function=None)

    def answer(self, folder: str, setting: Setting) -> Answer:
        self._search_with(setting["ef"])
        where = {"folder": {"$in": leaves_below(folder)}} if folder else None

        def ask(query: Any) -> Sequence[int]:
            found = self._rows.query(query_embeddings=query[None], n_results=NEIGHBOURS, where=where, include=[])
            return [int(row) for row in found["ids"][0]]

        return ask

    def _search_with(self, ef: int) -> None:
        """Open the collection again and query it once: until then Chroma uses the `ef` that it was opened with."""
        from chromadb.api.shared_system_client import SharedSystemClient

        if self._rows.configuration["hnsw"]["ef_search"] == ef:
            return
        self._rows.modify(configuration={"hnsw": {"ef_search": ef}})
        self._opened.close()
        SharedSystemClient.clear_system_cache()
        self._opened = self._client(self._out)
        self._rows = self._opened.get_collection("rows", embedding_function=None)
        self._rows.query(query_embeddings=np.zeros((1, self._dimension), np.float32), n_results=1, include=[])

    @staticmethod
    def _client(out: Path) -> Any:
        import chromadb
        from chromadb.config import Settings

        return chromadb.PersistentClient(str(out), settings=Settings(anonymized_telemetry=False))


INDEX_EXISTS = 35
"""The error of Milvus Lite after minutes: it drops a connection that waits too long, the client asks again, and by then
the index exists."""


class MilvusLite:
    """A Milvus client on a file; an expression on an indexed column."""

    ladder = Hnswlib.ladder

    def build(self, workload: Workload, out: Path) -> None:
        from pymilvus import DataType, MilvusClient

        client = self._client(out)
        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=workload.vectors.shape[1])
        schema.add_field("folder", DataType.VARCHAR, max_length=256)
        client.create_collection("rows", schema=schema)
        for start in range(0, len(workload.vectors), BATCH_ROWS):
            part = slice(start, start + BATCH_ROWS)
            rows = enumerate(zip(workload.vectors[part], workload.codes[part], strict=True), start)
            client.insert("rows", [{"id": id_, "vector": row, "folder": FOLDERS[code]} for id_, (row, code) in rows])
        client.flush("rows")
        parameters = {"M": HNSW_M, "efConstruction": ef_construction(len(workload.vectors))}
        self._index(client, "vector", index_type="HNSW", metric_type="IP", params=parameters)
        self._index(client, "folder", index_type="INVERTED")
        client.load_collection("rows")
        client.close()

    @staticmethod
    def _index(client: Any, field: str, **options: Any) -> None:
        from pymilvus import MilvusClient, MilvusException

        try:
            client.create_index("rows", MilvusClient.prepare_index_params(field, **options))
        except MilvusException as error:
            if error.code != INDEX_EXISTS:
                raise

    def open(self, workload: Workload, out: Path) -> None:
        self._opened = self._client(out)
        self._opened.load_collection("rows")

    def answer(self, folder: str, setting: Setting) -> Answer:
        options = {
            "filter": f"folder in {json.dumps(leaves_below(folder))}" if folder else "",
            "search_params": {"metric_type": "IP", "params": setting},
        }

        def ask(query: Any) -> Sequence[int]:
            return [hit["id"] for hit in self._opened.search("rows", [query], limit=NEIGHBOURS, **options)[0]]

        return ask

    @staticmethod
    def _client(out: Path) -> Any:
        from pymilvus import MilvusClient

        return MilvusClient(str(out / "rows.db"), timeout=3600)


class Lance:
    """A table on disk with an index of the vectors and a bitmap index of the folders; filters before it searches."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        if kind == "hnsw":
            self.ladder: Sequence[Setting] = [
                {"nprobes": 1, "ef": ef, "refine_factor": refine}
                for ef, refine in ((32, 1), (64, 1), (128, 1), (256, 1), (512, 1), (256, 4), (512, 4), (1024, 4))
            ]
        else:
            self.ladder = [
                {"nprobes": probes, "refine_factor": refine}
                for probes, refine in ((10, 2), (20, 2), (40, 2), (40, 4), (80, 4), (160, 4), (160, 10), (320, 10))
            ]

    def build(self, workload: Workload, out: Path) -> None:
        import lancedb
        import pyarrow as pa
        from lancedb.index import Bitmap, HnswSq, IvfPq

        count, dimension = workload.vectors.shape

        def batches() -> Any:
            for start in range(0, count, BATCH_ROWS):
                rows = np.ascontiguousarray(workload.vectors[start : start + BATCH_ROWS])
                codes = workload.codes[start : start + len(rows)]
                yield pa.record_batch(
                    [
                        pa.array(np.arange(start, start + len(rows))),
                        pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), dimension),
                        pa.array([FOLDERS[code] for code in codes]),
                    ],
                    names=["id", "vector", "folder"],
                )

        first = next(batches())
        table = lancedb.connect(out).create_table("rows", schema=first.schema)
        table.add(pa.RecordBatchReader.from_batches(first.schema, batches()))
        hnsw = HnswSq("dot", num_partitions=1, m=HNSW_M, ef_construction=ef_construction(count))
        table.create_index("vector", config=hnsw if self._kind == "hnsw" else IvfPq("dot"))
        table.create_index("folder", config=Bitmap())
        table.optimize()

    def open(self, workload: Workload, out: Path) -> None:
        import lancedb

        self._table = lancedb.connect(out).open_table("rows")

    def answer(self, folder: str, setting: Setting) -> Answer:
        leaves = ", ".join(f"'{leaf}'" for leaf in leaves_below(folder))

        def ask(query: Any) -> Sequence[int]:
            asked = self._table.search(query).distance_type("dot").limit(NEIGHBOURS).select(["id", "_distance"])
            if folder:
                asked = asked.where(f"folder IN ({leaves})", prefilter=True)
            for name, value in setting.items():
                asked = getattr(asked, name)(value)
            found: list[int] = asked.to_arrow()["id"].to_pylist()
            return found

        return ask


ENGINES: dict[str, Callable[[], Engine]] = {
    "ours": lambda: Ours("auto"),
    "ours-sq8": lambda: Ours("ivf_sq8"),
    "flat": lambda: Ours("flat"),
    "hnswlib": Hnswlib,
    "chroma": Chroma,
    "milvus-lite": MilvusLite,
    "lancedb": lambda: Lance("ivf"),
    "lancedb-hnsw": lambda: Lance("hnsw"),
}
