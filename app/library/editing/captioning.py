"""Captions for the service: on request, and for pictures that are added.

One thread runs the captioner. It takes all pictures that wait, up to a batch, so that concurrent requests share its
work. Searches use another thread and never wait for it.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from app.catalog.changes import Changes
from app.catalog.view import View
from app.encoder.workers import Workers
from app.errors import NO_CAPTIONER, AppError, Conflict, ImageNotFound, NotConfigured, Overloaded, Unavailable
from app.ingest.captioning import Caption, NoCaption, Said, describe
from app.library.editing.edits import Edit, Edits
from app.models.captioner.lazy import LazyCaptioner
from app.pictures.limits import Limits
from app.pictures.processes import Decoders
from app.storage.base import ObjectStore
from app.types import PERSON, ImageRecord, hash_content, row_id

log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Waiting:
    image: Image.Image
    outcome: "asyncio.Future[Said]"


class Describer:
    """Runs the captioner for many callers. For one event loop."""

    def __init__(self, lazy: LazyCaptioner, *, batch_size: int, max_waiting: int) -> None:
        self._lazy = lazy
        self._batch_size, self._max_waiting = batch_size, max_waiting
        self._worker = Workers(1, 1)
        self._waiting: deque[_Waiting] = deque()
        self._task: asyncio.Task[None] | None = None
        self._stopping = False

    async def describe(self, image: Image.Image) -> Said:
        """What the captioner says. Loads it for the first picture.

        Raises Overloaded, Unavailable after `stop`, ModelUnavailable.
        """
        if self._stopping:
            raise Unavailable("The service is stopping and describes no more pictures. Ask again when it is back.")
        if len(self._waiting) >= self._max_waiting:
            raise Overloaded("Too many pictures wait for the captioner. Try again in a moment.")
        waiting = _Waiting(image, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work(), name="captioner")
        try:
            return await waiting.outcome
        finally:
            if waiting in self._waiting:  # cancelled before its turn
                self._waiting.remove(waiting)

    async def stop(self) -> None:
        """Answer those whose pictures are being described, and refuse the others."""
        self._stopping = True
        while self._waiting:
            _tell(self._waiting.popleft(), Unavailable("The service is stopping and describes no more pictures."))
        if self._task is not None:
            await asyncio.wait([self._task])
        self._worker.close()

    async def _work(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(self._batch_size, len(self._waiting)))]
            try:
                outcomes: Sequence[Said | Exception] = await self._worker.run(self._run, [each.image for each in batch])
            except Exception as error:  # noqa: BLE001 - each caller gets it, and the next batch is described
                outcomes = [error] * len(batch)
            for waiting, outcome in zip(batch, outcomes, strict=True):
                _tell(waiting, outcome)

    def _run(self, images: Sequence[Image.Image]) -> list[Said]:
        return describe(self._lazy.captioner, images)


class Captioning:
    """Captions of pictures, made and published. For one event loop. Without a captioner it writes none."""

    def __init__(
        self,
        lazy: LazyCaptioner | None,
        store: ObjectStore,
        edits: Edits,
        *,
        decoders: Decoders,
        limits: Limits,
        batch_size: int,
        max_waiting: int,
        workers: Workers,
    ) -> None:
        """`workers` wait for the store and the decoders; `limits` say which files are accepted."""
        self._lazy, self._store, self._edits = lazy, store, edits
        self._decoders, self._limits, self._workers = decoders, limits, workers
        self._describer = Describer(lazy, batch_size=batch_size, max_waiting=max_waiting) if lazy else None

    async def find_name(self) -> str | None:
        """The captioner's name, as in `ImageRecord.caption_by`; None where none is set. Raises ModelUnavailable."""
        lazy = self._lazy
        return await self._workers.run(lambda: lazy.name) if lazy else None

    async def stop(self) -> None:
        """Finish the pictures that are being described."""
        if self._describer:
            await self._describer.stop()

    async def describe_new(self, data: bytes) -> Caption | None:
        """What the captioner says of a file that is being added. None without a captioner, and where it fails."""
        if self._describer is None:
            return None
        try:
            said = await self._describe(self._describer, data)
        except AppError as error:
            log.warning("A picture is added without a caption: %s", error)
            return None
        if isinstance(said, Caption):
            return said
        log.warning("A picture is added without a caption. %s", said.reason)
        return None

    async def write(self, image_id: str, view: View, *, replace_words: bool = False) -> ImageRecord:
        """Describe an indexed picture now. The record with the caption, published. `view` is what the caller may see.

        `replace_words`: also where a person has written or deleted the caption. Raises NotConfigured, ImageNotFound,
        Conflict, ObjectNotFound, InvalidInput, Overloaded, Unavailable, ModelUnavailable.
        """
        describer = self._describer
        if describer is None:
            raise NotConfigured(NO_CAPTIONER)
        record = view.record(image_id)
        _check_words(record, replace_words)
        data = await self._workers.run(self._read, record)
        said = await self._describe(describer, data)
        if isinstance(said, NoCaption):
            raise Unavailable(said.reason)
        return await self._publish(record, said, replace_words)

    async def _describe(self, describer: Describer, data: bytes) -> Said:
        assert self._lazy is not None
        resize = await self._workers.run(lambda lazy: lazy.resize, self._lazy)
        picture = await self._workers.run(self._decoders.run, resize, data, self._limits)
        return await describer.describe(picture.image)

    def _read(self, record: ImageRecord) -> bytes:
        data = self._store.get(record.object_key, max_bytes=self._limits.max_bytes).data
        if hash_content(data) != record.content_hash:
            raise Conflict("The file has changed since it was indexed. Ask again after the next index run.")
        return data

    async def _publish(self, seen: ImageRecord, caption: Caption, replace_words: bool) -> ImageRecord:
        def plan(current: View | None) -> tuple[Changes, ImageRecord]:
            if current is None:
                raise ImageNotFound(f"The picture {seen.image_id} is no longer in the index.")
            record = current.record(seen.image_id)
            if record.content_hash != seen.content_hash:
                raise Conflict("The picture was replaced by another one meanwhile. Ask again.")
            _check_words(record, replace_words)
            described = caption.instead_of(record)
            if described == record:
                return Changes(), record
            vectors = current.vectors_of([row_id(record.image_id)])
            return Changes(added=(described,), vectors=vectors, copied=True), described

        return await self._edits.make(Edit(frozenset({seen.image_id}), plan))


def _check_words(record: ImageRecord, replace_words: bool) -> None:
    """Raise Conflict where the caption is a person's and stays."""
    if record.caption_by == PERSON and not replace_words:
        what = "written" if record.caption else "deleted"
        raise Conflict(f"A person has {what} the caption of this picture. Send `replace` to put the model's there.")


def _tell(waiting: _Waiting, outcome: Said | Exception) -> None:
    if waiting.outcome.done():
        return  # the caller has gone
    if isinstance(outcome, Exception):
        waiting.outcome.set_exception(outcome)
    else:
        waiting.outcome.set_result(outcome)
