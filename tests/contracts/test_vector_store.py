"""One suite for every engine that searches vectors: what `VectorStore` and `VectorServer` promise.

FAISS in the process, Milvus Lite in a folder, a real Milvus server and a real Chroma server.
"""

import itertools
import threading
import time
import urllib.request
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import TypeVar

import numpy as np
import orjson
import pytest

from app.errors import IndexCorrupt, VectorStoreUnavailable
from app.settings import ChromaSettings, MilvusSettings
from app.types import Ids, Vectors, in_folder
from app.vectors.base import VectorServer, VectorStore
from app.vectors.faiss.store import FaissStore
from app.vectors.servers import milvus_lite
from app.vectors.servers.chroma import ChromaServer
from app.vectors.servers.milvus import MilvusServer
from tests.support.wire import Wire

pytestmark = pytest.mark.long(200)

DIMENSION = 16
SERVERS = ["lite", "milvus", "chroma"]
RECALL = 0.98

FOLDERS = (
    *("", "a", "ab", "a/b", "a/bc", "a/b/c", "a-b", "a.", "a0", "a b", "A", "a%", "a%/x", "a_", "a_/y"),
    *("it's", 'quo"te', 'quo"te/x', "back\\slash", "back\\slash/x", "\\", "\\n", '\\"', "new\nline", "new\nline/x"),
    *(
        "tab\tx",
        "bell\x07",
        "del\x7f",
        "nel\x85",
        "ä/ö",
        "ä",
        "海/浜",
        "🌅",
        "🌅/x",
        "{x}",
        "$",
        "`",
        "[a]",
        "*",
        "null",
    ),
)

counter = itertools.count()

Result = TypeVar("Result")


class Engine:
    """An engine, and how a test makes stores of it."""

    def __init__(self, server: VectorServer | None) -> None:
        self.server = server
        self.made: list[str] = []

    def store(self, dimension: int = DIMENSION) -> VectorStore:
        if self.server is None:
            return FaissStore(dimension)
        return self.server.create(self.name(), dimension)

    def name(self) -> str:
        self.made.append(f"test_{next(counter)}_{time.time_ns():x}")
        return self.made[-1]

    def drop_all(self) -> None:
        for name in self.made:
            assert self.server is not None
            self.server.drop(name)


@pytest.fixture(scope="module")
def lite_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("lite") / "below" / "milvus.db"
    yield folder
    milvus_lite.release(folder)


@pytest.fixture
def server(request: pytest.FixtureRequest) -> VectorServer:
    return server_of(request, request.param)


def server_of(request: pytest.FixtureRequest, kind: str) -> VectorServer:
    match kind:
        case "lite":
            return MilvusServer(MilvusSettings(uri=str(request.getfixturevalue("lite_folder")), timeout_s=60), RECALL)
        case "milvus":
            port = request.getfixturevalue("milvus_port")
            return MilvusServer(MilvusSettings(uri=f"http://127.0.0.1:{port}", timeout_s=60), RECALL)
        case _:
            port = request.getfixturevalue("chroma_port")
            return ChromaServer(ChromaSettings(url=f"http://127.0.0.1:{port}", timeout_s=60))


@pytest.fixture(params=["faiss", *SERVERS])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    found = Engine(None if request.param == "faiss" else server_of(request, request.param))
    yield found
    found.drop_all()


@pytest.fixture
def served(server: VectorServer) -> Iterator[Engine]:
    found = Engine(server)
    yield found
    found.drop_all()


on_servers = pytest.mark.parametrize("server", SERVERS, indirect=True)


def unit_rows(count: int, seed: int = 0, dimension: int = DIMENSION) -> Vectors:
    rows = np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def random_ids(count: int, seed: int = 0) -> Ids:
    return np.unique(np.random.default_rng(seed).integers(-(2**63) + 1, 2**63 - 1, count * 2))[:count]


