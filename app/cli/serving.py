"""Runs the services in this process: over HTTP until a signal comes, or for one search."""

import asyncio
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import uvicorn
from pydantic import ValidationError

from app.bootstrap import build, running
from app.encoder.encoder import PictureFile, Text
from app.errors import InvalidInput, InvalidSettings
from app.http.problems import validation_entries, validation_sentence
from app.http.server import server_config
from app.main import create_app
from app.search.schemas import TextSearch
from app.search.service import Query, SearchAnswer
from app.settings import Settings

log = logging.getLogger(__name__)

GRACE_S = 0.5
"""How long threads get to end after the service has stopped."""

EVERYWHERE_AND_HERE = ("0.0.0.0", "127.0.0.1", "::", "::1")  # noqa: S104


class _AnnouncingServer(uvicorn.Server):
    """Reports its address as soon as it answers."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[str], None], address: str) -> None:
        super().__init__(config)
        self._announce = announce
        self._address = address

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._announce(self._address)


def run_service(settings: Settings, announce: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; `announce` gets the address once requests are answered.

    Raises InvalidSettings when the service can't listen on the address, ModelUnavailable.
    """
    listener = _listen(settings.server.host, settings.server.port)
    host, port = listener.getsockname()[:2]
    address = f"http://{'localhost' if host in EVERYWHERE_AND_HERE else host}:{port}"
    parts = build(settings)
    parts.model.embedder  # noqa: B018 - a model that can't be loaded ends here, before the server starts
    app = create_app(settings, parts)
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, lambda *_: None)  # uvicorn raises it again after its orderly end
    _AnnouncingServer(server_config(app), announce, address).run(sockets=[listener])
    leave_calls_behind()


def leave_calls_behind() -> None:
    """End the process here if threads still wait for a storage that does not answer: Python would wait for them."""
    ends_at = time.monotonic() + GRACE_S
    threads = [each for each in threading.enumerate() if each is not threading.current_thread() and not each.daemon]
    for thread in threads:
        thread.join(max(0.0, ends_at - time.monotonic()))
    if left := sum(thread.is_alive() for thread in threads):
        log.warning("Stopped without the answers to %d calls that were still going on.", left)
        logging.shutdown()
        os._exit(0)


def search_once(settings: Settings, text_or_path: str, k: int, folder: str, *, auto_folder: bool) -> SearchAnswer:
    """What `/search/text` answers to a text, or `/search/image` to a picture file, where there is one of that path.

    Raises AppError.
    """
    if _is_file(text_or_path):
        query = Query((PictureFile(Path(text_or_path).read_bytes()),), k, folder=folder)
    else:
        asked = _checked(query=text_or_path, k=k, folder=folder, auto_folder=auto_folder)
        query = Query((Text(asked.query),), k, folder=folder, auto_folder=asked.auto_folder)

    async def search() -> SearchAnswer:
        async with running(build(settings)) as state:
            return await state["search"].search(query, state["current_view"]())

    return asyncio.run(search())


def _is_file(text_or_path: str) -> bool:
    try:
        return Path(text_or_path).is_file()
    except OSError:  # A long text is too long for a path.
        return False


def _checked(**fields: object) -> TextSearch:
    """The fields, within the limits of `/search/text`. Raises InvalidInput."""
    try:
        return TextSearch.model_validate(fields)
    except ValidationError as error:
        raise InvalidInput(validation_sentence(validation_entries(error.errors()))) from error


def _listen(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise InvalidSettings(
            f"Can't listen on {host}:{port}: {error.strerror}. Choose another address with HOST= or PORT=."
        ) from error
    return listener
