"""Concurrent requests share the model's forward passes.

`embed_text` / `embed_image` queue a request on the event loop; one worker thread runs the embedder over whatever waits.
A lone request goes at once; while a pass runs, others gather for the next one. Texts asked for again cost no pass.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from PIL import Image

from app.encoder.text_cache import TextCache
from app.errors import Overloaded, Unavailable
from app.models.base import Embedder
from app.settings import BatchSettings
from app.types import Vectors

MAX_RETRY_AFTER_S: Final = 60

Outcome: TypeAlias = Vectors | Exception


@dataclass(eq=False, slots=True)
class _Request:
    item: Any
    answer: asyncio.Future[Vectors]
    arrived_s: float


@dataclass(eq=False, slots=True)
class _Queue:
    encode: Callable[[Sequence[Any]], Vectors]
    waiting: deque[_Request]


class MicroBatcher:
    """An async shell over an `Embedder`: a bounded queue, and one thread in which alone the model runs."""

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
        """Take requests from now on."""
        if self._worker is None:
            self._accepting = True
            self._worker = asyncio.create_task(self._work(), name="micro-batcher")

    async def stop(self) -> None:
        """Answer what was accepted, refuse what comes; returns when the worker thread is gone."""
        self._accepting = False
        self._wake.set()
        if self._worker is not None:
            await asyncio.shield(self._worker)
            self._worker = None

    @property
    def waiting(self) -> int:
        """Requests that wait for a pass."""
        return len(self._texts.waiting) + len(self._images.waiting)

    async def embed_text(self, text: str) -> Vectors:
        """(D,) float32, unit length. Raises `Overloaded` when the queue is full, `Unavailable` when stopped."""
        known = self.text_cache.get(text)
        if known is not None:
            return known
        vector = await self._submit(self._texts, text)
        self.text_cache.put(text, vector)
        return vector

    async def embed_image(self, image: Image.Image) -> Vectors:
        """(D,) float32, unit length, of an RGB picture. Raises as `embed_text`."""
        return await self._submit(self._images, image)

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
            return await request.answer
        finally:
            if request in queue.waiting:  # cancelled before its turn came
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
                outcomes = await loop.run_in_executor(thread, _run, queue.encode, [request.item for request in batch])
                self._pass_s = time.monotonic() - started
                for request, outcome in zip(batch, outcomes, strict=True):
                    _answer(request, outcome)
        finally:
            self._accepting = False
            self._fail(batch)
            thread.shutdown(wait=False)

    def _next_queue(self) -> _Queue:
        """Texts and pictures take turns while both wait."""
        self._wake.clear()
        self._turns.rotate()
        if not self._turns[0].waiting:
            self._turns.rotate()
        return self._turns[0]

    async def _gather(self, queue: _Queue) -> None:
        """Where several wait already, let more come for as long as the settings say; a lone one does not wait."""
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
        """Answer everybody who is still waiting when the worker ends before its time."""
        left = [*batch, *self._texts.waiting, *self._images.waiting]
        for request in left:
            _answer(request, Unavailable("The model stopped before this request's turn. Try again shortly."))


def _run(encode: Callable[[Sequence[Any]], Vectors], items: list[Any]) -> list[Outcome]:
    """In the worker thread: one outcome an item. If a batch fails, each item is tried alone and fails for itself."""
    try:
        vectors = encode(items)
        if len(vectors) != len(items):
            raise RuntimeError(f"the embedder returned {len(vectors)} vectors for {len(items)} items")
    except Exception as error:  # noqa: BLE001 - handed to the caller, who raises it
        if len(items) == 1:
            return [error]
        return [outcome for item in items for outcome in _run(encode, [item])]
    return list(vectors)


def _answer(request: _Request, outcome: Outcome) -> None:
    if request.answer.done():
        return
    if isinstance(outcome, Exception):
        request.answer.set_exception(outcome)
    else:
        request.answer.set_result(outcome)
