"""Milvus Lite: a folder on this disk, served by one process to itself and to every other process of this machine.

Only one process can open the data of Milvus Lite. That process listens on a port and writes its address beside the
data, so the service and its index runs can use the same folder. When it ends, the next process that needs the folder
serves it.
"""

import atexit
import contextlib
import logging
import threading
from pathlib import Path
from typing import Any

from app.errors import InvalidSettings, VectorStoreUnavailable
from app.vectors.servers.connection import not_installed

log = logging.getLogger(__name__)

ADDRESS_FILE = "ADDRESS"

_served: dict[Path, tuple[Any, Any, str]] = {}
"""The folders that this process serves: gRPC server, database and address of each."""
_lock = threading.Lock()


def address_of(folder: Path) -> str:
    """The address at which the folder is served; this process serves it if no other one does.

    Raises VectorStoreUnavailable, and InvalidSettings when it can't be a folder of Milvus Lite.
    """
    folder = folder.absolute()
    with _lock:
        if folder not in _served:
            return _serve(folder) or _address_of_other(folder)
        return _served[folder][2]


def release(folder: Path) -> None:
    """Stop serving the folder, if this process serves it."""
    with _lock:
        served = _served.pop(folder.absolute(), None)
    if served:
        server, database, _ = served
        with contextlib.suppress(OSError):
            (folder / ADDRESS_FILE).unlink()
        server.stop(grace=2).wait()
        database.close()


def _serve(folder: Path) -> str | None:
    """The address at which this process serves the folder from now on; None where another process has it."""
    try:
        from milvus_lite.adapter.grpc.server import start_server_in_thread
        from milvus_lite.exceptions import DataDirLockedError
    except ImportError as error:
        otherwise = ", or set the address of a Milvus server"
        raise not_installed(f"MILVUS_URI={folder}", "Milvus Lite", "milvus", otherwise) from error
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        server, database, port = start_server_in_thread(str(folder))
    except DataDirLockedError:
        return None
    except OSError as error:
        raise InvalidSettings(
            f"MILVUS_URI={folder} can't be opened as a folder of Milvus Lite: {error.strerror or error}. Name a new "
            "folder, or one that this user may write to."
        ) from error
    address = f"http://127.0.0.1:{port}"
    (folder / ADDRESS_FILE).write_text(address)
    if not _served:
        atexit.register(_release_all)
    _served[folder] = server, database, address
    return address


def _address_of_other(folder: Path) -> str:
    try:
        return (folder / ADDRESS_FILE).read_text()
    except OSError as error:
        raise VectorStoreUnavailable(
            f"Milvus Lite's folder {folder} is open in another program that does not share it. Close that program, or "
            "run a Milvus server and set MILVUS_URI to its address."
        ) from error


def _release_all() -> None:
    for folder in list(_served):
        release(folder)
