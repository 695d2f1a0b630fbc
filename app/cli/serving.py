"""Runs the service in this process, and tells when it is ready to answer."""

import signal
import socket
from collections.abc import Callable

import uvicorn

from app.bootstrap import build
from app.errors import InvalidSettings
from app.main import create_app
from app.settings import Settings

EVERYWHERE_AND_HERE = ("0.0.0.0", "127.0.0.1", "::", "::1")  # noqa: S104

DRAIN_S = 8
"""Seconds that requests under way get to end when the service is told to stop; containers are killed after ten."""


class _AnnouncingServer(uvicorn.Server):
    """Says where it answers once it does, and ends quietly: being told to stop is no error."""

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

    Raises InvalidSettings when the address can't be had, ModelUnavailable.
    """
    listener = _listen(settings.server.host, settings.server.port)
    host, port = listener.getsockname()[:2]
    address = f"http://{'localhost' if host in EVERYWHERE_AND_HERE else host}:{port}"
    app = create_app(settings, build(settings))
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, lambda *_: None)  # uvicorn raises it once more after its orderly end
    config = uvicorn.Config(
        app, log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=DRAIN_S
    )
    _AnnouncingServer(config, announce, address).run(sockets=[listener])


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
