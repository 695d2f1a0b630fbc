"""Runs the services in this process: over HTTP until a signal comes, or for one search."""

import asyncio
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import uvicorn

from app.bootstrap import build, running
from app.encoder.encoder import PictureFile, Text
from app.errors import InvalidSettings
from app.main import create_app
from app.search.service import Query
from app.settings import Settings
from app.types import Hit

EVERYWHERE_AND_HERE = ("0.0.0.0", "127.0.0.1", "::", "::1")  # noqa: S104

DRAIN_S = 8
"""Seconds that running requests get to end when the service is told to stop. Containers are killed after ten."""


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
    config = uvicorn.Config(
        app, log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=DRAIN_S
    )
    _AnnouncingServer(config, announce, address).run(sockets=[listener])


def search_once(settings: Settings, text_or_path: str, k: int, folder: str) -> list[Hit]:
    """The k best pictures for a text, or for a picture file where there is one of that path. Raises AppError."""
    path = Path(text_or_path)
    term = PictureFile(path.read_bytes()) if path.is_file() else Text(text_or_path)
    query = Query((term,), k, folder=folder)

    async def search() -> list[Hit]:
        async with running(build(settings)) as state:
            return (await state["search"].search(query, state["current_view"]())).hits

    return asyncio.run(search())


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
