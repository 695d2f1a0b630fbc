"""Reads ahead of the model in threads, in order, bounded by count and by decoded bytes.

An object counts as outstanding from the moment its read is queued until the consumer releases its outcome.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from functools import partial
from queue import SimpleQueue
from types import TracebackType

from app.ingest.reading import Content, Reader, ReadOutcome
from app.storage.base import ObjectInfo, StoredObject

MAX_DECODED_BYTES = 1 << 30
"""Limit for decoded pictures in memory, exceeded by at most one picture for each reader thread. It holds many shrunken
pictures, or 28 photographs of 12 Mpixel for a model that needs them in full size."""


class LookAhead:
    """Context manager and iterator of outcomes in the order of `objects`. Call `release` for each one when done.

    Leaving it early does not wait for reads in progress: their outcomes are dropped and the threads end by themselves.
    """

    def __init__(
        self,
        reader: Reader,
        objects: Iterable[ObjectInfo],
        *,
        readers: int,
        limit: int,
        max_decoded_bytes: int = MAX_DECODED_BYTES,
    ) -> None:
        self._reader = reader
        self._objects = enumerate(objects)
        self._limit = limit
        self._threads = _ReaderThreads(readers)
        self._gate = _DecodeGate(max_decoded_bytes)
        self._pending: deque[tuple[int, Future[ReadOutcome]]] = deque()
        self._outstanding = 0

    def __enter__(self) -> "LookAhead":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for _, future in self._pending:
            future.cancel()
        self._gate.open()
        self._threads.end()

    def __iter__(self) -> Iterator[ReadOutcome | None]:
        """Yields None five times a second while the next object is being read: time to check for a stop."""
        self._top_up()
        while self._pending:
            number, future = self._pending[0]
            self._gate.let_through(number)
            while not wait([future], timeout=0.2).done:
                yield None
            self._pending.popleft()
            yield future.result()
            self._top_up()

    def release(self, outcome: ReadOutcome) -> None:
        """Count the outcome's memory as free; another object may be read."""
        self._outstanding -= 1
        self._gate.release(_decoded_bytes(outcome))

    @property
    def cramped(self) -> bool:
        """Whether reading waits for memory and no outcome is ready: the caller must embed and release what it has."""
        return self._gate.full and not (self._pending and self._pending[0][1].done())

    def _top_up(self) -> None:
        while self._outstanding < self._limit:
            following = next(self._objects, None)
            if following is None:
                return
            number, info = following
            self._outstanding += 1
            self._pending.append((number, self._threads.submit(partial(self._read, number, info))))

    def _read(self, number: int, info: ObjectInfo) -> ReadOutcome:
        stored = self._reader.fetch(info)
        if not isinstance(stored, StoredObject):
            return stored
        self._gate.enter(number)
        outcome = self._reader.decode(info, stored)
        self._gate.hold(_decoded_bytes(outcome))
        return outcome


class _ReaderThreads:
    """Threads that never keep the process alive, unlike those of ThreadPoolExecutor: a read may hang for minutes."""

    def __init__(self, count: int) -> None:
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._count = count
        for number in range(count):
            threading.Thread(target=self._work, name=f"reader-{number}", daemon=True).start()

    def submit(self, read: Callable[[], ReadOutcome]) -> Future[ReadOutcome]:
        future: Future[ReadOutcome] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                outcome = read()
            except BaseException as error:  # noqa: BLE001 - the future raises it in the thread that asks for the outcome
                future.set_exception(error)
            else:
                future.set_result(outcome)

        self._jobs.put(run)
        return future

    def end(self) -> None:
        for _ in range(self._count):
            self._jobs.put(None)

    def _work(self) -> None:
        while (run := self._jobs.get()) is not None:
            run()
            del run


class _DecodeGate:
    """Lets readers decode while there is memory; the object that the consumer waits for may always be decoded."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._held = 0
        self._first = 0
        self._is_open = False
        self._changed = threading.Condition()

    @property
    def full(self) -> bool:
        return self._held >= self._max_bytes

    def enter(self, number: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self.full or number <= self._first or self._is_open)

    def hold(self, size_bytes: int) -> None:
        with self._changed:
            self._held += size_bytes

    def release(self, size_bytes: int) -> None:
        with self._changed:
            self._held -= size_bytes
            self._changed.notify_all()

    def let_through(self, number: int) -> None:
        with self._changed:
            self._first = number
            self._changed.notify_all()

    def open(self) -> None:
        with self._changed:
            self._is_open = True
            self._changed.notify_all()


def _decoded_bytes(outcome: ReadOutcome) -> int:
    """An RGB picture has three bytes a pixel."""
    if not isinstance(outcome, Content) or outcome.picture is None:
        return 0
    sizes = [outcome.picture.image, *filter(None, [outcome.picture.second])]
    return sum(3 * image.width * image.height for image in sizes)
