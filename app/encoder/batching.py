"""Concurrent requests share the model's forward passes.

`embed_text` and `embed_image` put a request into a queue. One worker thread takes what waits and runs the embedder.
A single request starts at once. While a pass runs, new requests gather for the next pass. A text that was embedded
before comes from a cache and needs no pass.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from cachetools import LRUCache
from PIL import Image

from app.errors import Overloaded, Unavailable
from app.models.base import Embedder
from app.settings import BatchSettings
from app.types import Vectors

MAX_RETRY_AFTER_S: Final = 60

BACKGROUND_SIZE: Final = 8
"""Texts or pictures that are embedded together where requests may wait behind them."""

Answer: TypeAlias = Vectors | Exception
"""The (D,) vector of one item, or why there is none."""


@dataclass(eq=False, slots=True)
class _Request:
    item: Any
    future: asyncio.Future[Vectors]
    arrived_s: float


@dataclass(eq=False, slots=True)
class _Queue:
    encode: Callable[[Sequence[Any]], Vectors]
    waiting: deque[_Request]


class TextCache:
    """The vectors of the last texts that were asked for; the least recently used text is dropped. For one thread."""

    def __init__(self, size: int) -> None:
        """`size`: how many texts are kept; 0 keeps none."""
        self._vectors: LRUCache[str, Vectors] = LRUCache(size)
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._vectors)

    def get(self, text: str) -> Vectors | None:
        """(D,) float32, read-only; None for a text that is not in the cache."""
        vector: Vectors | None = self._vectors.get(text)
        if vector is None:
            self.misses += 1
        else:
            self.hits += 1
        return vector

    def put(self, text: str, vector: Vectors) -> None:
        """Keep a copy of (D,): a row of a batch would keep the whole batch in memory."""
        if self._vectors.maxsize:
            kept = vector.copy()
            kept.flags.writeable = False
            self._vectors[text] = kept


class MicroBatcher:
    """An async shell over an `Embedder`: a bounded queue, and one thread that runs the model."""

    def __init__(self, embedder: Embedder, settings: BatchSettings) -> None:
        self._settings = settings
        self.text_cache = TextCache(settings.text_cache)
        self._texts = _Queue(embedder.encode_texts, deque())
        self._images = _Queue(embedder.encode_images, deque())
        self._turns = deque((self._texts, self._images))
        self._wake = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None
        self._accepting = False
        self._pass_s = 0.0

    async def start(self) -> None:
        """Accept requests from now on."""
        if self._worker is None:
            self._accepting = True
            self._worker = asyncio.create_task(self._work(), name="micro-batcher")

    async def stop(self) -> None:
        """Answer the accepted requests and refuse new ones. Returns when the worker thread has ended."""
        self._accepting = False
        self._wake.set()
        if self._worker is not None:
            await asyncio.shield(self._worker)
            self._worker = None

    @property
    def waiting(self) -> int:
        """How many requests wait for a pass."""
        return len(self._texts.waiting) + len(self._images.waiting)

    async def embed_text(self, text: str) -> Vectors:
        """(D,) float32, unit length. Raises `Overloaded` when the queue is full, `Unavailable` when stopped."""
        known = self.text_cache.get(text)
        if known is not None:
            return known
        vector = await self._submit(self._texts, text)
        self.text_cache.put(text, vector)
        return vector

    async def warm_up(self, batches: Iterable[Sequence[str]]) -> None:
        """Embed these texts, one batch after the other, and forget the vectors. Requests wait for one batch at most.

        The model makes some of its kernels when it first sees a batch of that size.
        """
        for batch in batches:
            await asyncio.gather(*(self._submit(self._texts, text) for text in batch), return_exceptions=True)

    async def embed_texts(self, texts: Sequence[str]) -> list[Vectors]:
        """As `embed_text` of each, in the background: requests wait for one small batch at most, and go first.

        Raises `Unavailable` when stopped. Exceptions of the model propagate.
        """
        return await self._in_background(self._texts, texts)

    async def embed_images(self, images: Sequence[Image.Image]) -> list[Vectors]:
        """As `embed_texts`, of RGB pictures."""
        return await self._in_background(self._images, images)

    async def embed_image(self, image: Image.Image) -> Vectors:
        """(D,) float32, unit length, of an RGB picture. Raises as `embed_text`."""
        return await self._submit(self._images, image)

    async def _in_background(self, queue: _Queue, items: Sequence[Any]) -> list[Vectors]:
        vectors: list[Vectors] = []
        size = min(BACKGROUND_SIZE, self._settings.max_size, self._settings.max_queue)
        while len(vectors) < len(items):
            batch = items[len(vectors) : len(vectors) + size]
            made = await asyncio.gather(*(self._submit(queue, item) for item in batch), return_exceptions=True)
            if any(isinstance(one, Overloaded) for one in made):
                await asyncio.sleep(self._time_to_empty_s())
                continue
            vectors += _without_errors(made)
        return vectors

    async def _submit(self, queue: _Queue, item: Any) -> Vectors:
        if not self._accepting:
            raise Unavailable("The model takes no requests: the service is starting or stopping. Try again shortly.")
        if self.waiting >= self._settings.max_queue:
            raise Overloaded(
                f"{self.waiting} requests already wait for the model. Try again shortly.",
                retry_after_s=self._time_to_empty_s(),
            )
        request = _Request(item, asyncio.get_running_loop().create_future(), time.monotonic())
        queue.waiting.append(request)
        self._wake.set()
        try:
            return await request.future
        finally:
            if request in queue.waiting:  # cancelled before its pass began
                queue.waiting.remove(request)

    def _time_to_empty_s(self) -> int:
        passes = math.ceil(self.waiting / self._settings.max_size) + 1
        return min(MAX_RETRY_AFTER_S, max(1, math.ceil(passes * self._pass_s)))

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="model")
        batch: list[_Request] = []
        try:
            while self._accepting or self.waiting:
                queue = self._next_queue()
                await self._gather(queue)
                batch = self._take(queue)
                if not batch:
                    await self._wake.wait()
                    continue
                started = time.monotonic()
                answers = await loop.run_in_executor(thread, _run, queue.encode, [request.item for request in batch])
                self._pass_s = time.monotonic() - started
                for request, answer in zip(batch, answers, strict=True):
                    _answer(request, answer)
        finally:
            self._accepting = False
            self._fail(batch)
            thread.shutdown(wait=False)

    def _next_queue(self) -> _Queue:
        """The queue of the next pass. While both queues hold requests, texts and pictures take turns."""
        self._wake.clear()
        self._turns.rotate()
        if not self._turns[0].waiting:
            self._turns.rotate()
        return self._turns[0]

    async def _gather(self, queue: _Queue) -> None:
        """Wait up to `max_wait_ms` for more requests, if at least two wait already. A single request never waits."""
        while self._accepting and 1 < len(queue.waiting) < self._settings.max_size:
            left_s = queue.waiting[0].arrived_s + self._settings.max_wait_ms / 1000 - time.monotonic()
            if left_s <= 0:
                return
            self._wake.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), left_s)

    def _take(self, queue: _Queue) -> list[_Request]:
        """Up to `max_size` requests."""
        size = min(len(queue.waiting), self._settings.max_size)
        return [queue.waiting.popleft() for _ in range(size)]

    def _fail(self, batch: list[_Request]) -> None:
        """Answer all requests that still wait when the worker ends too early."""
        left = [*batch, *self._texts.waiting, *self._images.waiting]
        for request in left:
            _answer(request, Unavailable("The model stopped before this request's turn. Try again shortly."))


def _run(encode: Callable[[Sequence[Any]], Vectors], items: list[Any]) -> list[Answer]:
    """In the worker thread: one answer for each item. If a batch fails, each item is tried alone."""
    try:
        vectors = encode(items)
        if len(vectors) != len(items):
            raise RuntimeError(f"The embedder returned {len(vectors)} vectors for {len(items)} items.")
    except Exception as error:  # noqa: BLE001 - handed to the caller, which raises it
        if len(items) == 1:
            return [error]
        return [answer for item in items for answer in _run(encode, [item])]
    return list(vectors)


def _without_errors(made: list[Vectors | BaseException]) -> list[Vectors]:
    """Raises the first error."""
    for one in made:
        if isinstance(one, BaseException):
            raise one
    return [one for one in made if not isinstance(one, BaseException)]


def _answer(request: _Request, answer: Answer) -> None:
    if request.future.done():
        return
    if isinstance(answer, Exception):
        request.future.set_exception(answer)
    else:
        request.future.set_result(answer)
