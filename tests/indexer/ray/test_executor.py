"""The executor on Ray, on a real cluster of two CPUs: the local executor's result, also when workers are killed."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import ExifTags, Image
from typer.testing import CliRunner

from app.bootstrap import Parts
from app.catalog.changes import Changes
from app.catalog.snapshot import Snapshot
from app.errors import AppError, InvalidSettings, ModelUnavailable, StorageUnavailable
from app.indexing.messages import Report
from app.library.thumbnails import thumbnail_key
from app.models.lazy import LazyEmbedder
from app.settings import IndexSettings, MetadataSettings, ModelSettings, StorageSettings
from app.storage.base import StoredObject
from app.storage.local import LocalStore
from app.types import image_id_of, row_id
from indexer.cli import make_app
from indexer.executor import MakeExecutor
from indexer.local_executor import LocalExecutor
from indexer.plan import Options
from indexer.progress import SilentProgress
from indexer.ray import executor
from indexer.ray.executor import embedding_pool, ray_executor, start_ray, stop_ray
from indexer.ray.workers import EmbedStage, ReadStage, WorkerParts, pack, unpack
from indexer.run import run_index
from tests.indexer.picture_collection import CountedStop, png, some_settings
from tests.indexer.ray.faults import Faults, FaultyEmbedder, FaultyParts
from tests.indexer.ray.gated_indexer import LEAVING_S, WIDTH
from tests.support.captions import NAME, lazily
from tests.support.catalogs import MODEL, catalog_on
from tests.support.pictures import encoded
from tests.support.processes import unmeasured
from tests.support.stores import WrappedStore

pytestmark = [pytest.mark.filterwarnings("ignore::DeprecationWarning"), pytest.mark.long(150)]
"""Ray Data sets what it deprecates itself, as it starts."""

ROOT = Path(__file__).parents[3]
TIMEOUT_S = 240
PER_RUN = {"took_s", "images_per_s", "generation"}


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Address of a cluster that goes with this module.

    Its processes run without coverage: most of them are Ray's own, and measuring slows all of them down.
    """
    command = [sys.executable, "-m", "tests.indexer.ray.cluster"]
    environment = {**unmeasured(), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address, "the cluster did not start"
        yield address
        process.communicate("", TIMEOUT_S)


@pytest.fixture(scope="module")
def connected(cluster: str) -> Iterator[None]:
    """One connection for many runs: Ray starts new workers for each connection, which takes longer than the runs."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("RAY_ADDRESS", cluster)
        start_ray(StorageSettings(url="s3://unused"))
    yield
    stop_ray()


@dataclass
class Counting(SilentProgress):
    """Pictures done in each phase."""

    done: dict[str, int] = field(default_factory=dict)

    def phase(self, name: str, total: int | None = None) -> None:
        self.name = name
        self.done[name] = 0

    def advance(self, count: int = 1) -> None:
        self.done[self.name] += count


class Bucket:
    """A folder of pictures with an index by a cheap model, made by either engine."""

    def __init__(self, folder: Path, **faults: Any) -> None:
        folder.mkdir()
        self.store = LocalStore(folder)
        self.faults = Faults(folder.parent, **faults)
        self.settings = some_settings(f"file://{folder}")
        self.progress = Counting()

    def run(
        self,
        engine: str,
        options: Options = Options(),  # noqa: B008
        *,
        store: WrappedStore | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> Report:
        used = store or self.store
        model = LazyEmbedder(
            lambda: MODEL.fingerprint, lambda _: FaultyEmbedder(Faults(self.faults.folder, refuses=self.faults.refuses))
        )
        captioner = FaultyParts(self.settings, self.faults).load_captioner()
        lazy = lazily(captioner) if captioner else None
        parts = Parts(self.settings, used, catalog_on(used, self.settings.index), model, used, captioner=lazy)
        make_executor: MakeExecutor = LocalExecutor
        if engine == "ray":
            make_executor = ray_executor(FaultyParts(self.settings, self.faults))
        self.progress.done.clear()
        return run_index(parts, options, self.progress, CountedStop(stop), make_executor)

    def snapshot(self) -> Snapshot:
        snapshot = catalog_on(self.store, self.settings.index).load()
        assert snapshot is not None
        return snapshot

    def indexed(self) -> set[str]:
        return {record.object_key for record in self.snapshot().records.values()}


def comparable(report: Report | dict[str, Any]) -> dict[str, Any]:
    """Without what no two runs share."""
    values = report if isinstance(report, dict) else report.as_dict()
    return {name: value for name, value in values.items() if name not in PER_RUN}


def assert_same_index(ours: Snapshot, theirs: Snapshot) -> None:
    """Times of writing aside, which two folders do not share."""

    def rows(snapshot: Snapshot) -> dict[str, tuple[Any, ...]]:
        return {
            record.object_key: tuple(
                getattr(record, each.name) for each in fields(record) if each.name not in ("modified_at", "added_at")
            )
            for record in snapshot.records.values()
        }

    assert rows(ours) == rows(theirs)
    assert dict(ours.skipped) == dict(theirs.skipped)
    assert ours.pointer.model == theirs.pointer.model
    keys = [row_id(image_id_of(key)) for key in rows(ours)]
    if keys:
        np.testing.assert_allclose(ours.vectors.get(keys), theirs.vectors.get(keys), atol=2e-3)


def some_pictures(store: LocalStore, count: int = 24) -> None:
    for seed in range(count):
        store.put(f"{seed:02}.png", png(seed, (12 + seed, 9)))


def test_a_cluster_that_does_not_answer_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before this process has a connection."""
    monkeypatch.setenv("RAY_ADDRESS", "not an address")
    bucket = Bucket(tmp_path / "bucket")
    some_pictures(bucket.store, 1)
    with pytest.raises(AppError, match="RAY_ADDRESS=not an address does not answer"):
        bucket.run("ray")


def test_the_command_line_gives_the_plain_engines_result_and_report(
    connected: None, tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A first run, then one over new, changed, moved, copied, broken, gone and unchanged pictures."""
    stores = {}
    monkeypatch.setenv("MODEL", str(model_folder))
    monkeypatch.setenv("INDEX_BATCH_SIZE", "4")

    def run(folder: str, engine: str) -> dict[str, Any]:
        monkeypatch.setenv("STORAGE_URL", f"file://{tmp_path}/{folder}")
        result = CliRunner().invoke(make_app(), ["--engine", engine])
        assert result.exit_code == 0, result.output
        report: dict[str, Any] = json.loads(result.stdout)
        return report

    for name, engine in (("ours", "ray"), ("theirs", "plain")):
        (tmp_path / name).mkdir()
        store = stores[name] = LocalStore(tmp_path / name)
        for seed in range(20):
            store.put(f"nature/{seed:02}.png", png(seed, (30 + seed, 20)))
        for copy in range(5):
            store.put(f"copies/{copy}.png", png(3, (33, 20)))
            store.put(f"broken/{copy}.jpg", b"\xff\xd8\xff no jpeg")
        first = run(name, engine)
        assert (first["added"], first["embedded"], first["reused"], len(first["skipped"])) == (25, 20, 5, 5)
        store.put("nature/00.png", png(50))
        store.put("animals/moved.png", store.get("nature/01.png").data)
        store.delete("nature/01.png")
        store.delete("nature/02.png")
        store.put("new/a.png", png(60))
        store.put("new/b.png", png(60))
        store.put("new/c.png", png(3, (33, 20)))
        store.put("nature/05.png", b"no picture any more")
        store.put("broken/0.jpg", png(61))
        store.put("broken/new.jpg", b"\xff\xd8\xff no other jpeg")
        store.put("broken/newer.jpg", b"\xff\xd8\xff no other jpeg")
    second = run("ours", "ray")
    assert comparable(second) == comparable(run("theirs", "plain"))
    assert (second["changed"], second["moved"], second["embedded"], second["reused"]) == (1, 1, 3, 3)
    assert len(second["skipped"]) == 7
    ours, theirs = (catalog_on(stores[name], IndexSettings()).load() for name in ("ours", "theirs"))
    assert ours is not None
    assert theirs is not None
    assert_same_index(ours, theirs)


def test_a_rebuild_embeds_everything_again_as_the_plain_engine_does(connected: None, tmp_path: Path) -> None:
    ours, theirs = Bucket(tmp_path / "ours"), Bucket(tmp_path / "theirs")
    for bucket in (ours, theirs):
        some_pictures(bucket.store, 9)
        bucket.store.put("copy.png", png(5, (12 + 5, 9)))
        bucket.run("plain")
    report = ours.run("ray", Options(rebuild=True))
    assert comparable(report) == comparable(theirs.run("plain", Options(rebuild=True)))
    assert report.embedded == 9
    assert_same_index(ours.snapshot(), theirs.snapshot())


def test_a_killed_worker_costs_no_picture_a_refused_one_is_named_and_one_that_is_gone_is_gone(
    connected: None, tmp_path: Path
) -> None:
    """All in one first run, whose result is the local executor's, and whose batches go on."""

    class ListingMore(WrappedStore):
        def list(self, prefix: str = "", **options: Any) -> Any:
            for info in list(self.inner.list(prefix, **options)):
                if info.key == "02.png":
                    self.inner.delete(info.key)
                yield info

    ours = Bucket(tmp_path / "ours", dies_reading_once="07.png", dies_embedding_once=12 + 15, refuses=12 + 5)
    theirs = Bucket(tmp_path / "theirs", refuses=12 + 5)
    for bucket in (ours, theirs):
        some_pictures(bucket.store)
        bucket.store.put("copy.png", png(15, (12 + 15, 9)))
        bucket.store.put("refused copy.png", png(5, (12 + 5, 9)))
        for name in ("broken.jpg", "equally broken.jpg"):
            bucket.store.put(name, b"\xff\xd8\xff no jpeg")

    report = ours.run("ray", store=ListingMore(ours.store))

    assert (tmp_path / "died-reading").exists()
    assert (tmp_path / "died-embedding").exists()
    assert comparable(report) == comparable(theirs.run("plain", store=ListingMore(theirs.store)))
    assert [(picture.key, picture.reason) for picture in report.failed] == [
        ("05.png", "The model can't embed it: no such picture"),
        ("refused copy.png", "The model can't embed it: no such picture"),
    ]
    assert (report.added, report.embedded, report.vanished, len(report.skipped)) == (23, 22, 1, 2)
    assert_same_index(ours.snapshot(), theirs.snapshot())
    assert ours.progress.done["indexing"] == 28


def test_pictures_over_which_every_worker_dies_are_given_up_and_named(connected: None, tmp_path: Path) -> None:
    bucket = Bucket(tmp_path / "bucket", dies_embedding=12 + 5)
    some_pictures(bucket.store, 12)
    report = bucket.run("ray")
    failed = {problem.key: problem.reason for problem in report.failed}
    assert "died" in failed["05.png"]
    assert len(failed) <= bucket.settings.index.batch_size
    assert bucket.indexed() == {f"{seed:02}.png" for seed in range(12)} - failed.keys()
    assert report.added == 12 - len(failed)


@pytest.mark.parametrize(
    ("faults", "error", "words"),
    [
        ({"fingerprint": "beef" * 8}, ModelUnavailable, "another model"),
        ({"sees_nothing": True}, InvalidSettings, "Every node needs the same pictures"),
    ],
    ids=["another model", "no pictures"],
)
def test_workers_that_are_set_up_wrongly_end_the_run(
    connected: None, tmp_path: Path, faults: dict[str, Any], error: type[AppError], words: str
) -> None:
    bucket = Bucket(tmp_path / "bucket", **faults)
    some_pictures(bucket.store, 4)
    with pytest.raises(error, match=words):
        bucket.run("ray")


def test_a_worker_without_a_model_says_so(tmp_path: Path) -> None:
    bucket = Bucket(tmp_path / "bucket", loads=False)
    some_pictures(bucket.store, 1)
    parts = FaultyParts(bucket.settings, bucket.faults)
    read = ReadStage(parts, parts.picture_reader(), lambda contents: [True] * len(contents))
    (result,) = unpack(EmbedStage(parts, lambda key: True, lambda contents: [])(read(pack(bucket.store.list()))))
    assert isinstance(result.error, ModelUnavailable)
    assert str(result.error) == "This worker has no model."


def test_a_read_task_reads_the_facts_and_makes_thumbnails_where_the_settings_say_so(tmp_path: Path) -> None:
    bucket = Bucket(tmp_path / "bucket")
    block = Image.Exif()
    block.get_ifd(ExifTags.IFD.GPSInfo).update({1: "N", 2: (1.5, 0.0, 0.0), 3: "E", 4: (2.5, 0.0, 0.0)})
    bucket.store.put("a.jpg", encoded(Image.new("RGB", (30, 20)), "JPEG", exif=block))
    (tmp_path / "index").mkdir()
    elsewhere = bucket.settings.model_copy(
        update={
            "index": IndexSettings(thumbnails=True, url=str(tmp_path / "index")),
            "metadata": MetadataSettings(gps=True),
        }
    )
    parts = FaultyParts(elsewhere, bucket.faults)
    (result,) = unpack(ReadStage(parts, parts.picture_reader(), lambda contents: [True])(pack(bucket.store.list())))
    assert result.outcome.facts.location == (1.5, 2.5)
    assert result.outcome.facts.perceptual_hash
    assert (tmp_path / "index" / thumbnail_key(image_id_of("a.jpg"))).is_file()


def test_workers_find_folders_that_were_named_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = some_settings("pictures")
    parts = WorkerParts.of(settings.model_copy(update={"index": IndexSettings(url="index")}))
    assert Path(urlsplit(parts.settings.storage.url).path) == tmp_path / "pictures"
    assert Path(urlsplit(parts.settings.index.url).path) == tmp_path / "index"


def test_storage_that_goes_down_ends_the_run(connected: None, tmp_path: Path) -> None:
    class DownAfterListing(WrappedStore):
        def list(self, prefix: str = "", **options: Any) -> Any:
            yield from list(self.inner.list(prefix, **options))
            if not prefix:
                (tmp_path / "bucket").rename(tmp_path / "unmounted")

        def get(self, key: str, **options: Any) -> StoredObject:
            return self.inner.get(key, **options)

    bucket = Bucket(tmp_path / "bucket")
    some_pictures(bucket.store, 12)
    with pytest.raises(StorageUnavailable):
        bucket.run("ray", store=DownAfterListing(bucket.store))


def test_stopped_it_publishes_what_is_done_and_the_next_run_goes_on(
    connected: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "LEAVING_S", LEAVING_S)
    bucket = Bucket(tmp_path / "bucket", waits_for_gate=12 + 23)
    some_pictures(bucket.store)
    report = bucket.run("ray", stop=lambda: bucket.progress.done.get("indexing", 0) > 0)
    assert report.interrupted
    assert 0 < report.added < 24
    assert report.added + report.left == 24
    assert len(bucket.indexed()) == report.added

    (tmp_path / "open").touch()
    following = bucket.run("ray")
    assert (following.added, following.unchanged) == (report.left, report.added)


def test_nothing_to_read_starts_no_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = Bucket(tmp_path / "bucket")
    some_pictures(bucket.store, 2)
    bucket.run("plain")
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    assert bucket.run("ray").unchanged == 2
    assert "starting Ray" not in bucket.progress.done


def test_on_a_ray_of_its_own_a_signal_publishes_what_is_done_and_no_process_stays(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "bucket")
    (tmp_path / "bucket").mkdir()
    for seed in range(11):
        store.put(f"{seed:02}.png", png(seed))
    store.put("zz.png", png(99, (WIDTH, 9)))
    command = [sys.executable, "-m", "tests.indexer.ray.gated_indexer", str(tmp_path), "--progress", "json"]
    environment = {
        **{name: value for name, value in unmeasured().items() if name != "RAY_ADDRESS"},
        "STORAGE_URL": f"file://{tmp_path}/bucket",
        "INDEX_BATCH_SIZE": "2",
        "RAY_worker_niceness": "0",
        "PYTHONPATH": str(ROOT),
    }
    out, err = tmp_path / "out", tmp_path / "err"
    with out.open("wb") as stdout, err.open("wb") as stderr:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=stdout, stderr=stderr)
    try:
        await_true(
            lambda: any(line.get("phase") == "indexing" and line["done"] for line in lines_of(out)),
            lambda: f"it came to nothing: {process.poll()} {err.read_text()}",
        )
        started = descendants(process.pid)
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT_S) == 0, err.read_text()
    finally:
        process.kill()
        process.wait()
    (report,) = [line["report"] for line in lines_of(out) if "report" in line]
    assert report["interrupted"]
    assert report["added"] > 0
    assert report["added"] + report["left"] == 12
    lines = err.read_text().splitlines()
    assert [line for line in lines if "Stopping" in line]
    ours = ("starting Ray", "Set ray log level")  # the second is Ray's own word on being told to be quiet
    assert not [line for line in lines if "ray" in line.lower() and not any(known in line for known in ours)], lines
    assert started
    await_true(lambda: not started & running(), lambda: f"left behind: {started & running()}")


