"""The process that draws: it loads the model with its first job and draws one job after the other.

`app.generation.device` starts it, and talks to it through a socket (`app.generation.messages`). It runs at the lowest
priority, so that searches keep their speed. It ends as soon as the other end of the socket is closed: also when the
service was killed, and in the middle of a step.

An error that the generator raises on purpose fails the job. Any other one ends the process too: nothing is known of the
state in which it left the model.
"""

import base64
import io
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from queue import SimpleQueue
from typing import Final

from PIL import Image

from app.errors import AppError, InvalidInput, NotConfigured, NotInstalled
from app.generation.checks import parameters_for, seed_of
from app.generation.messages import (
    Begun,
    Cancel,
    Cancelled,
    Draw,
    Drawn,
    Failed,
    Finished,
    FromWorker,
    Step,
    Taken,
    pack,
    read_message,
)
from app.models.generator.base import Generator, Parameters, Preview
from app.models.generator.record import entries_of
from app.pictures.png_text import write_png
from app.printable import PrintableFormatter
from app.settings import GenerationSettings, ServerSettings

log = logging.getLogger(__name__)

Load = Callable[[GenerationSettings], Generator]

LOWEST_PRIORITY: Final = 19

PREVIEW_SIDE: Final = 192
"""Pixels of a preview's longer side."""

PREVIEW_SHARE: Final = 0.05
"""Of the time, at most this part is spent on previews."""

PREVIEW_S: Final = 0.3
"""Between two previews at least."""

_NO_MEMORY: Final = (
    "The generator ran out of memory. Ask for a smaller picture, or let the operator of the service set "
    "GENERATION_ATTENTION_SLICING or GENERATION_OFFLOAD."
)
_NOT_LOADED: Final = "The model could not be loaded. The service's log says why."


class _Cancelled(Exception):
    """Ends the drawing of a job between two steps."""


def main(handle: int, load: Load | None = None) -> None:
    """Serve the parent at the other end of the socket until it closes it. `load` instead of `load_generator`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.setpgid(0, 0)  # Ctrl-C in a terminal reaches only the parent, which decides
    # Not a session of its own: Linux gives each session the same share of the CPU (sched_autogroup), and a low priority
    # would count for nothing against the service.
    os.nice(LOWEST_PRIORITY)
    _configure_logging()
    line = _Line(socket.socket(fileno=handle))
    settings = GenerationSettings()
    generator: Generator | None = None
    while True:
        order = line.orders.get()
        line.send(Taken())
        try:
            generator = generator or (load or _load_generator)(settings)
            line.send(_Drawing(order, generator, settings, line).draw())
        except _Cancelled:
            line.send(Cancelled())
        except AppError as error:
            line.send(Failed(_reason(error), is_refused=isinstance(error, InvalidInput)))
        except Exception as error:
            log.exception("The generator failed.")
            line.send(Failed(_crash(error)))
            return


def _configure_logging() -> None:
    """As the service logs, without its web framework: that takes longer to import than all the rest."""
    handler = logging.StreamHandler()
    handler.setFormatter(PrintableFormatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("app").setLevel(ServerSettings().log_level.upper())


def _load_generator(settings: GenerationSettings) -> Generator:
    from app.models.generator.loading import load_generator  # imports PyTorch where it is used

    return load_generator(settings)


class _Line:
    """The socket to the parent: orders come in, messages go out. A thread listens, also while a picture is drawn."""

    def __init__(self, parent: socket.socket) -> None:
        self._parent = parent
        self._cancelled: set[str] = set()
        self.orders: SimpleQueue[Draw] = SimpleQueue()
        threading.Thread(target=self._listen, name="orders", daemon=True).start()

    def send(self, message: FromWorker) -> None:
        try:
            self._parent.sendall(pack(message))
        except OSError:
            os._exit(0)  # the parent has gone

    def is_cancelled(self, job_id: str) -> bool:
        return job_id in self._cancelled

    def _listen(self) -> None:
        try:
            with self._parent.makefile("rb") as file:
                while True:
                    match read_message(file):
                        case Draw() as order:
                            self.orders.put(order)
                        case Cancel(job_id):
                            self._cancelled.add(job_id)
        finally:
            os._exit(0)  # also in the middle of a step: nothing waits for it any more


class _Drawing:
    """The pictures of one job."""

    def __init__(self, order: Draw, generator: Generator, settings: GenerationSettings, line: _Line) -> None:
        self._order, self._generator, self._line = order, generator, line
        self._first = Image.open(io.BytesIO(order.first)).convert("RGB") if order.first else None
        size = self._first.size if self._first else None
        self._parameters = parameters_for(order.request, generator.abilities, settings, order.seed, size)
        self._previews = _Previews()

    def draw(self) -> Finished:
        """Raises _Cancelled, and what the generator raises."""
        self._line.send(Begun(self._generator.name, self._generator.abilities, self._parameters))
        for number in range(1, self._order.request.count + 1):
            self._check_cancelled()
            self._line.send(self._draw_one(number, seed_of(self._order.seed, number)))
        return Finished()

    def _draw_one(self, number: int, seed: int) -> Drawn:
        parameters = replace(self._parameters, seed=seed)

        def on_step(step: int, steps: int, preview: Preview) -> None:
            self._check_cancelled()
            shown = self._previews.next(preview) if step < steps else None
            self._line.send(Step(number, step, steps, shown))

        picture = self._generator.generate(parameters, self._first, on_step)
        return Drawn(number, seed, *picture.size, write_png(picture, self._entries(parameters)))

    def _entries(self, parameters: Parameters) -> dict[str, str]:
        entries = entries_of(parameters, self._generator.name, with_picture=self._first is not None)
        begins_from = self._order.request.init_image_id
        return entries | ({"init_image_id": begins_from} if begins_from else {})

    def _check_cancelled(self) -> None:
        if self._line.is_cancelled(self._order.id):
            raise _Cancelled


class _Previews:
    """Draws previews as often as their cost allows."""

    def __init__(self) -> None:
        self._next_at = 0.0

    def next(self, draw: Preview) -> str | None:
        began = time.monotonic()
        if began < self._next_at:
            return None
        picture = draw()
        address = _data_address(picture) if picture else None
        now = time.monotonic()
        self._next_at = now + max(PREVIEW_S, (now - began) / PREVIEW_SHARE)
        return address


def _data_address(picture: Image.Image) -> str:
    small = picture.convert("RGB")
    small.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
    file = io.BytesIO()
    small.save(file, "JPEG", quality=70)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def _reason(error: AppError) -> str:
    """What a client may know of it. What it may not know goes to the log."""
    if isinstance(error, InvalidInput | NotConfigured | NotInstalled):
        return str(error)
    log.error("The generator failed: %s", error)
    return _NOT_LOADED


def _crash(error: Exception) -> str:
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
        return _NO_MEMORY
    return f"The generator failed with {type(error).__name__}. The service's log says more."
