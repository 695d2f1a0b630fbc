"""The Ray engine: reading, decoding and embedding as a Ray Data pipeline, on this machine or on a cluster.

Objects -> tasks that read and decode -> actors that embed, one for each GPU -> this process, the only one that
publishes. What lies between the stages is bounded by Ray's object store; a worker that dies is replaced and what it
had in hand is done again.
"""

import logging
import math
import os
import signal
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from queue import Empty, Full, Queue
from typing import TYPE_CHECKING, Any, TypeAlias

from app.errors import AppError, InvalidSettings, ModelUnavailable, ObjectNotFound
from app.ingest.reading import Content, Failure, Gone
from app.pictures.decoding import Picture
from app.settings import ImageSettings, ModelSettings
from app.storage.base import ObjectInfo, ObjectStore
from app.types import ImageRecord, Skip
from indexer.progress import Progress
from indexer.ray.workers import COLUMN, EmbedStage, Ledger, Parcel, ReadStage, Recipe, Row, key_of, packed, unpacked
from indexer.results import Harvest, Harvester

if TYPE_CHECKING:
    from ray.data import Dataset

    from indexer.executor import Model, Parts

log = logging.getLogger(__name__)

ADDRESS = "RAY_ADDRESS"
"""Ray's own variable for the cluster to join."""

READ_TOGETHER = 16
"""Objects that one read task holds at a time, undecoded."""

BLOCKS_PER_CPU = 4
"""Least number of read tasks for each CPU, where there are objects enough: they end at about the same time."""

THREADS_PER_MODEL = 4
"""CPUs of one embedding actor where there is no GPU."""

MAX_LOST_BLOCKS = 32
"""Read tasks that Ray has given up, after tries of its own, before the run is: then it is not the pictures."""

LEAVING_S = 10
"""Patience with what is being embedded when a run is left early."""

READ_MEMORY = 1 << 20
"""Bytes asked for by a read task: few, but other than what an embedding actor asks for, as else Ray Data would run both
stages in the actor, where the model waits for the reading."""

LOST = "The Ray worker that read it died several times, perhaps out of memory. See Ray's logs on its node."

Contents: TypeAlias = dict[str, list[Content]]
"""By content hash."""


class RayEngine:
    """Makes the pipeline of one run. Raises InvalidSettings when Ray is not installed."""

    def __init__(self, recipe: Recipe) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")  # A late call after the end would start another Ray.
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # Its core speaks on our stderr, over the bar.
        os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", "^")  # It tells of workers' ends on our stdout, in our JSON.
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # Without it Ray warns of its own future.
        try:
            import ray.data  # noqa: F401 - is it there?
        except ImportError as error:
            raise InvalidSettings(
                f"--engine ray needs Ray, which is not installed ({error}). Run: pip install 'image2search[ray]'"
            ) from error
        self._recipe = recipe

    def __call__(self, parts: "Parts", known: Mapping[str, ImageRecord], harvester: Harvester) -> "RayPipeline":
        return RayPipeline(self._recipe, parts.store, parts.model, known, harvester)


