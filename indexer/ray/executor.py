"""The executor on Ray: reading, decoding and embedding as a Ray Data pipeline, on this machine or on a cluster.

Objects -> tasks that read and decode -> actors that embed, one for each GPU -> this process, the only one that
publishes. Ray's object store bounds what lies between the stages. A worker that dies is replaced, and its objects are
read again.
"""

import logging
import math
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from queue import Empty, Full, Queue
from typing import TYPE_CHECKING, Any, TypeAlias

from app.bootstrap import Parts
from app.errors import AppError, InvalidSettings, ModelUnavailable, ObjectNotFound, first_line
from app.ingest.reading import Content, Failure, Gone, has_details, key_of
from app.pictures.decoding import ReadPicture
from app.settings import ModelSettings, StorageSettings
from app.storage.base import ObjectInfo
from app.storage.urls import scheme_of
from app.types import ImageRecord, Skip
from indexer.executor import Described, MakeExecutor
from indexer.progress import Progress
from indexer.ray.workers import (
    COLUMN,
    BatchResult,
    CaptionStage,
    Claims,
    EmbedStage,
    ObjectResult,
    ReadStage,
    WorkerParts,
    pack,
    unpack,
)
from indexer.results import ResultCollector
from indexer.signals import Stop

if TYPE_CHECKING:
    from ray.data import Dataset

log = logging.getLogger(__name__)

ADDRESS = "RAY_ADDRESS"
"""Ray's own variable for the cluster to join."""

MAX_READ_BATCH = 16
"""Objects that one read task holds at a time, undecoded."""

BLOCKS_PER_CPU = 4
"""Least number of read tasks for each CPU, if there are enough objects: the CPUs then finish at about the same time."""

THREADS_PER_MODEL = 4
"""CPUs of one embedding actor where there is no GPU."""

MAX_ATTEMPTS = 5
"""How often a batch is embedded when each attempt ends with the worker's death: the batch itself may be the reason."""

MAX_LOST_BLOCKS = 32
"""The run ends after Ray has given up this number of read tasks: more are not the pictures' fault."""

LEAVING_S = 10
"""How long a run that is left early waits for the batch that is being embedded."""

READ_MEMORY = 1 << 20
"""Bytes that a read task asks for: few, but not what an embedding actor asks for. With equal demands Ray Data would
run both stages in one actor, where the model would wait for the reading."""

LOST = "The Ray worker that read it died several times, perhaps out of memory. See Ray's logs on its node."

ContentsByHash: TypeAlias = dict[str, list[Content]]


