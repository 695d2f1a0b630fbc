"""The bank of texts for a service: from MODEL_CACHE, or embedded in the background while requests are answered."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from app.catalog.view import View
from app.encoder.encoder import Encoder
from app.encoder.workers import Workers
from app.errors import Unavailable
from app.models.bank import Bank, bank_texts, find_bank, keep_bank
from app.search.relevance.relevance import Relevance

log = logging.getLogger(__name__)


class Preparing:
    """Gives `Relevance` its bank once, in a task of its own."""

    def __init__(
        self,
        relevance: Relevance,
        encoder: Encoder,
        workers: Workers,
        cache: Path,
        current_view: Callable[[], View | None],
    ) -> None:
        """`cache` is MODEL_CACHE."""
        self._relevance = relevance
        self._encoder = encoder
        self._workers = workers
        self._cache = cache
        self._current_view = current_view
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin. Answers say nothing about relevance until the bank is there."""
        self._task = asyncio.create_task(self._prepare(), name="relevance")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _prepare(self) -> None:
        try:
            with suppress(Unavailable):  # the service stops
                self._relevance.use(await self._bank())
            if view := self._current_view():
                await self._workers.run(self._relevance.prepare, view)
        except Exception:  # the service answers all the same, without relevance
            log.exception("Relevance is not available until the next start.")

    async def _bank(self) -> Bank:
        """Raises Unavailable when the service stops."""
        fingerprint = self._encoder.identity.fingerprint
        if found := await self._workers.run(find_bank, self._cache, fingerprint):
            return found
        texts = bank_texts()
        log.info("Embedding %d texts for the relevance of answers, once for this model.", len(texts))
        vectors = np.stack(await self._encoder.embed_texts(texts))
        return await self._workers.run(keep_bank, self._cache, fingerprint, vectors)