def test_what_ray_says_of_its_workers_is_not_printed_into_the_report() -> None:
    told = """
from indexer.ray.executor import ray_executor
ray_executor(None)
from ray._private.worker import print_to_stdstream  # as its thread for errors does
print_to_stdstream({"lines": ["Task failed", ""], "pid": "raylet", "is_err": False}, ignore_prefix=False)
"""
    done = subprocess.run([sys.executable, "-c", told], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_without_ray_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setenv("STORAGE_URL", f"file://{tmp_path}")
    result = CliRunner().invoke(make_app(), ["--engine", "ray"])
    assert result.exit_code == 1
    assert "pip install 'image2search[ray]'" in result.stderr


@pytest.mark.parametrize(
    ("nodes", "model", "pool"),
    [
        ([{"CPU": 2}], {}, {"num_cpus": 1, "most": 1}),
        ([{"CPU": 16}], {}, {"num_cpus": 4, "most": 3}),
        ([{"CPU": 16}], {"threads": 2}, {"num_cpus": 2, "most": 7}),
        ([{"CPU": 2}] * 8, {"threads": 8}, {"num_cpus": 1, "most": 15}),
        ([{"CPU": 16, "GPU": 1}, {"CPU": 16, "GPU": 2}], {}, {"num_gpus": 1, "num_cpus": 0, "most": 3}),
        ([{"CPU": 8, "GPU": 1}], {"device": "cpu"}, {"num_cpus": 4, "most": 1}),
    ],
)
def test_actors_are_sized_by_the_cluster(
    nodes: list[dict[str, float]], model: dict[str, Any], pool: dict[str, float]
) -> None:
    found = embedding_pool(nodes, ModelSettings(**model))
    compute = found.pop("compute")
    assert (compute.min_size, found | {"most": compute.max_size}) == (1, pool)


def test_one_cpu_is_too_few() -> None:
    with pytest.raises(AppError, match="needs two"):
        embedding_pool([{"CPU": 1}], ModelSettings())


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]