class RayPipeline:
    """One pass over the objects to read."""

    def __init__(
        self, recipe: Recipe, store: ObjectStore, model: "Model", known: Collection[str], harvester: Harvester
    ) -> None:
        """Contents whose hash is `known` are neither decoded nor embedded."""
        self._recipe = recipe
        self._store = store
        self._model = model
        self._known = known
        self._harvester = harvester
        self._waiting: Contents = {}
        """Pictures whose equals are being embedded."""
        self._without_vector: dict[str, Skip | Failure] = {}
        """By content hash, what came of the one that was tried for all its equals."""

    @property
    def harvest(self) -> Harvest:
        return self._harvester.harvest

    def prepare(self, progress: Progress, *, needs_model: bool) -> None:
        """Start or join a cluster; the model is the workers' own. Raises AppError."""
        progress.phase("starting Ray")
        _start_ray(self._recipe)

    def run(self, objects: Sequence[ObjectInfo], stop: Callable[[], bool]) -> None:
        """Fill `harvest`; when `stop` turns true, with what has come by then. `prepare` comes before.

        Raises AppError and what nobody expected; `harvest` holds what was done before.
        """
        unseen = {info.key for info in objects}
        parcels = _Parcels(partial(self._dataset, objects, self._recipe.picture_reader()))
        try:
            with parcels:
                for parcel in parcels:
                    if stop():
                        self.harvest.interrupted = True
                        break
                    if parcel is not None:
                        self._open(parcel)
                        unseen -= {key_of(row.outcome) for row in parcel.rows}
        finally:
            if parcels.ended:  # else Ray stops with this process: under a thread that still uses it, it would end both
                _stop_ray()
        self._settle(unseen)

    def _dataset(self, objects: Sequence[ObjectInfo], read: Callable[[bytes, ImageSettings], Picture]) -> "Dataset":
        import ray

        index = self._recipe.settings.index
        cpus = int(sum(node.get("CPU", 0) for node in _resources()))
        ledger = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(Ledger).remote(frozenset(self._known))
        block_size = min(index.batch_size, math.ceil(len(objects) / (BLOCKS_PER_CPU * cpus)))
        items = [{COLUMN: item} for item in packed(objects)[COLUMN]]
        return (
            ray.data.from_items(items, override_num_blocks=math.ceil(len(items) / block_size))
            .map_batches(
                ReadStage(self._recipe, read, partial(_claim, ledger)),
                batch_size=min(READ_TOGETHER, block_size),  # a larger one would merge blocks first
                num_cpus=1,
                memory=READ_MEMORY,
            )
            .map_batches(
                EmbedStage,
                fn_constructor_args=(self._recipe, partial(_begin, ledger)),
                batch_size=index.batch_size,
                **embedding_pool(_resources(), self._recipe.settings.model),
            )
        )

    def _open(self, parcel: Parcel) -> None:
        if parcel.error:
            raise parcel.error
        if parcel.identity:
            if parcel.identity.fingerprint != self._model.fingerprint:
                raise ModelUnavailable(
                    f"Ray's workers have another model under the name {parcel.identity.name} than this machine. "
                    f"Give every node the same files, or set MODEL_REVISION to one commit."
                )
            self._model.worked_elsewhere(parcel.identity)
        for row in parcel.rows:
            self._take(row)

    def _take(self, row: Row) -> None:
        outcome = row.outcome
        self._harvester.watch(outcome)
        if not isinstance(outcome, Content):
            if isinstance(outcome, Gone):
                self._check_gone(outcome)
            else:
                self._without_vector[row.content_hash] = outcome
            self._harvester.note(outcome)
        elif row.vector is not None:
            same = [outcome, *self._waiting.pop(row.content_hash, [])]
            self._harvester.add_embedded(same, row.size, row.vector)
        elif row.content_hash in self._known:
            self._harvester.take_vector_of_indexed(outcome)
        elif not self._harvester.take_vector_of_embedded(outcome):
            self._waiting.setdefault(row.content_hash, []).append(outcome)

    def _check_gone(self, gone: Gone) -> None:
        """Whether it is gone here too: a picture that only the workers do not see must stay in the index."""
        with suppress(ObjectNotFound):
            self._store.get_range(gone.key, 0, 1)
            raise InvalidSettings(
                f"A Ray worker does not find {gone.key}, and here it is: {self._store.uri(gone.key)}. Every node needs "
                f"the same pictures at the same place: mount the folder there too, or set STORAGE_URL to s3://bucket."
            )

    def _settle(self, unseen: set[str]) -> None:
        """What is still open: pictures whose equals came to nothing, and those that died with their workers."""
        for content_hash, same in self._waiting.items():
            for content in same:
                tried = self._without_vector.get(content_hash)
                if isinstance(tried, Skip):
                    self._harvester.note(Skip(content.info.key, content.etag, tried.reason))
                elif tried is not None:
                    self._harvester.note(Failure(content.info.key, tried.reason))
                else:
                    unseen.add(content.info.key)
        if not self.harvest.interrupted:
            for key in sorted(unseen):
                self._harvester.note(Failure(key, LOST))