@cache
def names_below(names: frozenset[str], folders: tuple[str, ...]) -> frozenset[str]:
    """Those of the names that are in or below any of the folders; all of them without folders."""
    return frozenset(name for name in names if not folders or any(in_folder(name, each) for each in folders))


class Truth:
    """The same rows, searched by brute force."""

    def __init__(self, ids: Ids, vectors: Vectors, folders: Sequence[str]) -> None:
        self.rows = {int(row): (vector, folder) for row, vector, folder in zip(ids, vectors, folders, strict=True)}

    def search(self, query: Vectors, k: int, folders: Collection[str] = ()) -> list[int]:
        eligible = names_below(frozenset(folder for _, folder in self.rows.values()), tuple(folders))
        scores = {
            row: round(float(vector @ query), 6) for row, (vector, folder) in self.rows.items() if folder in eligible
        }
        return sorted(scores, key=lambda row: (-scores[row], row))[:k]


def filled(store: VectorStore, count: int, folders: Sequence[str] = ("", "a", "a/b", "c")) -> Truth:
    ids, vectors = random_ids(count), unit_rows(count)
    of_rows = [folders[place % len(folders)] for place in range(count)]
    store.add(ids, vectors, of_rows)
    return Truth(ids, vectors, of_rows)


def assert_same(store: VectorStore, truth: Truth, k: int = 7, folders: Collection[str] = ()) -> None:
    queries = unit_rows(3, seed=99)
    for query, hits in zip(queries, store.search(queries, k, folders=folders), strict=True):
        assert [row for row, _ in hits] == truth.search(query, k, folders)
        assert [score for _, score in hits] == pytest.approx([truth.rows[row][0] @ query for row, _ in hits], abs=2e-6)
        assert [score for _, score in hits] == [round(score, 6) for _, score in hits]
    assert len(store) == len(truth.rows)


def test_an_empty_store(engine: Engine) -> None:
    store = engine.store()
    assert len(store) == 0
    assert store.ids().tolist() == []
    assert store.search(unit_rows(2), 3) == [[], []]
    assert store.search(unit_rows(1), 3, folders=["a"]) == [[]]
    assert store.remove([1, 2]) == 0
    assert store.get([]).shape == (0, DIMENSION)
    store.add(random_ids(0), unit_rows(0), [])
    assert len(store) == 0


def test_add_search_get_and_ids(engine: Engine) -> None:
    store = engine.store()
    truth = filled(store, 60)
    assert_same(store, truth)
    assert sorted(store.ids().tolist()) == sorted(truth.rows)
    some = list(truth.rows)[40:3:-5]
    assert np.allclose(store.get(some), np.stack([truth.rows[row][0] for row in some]), atol=1e-6)
    assert store.get(some).dtype == np.float32


def test_only_some_rows_are_searched(engine: Engine) -> None:
    """Some of them are absent, or lie in other folders."""
    store = engine.store()
    truth = filled(store, 200)
    some = np.array(list(truth.rows)[::3], np.int64)
    asked = np.append(some, random_ids(5, seed=77))
    for among, folders in ((asked, ()), (asked, ("a",)), (asked[:2], ()), (asked[:0], ())):
        left = Truth(some[:0], unit_rows(0), [])
        left.rows = {row: truth.rows[row] for row in among.tolist() if row in truth.rows}
        query = unit_rows(1, seed=12)
        (hits,) = store.search(query, 30, folders=folders, among=among)
        assert [row for row, _ in hits] == left.search(query[0], 30, folders)


def test_replacing_moves_a_row(engine: Engine) -> None:
    store = engine.store()
    truth = filled(store, 30)
    some = np.array(list(truth.rows)[:10], np.int64)
    moved = unit_rows(10, seed=5)
    store.add(some, moved, ["z"] * 10)
    truth.rows |= {int(row): (vector, "z") for row, vector in zip(some, moved, strict=True)}
    assert_same(store, truth)
    assert_same(store, truth, k=30, folders=["z"])
    assert_same(store, truth, k=30, folders=["a"])