def await_true(condition: Callable[[], bool], otherwise: Callable[[], str]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, otherwise()
        time.sleep(0.05)


def running() -> set[tuple[int, str]]:
    """(process id, start time) of every process."""
    return {(process, start) for process, _, start in processes()}


def descendants(ancestor: int) -> set[tuple[int, str]]:
    family, found = {ancestor}, set()
    for process, parent, start in sorted(processes()):
        if parent in family:
            family.add(process)
            found.add((process, start))
    return found


def processes() -> Iterator[tuple[int, int, str]]:
    """(process id, parent's, start time), zombies left out."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, parent, *rest = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if state != "Z":
            yield int(folder.name), int(parent), rest[17]


def test_captions_are_those_of_the_plain_engine(connected: None, tmp_path: Path) -> None:
    """Of new pictures, in a rebuild where some words stay, and filled in; a picture without words costs nothing."""
    indexes = []
    for engine in ("ray", "plain"):
        (tmp_path / engine).mkdir()
        bucket = Bucket(tmp_path / engine / "bucket")
        some_pictures(bucket.store, 8)
        bucket.store.put("copy.png", png(3, (15, 9)))
        assert bucket.run(engine).captioned == 0
        bucket.faults = replace(bucket.faults, describes=True)
        bucket.store.put("new.png", png(50))
        assert bucket.run(engine).captioned == 1
        bucket.faults = replace(bucket.faults, refuses_to_describe=caption(bucket, "new.png"))
        filled = bucket.run(engine, Options(captions=True))
        assert (filled.captioned, filled.embedded, filled.caption_failed) == (9, 0, ())
        record = next(each for each in bucket.snapshot().records.values() if each.object_key == "copy.png")
        vector = bucket.snapshot().vectors.get([row_id(record.image_id)])
        words = replace(record, caption="my boat", caption_by="person")
        catalog_on(bucket.store, bucket.settings.index).publish(Changes(added=(words,), vectors=vector), MODEL)
        rebuilt = bucket.run(engine, Options(rebuild=True, captions=True))
        assert (rebuilt.captioned, rebuilt.embedded, rebuilt.caption_failed) == (0, 9, ())
        bucket.store.put("new.png", png(51))
        bucket.faults = replace(bucket.faults, refuses_to_describe="#7f7f7f 24x24")
        assert bucket.run(engine).captioned == 1
        indexes.append(
            {each.object_key: (each.caption, each.caption_by) for each in bucket.snapshot().records.values()}
        )
    assert indexes[0] == indexes[1]
    assert indexes[0]["copy.png"] == ("my boat", "person")
    assert indexes[0]["00.png"][1] == NAME


def caption(bucket: Bucket, key: str) -> str:
    return next(str(each.caption) for each in bucket.snapshot().records.values() if each.object_key == key)


def test_pictures_without_words_are_named_by_ray_too(connected: None, tmp_path: Path) -> None:
    bucket = Bucket(tmp_path / "bucket", describes=True)
    some_pictures(bucket.store, 4)
    bucket.run("plain")
    (tmp_path / "new").mkdir()
    other = Bucket(tmp_path / "new" / "bucket", describes=True, refuses_to_describe=caption(bucket, "02.png"))
    some_pictures(other.store, 4)
    report = other.run("ray")
    assert (report.added, report.captioned, [each.key for each in report.caption_failed]) == (4, 3, ["02.png"])