class _Parcels:
    """Context manager and iterator of what comes out of the last stage, fetched by a thread of its own."""

    def __init__(self, make_dataset: "Callable[[], Dataset]") -> None:
        self._make_dataset = make_dataset
        self._queue: Queue[Parcel | Exception | None] = Queue(maxsize=4)
        self._left = False
        self._thread = threading.Thread(target=self._fetch, name="ray-parcels", daemon=True)

    def __enter__(self) -> "_Parcels":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left = True
        self._thread.join(LEAVING_S)

    @property
    def ended(self) -> bool:
        return not self._thread.is_alive()

    def __iter__(self) -> Iterator[Parcel | None]:
        """Yields None now and then while the next one is not there yet. Raises AppError when the pipeline fails."""
        while True:
            try:
                item = self._queue.get(timeout=0.2)
            except Empty:
                yield None
                continue
            if item is None:
                return
            if isinstance(item, Exception):
                reason = next(iter(str(item).splitlines()), "") or type(item).__name__
                raise AppError(
                    f"The Ray pipeline failed ({reason}). See Ray's logs and that every node has this version of "
                    f"image2search; then run again."
                ) from item
            yield item

    def _fetch(self) -> None:
        try:
            for batch in self._make_dataset().iter_batches(batch_size=None, batch_format="numpy"):
                for parcel in unpacked(batch):
                    self._put(parcel)
                if self._left:
                    return
            self._put(None)
        except Exception as error:  # noqa: BLE001 - raised again in the thread that iterates.
            self._put(error)

    def _put(self, item: Parcel | Exception | None) -> None:
        while not self._left:
            with suppress(Full):
                return self._queue.put(item, timeout=0.2)
        return None


def _claim(ledger: Any, contents: Sequence[tuple[str, str]]) -> list[bool]:
    import ray

    turns: list[bool] = ray.get(ledger.claim.remote(contents))
    return turns


def _begin(ledger: Any, key: str) -> bool:
    import ray

    worth_it: bool = ray.get(ledger.begin.remote(key))
    return worth_it


def _resources() -> list[dict[str, float]]:
    """Of each living node, such as `{"CPU": 8.0, "GPU": 1.0}`."""
    import ray

    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return [node["Resources"] for node in nodes if node["Alive"]]


def embedding_pool(resources: Sequence[dict[str, float]], model: ModelSettings) -> dict[str, Any]:
    """How many embedding actors, and what each takes: a GPU, or some CPUs of which one is left for reading."""
    from ray.data import ActorPoolStrategy

    gpus = int(sum(each.get("GPU", 0) for each in resources))
    if gpus and model.device != "cpu":
        return {"num_gpus": 1, "num_cpus": 0, "compute": ActorPoolStrategy(min_size=1, max_size=gpus)}
    cpus = [int(each.get("CPU", 0)) for each in resources]
    if sum(cpus) < 2:
        raise AppError("The Ray cluster has one CPU and needs two, one to read and one to embed. Add a node.")
    threads = min(model.threads or THREADS_PER_MODEL, max(1, max(cpus) // 2))
    most = max(1, (sum(cpus) - 1) // threads)
    return {"num_cpus": threads, "compute": ActorPoolStrategy(min_size=1, max_size=most)}


def _start_ray(recipe: Recipe) -> None:
    """Join the cluster that RAY_ADDRESS names, or start one on this machine, quietly. Raises AppError."""
    import ray

    address = os.environ.get(ADDRESS)
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        with _signals_kept():
            if address:
                ray.init(**quiet)
            else:
                ray.init("local", include_dashboard=False, num_cpus=max(2, os.cpu_count() or 1), **quiet)
    except Exception as error:  # Ray raises no class of its own here, plain Exception among others.
        ray.shutdown()
        where = f"The Ray cluster {ADDRESS}={address} does not answer" if address else "Ray can't be started here"
        reason = next(iter(str(error).splitlines()), "")
        remedy = f"Start it, or unset {ADDRESS} to use this machine" if address else "See /tmp/ray, or --engine plain"
        raise AppError(f"{where} ({reason}). {remedy}.") from error
    if address and recipe.settings.storage.url.startswith("file:"):
        log.warning("Every node of the Ray cluster needs the pictures at %s.", recipe.settings.storage.url)
    _keep_ray_data_quiet()


def _stop_ray() -> None:
    import ray

    ray.shutdown()


def _keep_ray_data_quiet() -> None:
    """No bars and no remarks beside ours; its log file has them."""
    import ray

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.max_errored_blocks = MAX_LOST_BLOCKS
    logger = logging.getLogger("ray.data")
    for handler in [handler for handler in logger.handlers if isinstance(handler, logging.StreamHandler)]:
        logger.removeHandler(handler)


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Ray takes SIGTERM for itself; ours, which lets a run publish, comes back."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