def test_remove_counts_what_was_there(engine: Engine) -> None:
    store = engine.store()
    truth = filled(store, 30)
    gone = list(truth.rows)[:12]
    assert store.remove([*gone, 12345, -7]) == 12
    assert store.remove(gone) == 0
    for row in gone:
        del truth.rows[row]
    assert_same(store, truth, k=30)
    assert sorted(store.ids().tolist()) == sorted(truth.rows)


def test_get_of_an_absent_row(engine: Engine) -> None:
    store = engine.store()
    truth = filled(store, 5)
    with pytest.raises(KeyError):
        store.get([next(iter(truth.rows)), 4711])


def test_rows_that_do_not_fit_are_refused_and_change_nothing(engine: Engine) -> None:
    store = engine.store()
    ids = random_ids(2)
    broken = unit_rows(2)
    broken[1, 3] = np.nan
    for vectors, folders, rows in [
        (unit_rows(2, dimension=DIMENSION + 1), ["a", "a"], ids),
        (unit_rows(3), ["a", "a"], ids),
        (unit_rows(2), ["a"], ids),
        (unit_rows(2), ["a", "a"], np.array([7, 7], np.int64)),
        (broken, ["a", "a"], ids),
    ]:
        with pytest.raises(ValueError, match=r"vector"):
            store.add(rows, vectors, folders)
    assert len(store) == 0


def test_k_beyond_what_is_eligible(engine: Engine) -> None:
    store = engine.store()
    truth = filled(store, 130)
    assert_same(store, truth, k=130)
    assert_same(store, truth, k=1000)
    assert_same(store, truth, k=100, folders=["c"])
    assert_same(store, truth, k=5, folders=["nowhere"])


def test_every_folder_name_selects_itself_and_what_is_below(engine: Engine) -> None:
    store = engine.store()
    truth = filled(store, 3 * len(FOLDERS), FOLDERS)
    for folder in FOLDERS:
        hits = store.search(unit_rows(1, seed=3), 3 * len(FOLDERS), folders=[folder])[0]
        assert {truth.rows[row][1] for row, _ in hits} == {name for name in FOLDERS if in_folder(name, folder)}
        assert len(hits) == 3 * sum(in_folder(name, folder) for name in FOLDERS)


@pytest.mark.parametrize("folders", [["a", "ä"], ["a", "a/b"], ["a/b", "nowhere", "back\\slash"], ["", "a"]])
def test_several_folders(engine: Engine, folders: list[str]) -> None:
    store = engine.store()
    assert_same(store, filled(store, 2 * len(FOLDERS), FOLDERS), k=2 * len(FOLDERS), folders=folders)


def test_hundreds_of_folders(engine: Engine) -> None:
    store = engine.store()
    names = [f"all/{number}" for number in range(300)]
    truth = filled(store, 600, names)
    assert_same(store, truth, k=50, folders=[*names[:250], *(f"none/{number}" for number in range(250))])


def test_many_queries_at_once(engine: Engine) -> None:
    store = engine.store()
    truth = filled(store, 80)
    queries = unit_rows(50, seed=8)
    found = store.search(queries, 4)
    assert [[row for row, _ in hits] for hits in found] == [truth.search(query, 4) for query in queries]


def test_equal_pictures_come_by_id(engine: Engine) -> None:
    store = engine.store()
    ids = random_ids(20)
    store.add(ids[::-1].copy(), np.repeat(unit_rows(1), 20, axis=0), ["a"] * 20)
    hits = store.search(unit_rows(1), 20)[0]
    assert [row for row, _ in hits] == sorted(ids.tolist())
    assert {score for _, score in hits} == {1.0}


def test_a_copy_takes_changes(engine: Engine) -> None:
    store = engine.store()
    truth = filled(store, 10)
    changed = store.copy()
    changed.remove(list(truth.rows)[:3])
    assert len(changed) == 7
    assert len(store) == (10 if engine.server is None else 7)