def ray_executor(worker_parts: WorkerParts) -> MakeExecutor:
    """Makes executors whose workers use these parts. Raises InvalidSettings when Ray is not installed."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")  # a late call after the end would start another Ray
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # its core logs to our stderr, over the bar
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", "^")  # it prints workers' deaths to our stdout, into our JSON
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # without it Ray warns of a future change
    try:
        import ray.data  # noqa: F401 - only to see whether it is installed
    except ImportError as error:
        raise InvalidSettings(
            f"--engine ray needs Ray, which is not installed ({error}). Run: pip install 'image2search[ray]'"
        ) from error
    return partial(RayExecutor, worker_parts)


class RayExecutor:
    """Goes once through the objects to read."""

    def __init__(
        self, worker_parts: WorkerParts, parts: Parts, known: Mapping[str, ImageRecord], collector: ResultCollector
    ) -> None:
        """Contents whose hash is in `known` are neither decoded nor embedded, if their record has its details."""
        self._worker_parts = worker_parts
        self._store = parts.store
        self._model = parts.model
        self._captioner = parts.captioner
        self._known = frozenset(content_hash for content_hash, record in known.items() if has_details(record))
        self._collector = collector
        self._started_ray = False
        self._waiting: ContentsByHash = {}
        """Pictures whose equal bytes are being embedded under another key."""
        self._without_vector: dict[str, Skip | Failure] = {}
        """By content hash, the outcome of the object that was to be embedded for all its equals."""

    def prepare(self, objects: Sequence[ObjectInfo], progress: Progress, *, needs_model: bool) -> None:
        """Start or join a cluster, unless this process is connected already. The workers load the model.

        Raises AppError.
        """
        import ray

        if self._captioner:
            log.info("The captioner is %s.", self._captioner.name)
        if not ray.is_initialized():
            progress.phase("starting Ray")
            start_ray(self._worker_parts.settings.storage)
            self._started_ray = True

    def prepare_captions(self, progress: Progress) -> None:
        """As `prepare`. Raises AppError."""
        self.prepare((), progress, needs_model=False)

    def caption(self, objects: Iterable[ObjectInfo]) -> Iterator[Sequence[Described]]:
        """As `Executor.caption`; `prepare_captions` comes before."""
        batches = _BatchResults(partial(self._caption_dataset, list(objects)))
        try:
            with batches:
                for batch in batches:
                    if batch is not None and batch.error:
                        raise batch.error
                    yield [Described(each.outcome, each.said) for each in batch.objects] if batch else ()
        finally:
            if self._started_ray and batches.ended:
                stop_ray()

    def run(self, objects: Sequence[ObjectInfo], stop: Stop) -> None:
        """As `Executor.run`; `prepare` comes before."""
        unseen = {info.key for info in objects}
        batches = _BatchResults(partial(self._dataset, objects, self._worker_parts.picture_reader()))
        try:
            with batches:
                for batch in batches:
                    if stop():
                        self._collector.results.interrupted = True
                        break
                    if batch is not None:
                        self._take_batch(batch)
                        unseen -= {key_of(each.outcome) for each in batch.objects}
        finally:
            if self._started_ray and batches.ended:
                stop_ray()  # while the thread still uses Ray, this would end the process; then Ray ends with it
        self._settle(unseen)

    def _dataset(self, objects: Sequence[ObjectInfo], read_picture: ReadPicture) -> "Dataset":
        import ray

        settings = self._worker_parts.settings
        cpus = int(sum(node.get("CPU", 0) for node in _resources()))
        make_claims = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(Claims)
        claims = make_claims.remote(self._known, MAX_ATTEMPTS, self._settled(objects))
        block_size = min(settings.index.batch_size, math.ceil(len(objects) / (BLOCKS_PER_CPU * cpus)))
        items = [{COLUMN: item} for item in pack(objects)[COLUMN]]
        return (
            ray.data.from_items(items, override_num_blocks=math.ceil(len(items) / block_size))
            .map_batches(
                ReadStage(
                    self._worker_parts,
                    read_picture,
                    partial(_claim, claims),
                    self._captioner.resize if self._captioner else None,
                ),
                batch_size=min(MAX_READ_BATCH, block_size),  # a larger one would merge blocks first
                num_cpus=1,
                memory=READ_MEMORY,
            )
            .map_batches(
                EmbedStage,
                fn_constructor_args=(self._worker_parts, partial(_begin, claims), partial(_wants_captions, claims)),
                batch_size=settings.index.batch_size,
                **embedding_pool(_resources(), settings.model),
            )
        )

    def _settled(self, objects: Sequence[ObjectInfo]) -> dict[str, str]:
        """As `Claims` takes it: pictures whose captions are a person's, or this captioner's already."""
        return self._collector.settled(objects, self._captioner.name) if self._captioner else {}

    def _caption_dataset(self, objects: Sequence[ObjectInfo]) -> "Dataset":
        import ray

        assert self._captioner is not None
        settings = self._worker_parts.settings
        without = settings.model_copy(update={"index": settings.index.model_copy(update={"thumbnails": False})})
        parts = replace(self._worker_parts, settings=without)
        make_claims = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(Claims)
        claims = make_claims.remote(frozenset(), MAX_ATTEMPTS)
        size = settings.caption.batch_size
        items = [{COLUMN: item} for item in pack(objects)[COLUMN]]
        return (
            ray.data.from_items(items, override_num_blocks=math.ceil(len(items) / size))
            .map_batches(
                ReadStage(parts, self._captioner.resize, _all_claimed),
                batch_size=min(MAX_READ_BATCH, size),
                num_cpus=1,
                memory=READ_MEMORY,
            )
            .map_batches(
                CaptionStage,
                fn_constructor_args=(parts, partial(_begin, claims)),
                batch_size=size,
                **embedding_pool(_resources(), settings.model),
            )
        )

    def _take_batch(self, batch: BatchResult) -> None:
        if batch.error:
            raise batch.error
        if batch.identity:
            if batch.identity.fingerprint != self._model.fingerprint:
                raise ModelUnavailable(
                    f"Ray's workers have another model under the name {batch.identity.name} than this machine. "
                    f"Give every node the same files, or set MODEL_REVISION to one commit."
                )
            self._model.worked_elsewhere(batch.identity)
        for each in batch.objects:
            self._take(each)

    def _take(self, result: ObjectResult) -> None:
        outcome = result.outcome
        self._collector.count_failures(outcome)
        if not isinstance(outcome, Content):
            if isinstance(outcome, Gone):
                self._check_gone(outcome)
            else:
                self._without_vector[result.content_hash] = outcome
            self._collector.add_unindexed(outcome)
        elif result.vector is not None:
            same = [outcome, *self._waiting.pop(result.content_hash, [])]
            self._collector.add_embedded(same, result.size, result.vector, result.said)
        elif result.content_hash in self._known:
            self._collector.copy_indexed(outcome)
        elif not self._collector.copy_embedded(outcome):
            self._waiting.setdefault(result.content_hash, []).append(outcome)

    def _check_gone(self, gone: Gone) -> None:
        """Raise InvalidSettings if only the workers don't see the picture: then it must stay in the index."""
        with suppress(ObjectNotFound):
            self._store.get_range(gone.key, 0, 1)
            raise InvalidSettings(
                f"A Ray worker does not find {gone.key}, and here it is: {self._store.uri(gone.key)}. Every node needs "
                f"the same pictures at the same place: mount the folder there too, or set STORAGE_URL to s3://bucket."
            )

    def _settle(self, unseen: set[str]) -> None:
        """Close what is open: pictures whose equals got no vector, and pictures that were lost with their workers."""
        for content_hash, same in self._waiting.items():
            for content in same:
                tried = self._without_vector.get(content_hash)
                if isinstance(tried, Skip):
                    self._collector.add_unindexed(Skip(content.info.key, content.etag, tried.reason))
                elif tried is not None:
                    self._collector.add_unindexed(Failure(content.info.key, tried.reason))
                else:
                    unseen.add(content.info.key)
        if not self._collector.results.interrupted:
            for key in sorted(unseen):
                self._collector.add_unindexed(Failure(key, LOST))


