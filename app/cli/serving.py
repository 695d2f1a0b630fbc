"""Runs the service in this process, over HTTP until a signal comes."""

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable

import uvicorn

from app.bootstrap import Parts, build, check_index
from app.errors import AppError, IndexMismatch, InvalidSettings
from app.http.server import server_config
from app.main import create_app
from app.settings import Settings

log = logging.getLogger(__name__)

CHECK_S = 5.0
"""How long a start waits for the storage to say which model has made the index."""

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
    with _listen(settings.server.host, settings.server.port) as listener:
        host, port = listener.getsockname()[:2]
        address = f"http://{'localhost' if host in EVERYWHERE_AND_HERE else host}:{port}"
        parts = build(settings)
        check = threading.Thread(target=_warn_of_another_model, args=[parts], daemon=True)
        check.start()
        check.join(CHECK_S)
        parts.model.embedder  # noqa: B018 - a model that can't be loaded ends here, before the server starts
        app = create_app(settings, parts)
        for stop in (signal.SIGINT, signal.SIGTERM):
            signal.signal(stop, lambda *_: None)  # uvicorn raises it again after its orderly end
        _AnnouncingServer(server_config(app), announce, address).run(sockets=[listener])
    leave_calls_behind()


def _warn_of_another_model(parts: Parts) -> None:
    """Say at once that searches will be refused: loading a model may take a minute. A rebuild can still be asked for.

    Other problems are left to the watch on the index.
    """
    try:
        check_index(parts)
    except IndexMismatch as error:
        log.warning("Searches will be refused. %s", error)
    except AppError as error:
        log.debug("the index can't be compared with the model: %s", error)


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