def test_threads_search_while_rows_are_replaced(engine: Engine) -> None:
    """Every search finds whole answers of rows that are there all the time."""
    store = engine.store()
    truth = filled(store, 200)
    query, stop, failures = unit_rows(1, seed=4), threading.Event(), list[str]()
    best = truth.search(query[0], 20)[:5]

    def search() -> None:
        while not stop.is_set():
            try:
                hits = store.search(query, 5)[0]
            except Exception as error:
                failures.append(repr(error))
                raise
            if [row for row, _ in hits] != best:
                failures.append(str(hits))

    threads = [threading.Thread(target=search) for _ in range(4)]
    for thread in threads:
        thread.start()
    writer = store if engine.server else store.copy()
    far = np.array([row for row in truth.rows if row not in truth.search(query[0], 20)][:50], np.int64)
    for _ in range(5):
        writer.add(far, -np.repeat(query, 50, axis=0), ["z"] * 50)
        writer.remove(far[:10].tolist())
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []


@cache
def clustered(count: int, queries: int, dimension: int = 64) -> tuple[Vectors, Vectors, list[str]]:
    """Vectors around 200 centres, queries like them, and nested folders that follow the centres."""
    random = np.random.default_rng(0)
    centres = random.standard_normal((200, dimension))
    of_rows = random.integers(0, 200, count)
    rows = centres[of_rows] + 0.5 * random.standard_normal((count, dimension))
    asked = centres[random.integers(0, 200, queries)] + 0.5 * random.standard_normal((queries, dimension))
    folders = [f"{centre // 40}/{centre // 4}/{number % 50}" for number, centre in enumerate(of_rows)]
    unit = [(each / np.linalg.norm(each, axis=1, keepdims=True)).astype(np.float32) for each in (rows, asked)]
    return unit[0], unit[1], folders


def test_recall_with_and_without_folders(engine: Engine) -> None:
    vectors, queries, folders = clustered(10_000, 30)
    store = engine.store(vectors.shape[1])
    store.add(np.arange(len(vectors), dtype=np.int64), vectors, folders)
    if engine.server:
        engine.server.serve(engine.made[0], "test_alias")
    for wanted in (
        [],
        ["0"],
        ["3"],
        ["0/1"],
        ["4/44"],
        ["0/1/3"],
        ["1", "2/20"],
        [f"{n}/{m}" for n in (0, 4) for m in range(50)],
    ):
        below = names_below(frozenset(folders), tuple(wanted))
        eligible = np.flatnonzero([name in below for name in folders])
        k = min(10, len(eligible))
        best = eligible[np.argsort(-(queries @ vectors[eligible].T), axis=1)[:, :k]]
        found = store.search(queries, 10, folders=wanted)
        assert {len(hits) for hits in found} == {k}
        recalled = [len({row for row, _ in hits} & set(rows.tolist())) for hits, rows in zip(found, best, strict=True)]
        assert sum(recalled) / (k * len(queries)) >= (1.0 if store.accuracy.exact else RECALL), wanted


@on_servers
def test_a_collection_is_opened_again(served: Engine, request: pytest.FixtureRequest) -> None:
    assert served.server is not None
    name = served.name()
    truth = filled(served.server.create(name, DIMENSION), 40)
    if isinstance(served.server, MilvusServer) and (folder := request.getfixturevalue("lite_folder")).exists():
        milvus_lite.release(folder)
    assert_same(served.server.open(name, DIMENSION), truth)
    other = type(served.server)
    assert other.engine == served.server.engine


@on_servers
def test_opening_what_is_not_there(served: Engine) -> None:
    assert served.server is not None
    with pytest.raises(IndexCorrupt, match="--rebuild"):
        served.server.open("test_never_was", DIMENSION)
    name = served.name()
    served.server.create(name, DIMENSION)
    with pytest.raises(IndexCorrupt, match=f"dimension {DIMENSION + 1}"):
        served.server.open(name, DIMENSION + 1)