class _BatchResults:
    """Context manager and iterator of what comes out of the last stage, fetched by a thread of its own."""

    def __init__(self, make_dataset: "Callable[[], Dataset]") -> None:
        self._make_dataset = make_dataset
        self._queue: Queue[BatchResult | Exception | None] = Queue(maxsize=4)
        self._left = False
        self._thread = threading.Thread(target=self._fetch, name="ray-batches", daemon=True)

    def __enter__(self) -> "_BatchResults":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left = True
        self._thread.join(LEAVING_S)

    @property
    def ended(self) -> bool:
        return not self._thread.is_alive()

    def __iter__(self) -> Iterator[BatchResult | None]:
        """Yields None five times a second while there is no result. Raises AppError when the pipeline fails."""
        while True:
            try:
                item = self._queue.get(timeout=0.2)
            except Empty:
                yield None
                continue
            if item is None:
                return
            if isinstance(item, Exception):
                raise AppError(
                    f"The Ray pipeline failed ({first_line(item)}). Look into Ray's logs, and check that every node "
                    f"has this version of image2search; then run again."
                ) from item
            yield item

    def _fetch(self) -> None:
        try:
            for batch in self._make_dataset().iter_batches(batch_size=None, batch_format="numpy"):
                for result in unpack(batch):
                    self._put(result)
                if self._left:
                    return
            self._put(None)
        except Exception as error:  # noqa: BLE001 - the thread that iterates raises it again
            self._put(error)

    def _put(self, item: BatchResult | Exception | None) -> None:
        while not self._left:
            with suppress(Full):
                return self._queue.put(item, timeout=0.2)
        return None


def _claim(claims: Any, contents: Sequence[tuple[str, str]]) -> list[bool]:
    import ray

    claimed: list[bool] = ray.get(claims.claim.remote(contents))
    return claimed


def _all_claimed(contents: Sequence[tuple[str, str]]) -> list[bool]:
    return [True] * len(contents)


def _wants_captions(claims: Any, contents: Sequence[tuple[str, str]]) -> list[bool]:
    import ray

    wanted: list[bool] = ray.get(claims.wants_captions.remote(contents))
    return wanted


def _begin(claims: Any, key: str) -> bool:
    import ray

    may_begin: bool = ray.get(claims.begin.remote(key))
    return may_begin


def _resources() -> list[dict[str, float]]:
    """For each living node, such as `{"CPU": 8.0, "GPU": 1.0}`."""
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


def start_ray(storage: StorageSettings) -> None:
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
    except Exception as error:  # Ray has no base class for its errors, and raises plain Exception as well
        ray.shutdown()
        where = f"The Ray cluster {ADDRESS}={address} does not answer" if address else "Ray can't be started here"
        remedy = f"Start it, or unset {ADDRESS} to use this machine" if address else "See /tmp/ray, or --engine plain"
        raise AppError(f"{where} ({first_line(error)}). {remedy}.") from error
    if address and scheme_of(storage.url) == "file":
        log.warning("Every node of the Ray cluster needs the pictures at %s.", storage.url)
    _keep_ray_data_quiet()


def stop_ray() -> None:
    """Leave the cluster, or stop the one that `start_ray` started."""
    import ray

    ray.shutdown()


def _keep_ray_data_quiet() -> None:
    """Turn off the bars and messages that Ray Data would print between ours; its log file has them."""
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
    """Put our SIGTERM handler back, which Ray replaces: it lets a run publish."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