@on_servers
def test_create_replaces_and_drop_is_final(served: Engine) -> None:
    assert served.server is not None
    name = served.name()
    filled(served.server.create(name, DIMENSION), 5)
    assert len(served.server.create(name, 2 * DIMENSION)) == 0
    assert served.server.collections(name) == [name]
    served.server.drop(name)
    served.server.drop(name)
    assert served.server.collections(name) == []


@on_servers
def test_an_alias_moves_and_is_no_collection(served: Engine, request: pytest.FixtureRequest) -> None:
    assert served.server is not None
    first, second = served.name(), served.name()
    for name in (first, second):
        served.server.create(name, DIMENSION)
    alias = f"alias_{first}"
    served.made.append(alias)
    served.server.serve(first, alias)
    served.server.serve(second, alias)
    assert served.server.collections("alias_") == []
    assert alias_target(request, served.server, alias) == second
    served.server.drop(first)
    served.server.drop(second)
    assert served.server.collections(first) == served.server.collections(second) == []


def alias_target(request: pytest.FixtureRequest, server: VectorServer, alias: str) -> str:
    """As another program asks the engine."""
    if isinstance(server, MilvusServer):
        from pymilvus import MilvusClient

        lite = "lite" in request.node.callspec.id
        address = (
            milvus_lite.address_of(request.getfixturevalue("lite_folder"))
            if lite
            else f"http://127.0.0.1:{request.getfixturevalue('milvus_port')}"
        )
        with closing(MilvusClient(address)) as client:
            return str(client.describe_collection(alias)["collection_name"])
    database = "tenants/default_tenant/databases/default_database"
    address = f"http://127.0.0.1:{request.getfixturevalue('chroma_port')}/api/v2/{database}/collections/{alias}"
    with urllib.request.urlopen(address) as answer:
        return str(orjson.loads(answer.read())["metadata"]["collection"])


@pytest.mark.parametrize("kind", ["milvus", "chroma"])
def test_a_broken_wire(kind: str, request: pytest.FixtureRequest) -> None:
    make: Callable[[int], VectorServer] = {
        "milvus": lambda port: MilvusServer(MilvusSettings(uri=f"http://127.0.0.1:{port}", timeout_s=3), RECALL),
        "chroma": lambda port: ChromaServer(ChromaSettings(url=f"http://127.0.0.1:{port}", timeout_s=3)),
    }[kind]
    engine = Engine(server_of(request, kind))
    name = engine.name()
    with Wire(request.getfixturevalue(f"{kind}_port")) as wire:
        server = make(wire.port)
        assert engine.server is not None
        filled(engine.server.create(name, DIMENSION), 5)
        store = server.open(name, DIMENSION)
        assert len(store.search(unit_rows(1), 5)[0]) == 5
        wire.cut()
        for call in (
            lambda: store.search(unit_rows(1), 5),
            lambda: server.collections("test_"),
            lambda: make(wire.port).open(name, DIMENSION),
        ):
            began = time.monotonic()
            with pytest.raises(VectorStoreUnavailable, match=f"127.0.0.1:{wire.port}.*{kind.upper()}_"):
                call()
            assert time.monotonic() - began < 15
        wire.mend()
        assert len(once_it_answers(lambda: store.search(unit_rows(1), 5))[0]) == 5
        wire.silence()
        began = time.monotonic()
        with pytest.raises(VectorStoreUnavailable, match=str(wire.port)):
            store.search(unit_rows(1), 5)
        with pytest.raises(VectorStoreUnavailable, match=str(wire.port)):
            make(wire.port).open(name, DIMENSION)
        assert time.monotonic() - began < 30
    engine.drop_all()


def once_it_answers(ask: Callable[[], Result], patience_s: float = 30) -> Result:
    """gRPC waits longer and longer between its attempts to connect."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return ask()
        except VectorStoreUnavailable:
            if time.monotonic() > deadline:
                raise
