"""The messages between the service and its generation worker: pickled, each with its length before it."""

import pickle
import struct
from dataclasses import dataclass
from typing import BinaryIO, Final, TypeAlias

from app.generation.jobs import PictureRequest
from app.models.generator.base import Abilities, Parameters

HEAD: Final = struct.Struct("!Q")
"""The length of a message, bytes."""


@dataclass(frozen=True, slots=True)
class Draw:
    """To the worker: draw the pictures of a job."""

    id: str
    request: PictureRequest
    seed: int
    first: bytes | None
    """The picture file that the drawing begins from."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """To the worker: end this job after its step."""

    id: str


@dataclass(frozen=True, slots=True)
class Taken:
    """From the worker: it has the job. A worker that ends before this has not begun it."""


@dataclass(frozen=True, slots=True)
class Begun:
    """The model is loaded, and this is what will be drawn."""

    model: str
    abilities: Abilities
    parameters: Parameters
    """Of the first picture."""


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the picture with this number is taken."""

    number: int
    step: int
    steps: int
    preview: str | None
    """A small picture as a `data:` address; None where it has not changed."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A picture is finished."""

    number: int
    seed: int
    width: int
    height: int
    png: bytes


@dataclass(frozen=True, slots=True)
class Finished:
    """All pictures of the job are drawn."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The job can't be done, for this reason, which clients may know."""

    reason: str
    is_refused: bool = False
    """The request or the picture's content is at fault: it would fail again."""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The job has ended before its last picture, as it was asked to."""


ToWorker: TypeAlias = Draw | Cancel
FromWorker: TypeAlias = Taken | Begun | Step | Drawn | Finished | Failed | Cancelled


def pack(message: ToWorker | FromWorker) -> bytes:
    body = pickle.dumps(message)
    return HEAD.pack(len(body)) + body


def unpack(body: bytes) -> object:
    """The message of a body that our own process at the other end wrote."""
    return pickle.loads(body)  # noqa: S301


def read_message(file: BinaryIO) -> object:
    """The next message. Raises EOFError when the other end has closed it."""
    (length,) = HEAD.unpack(_exactly(file, HEAD.size))
    return unpack(_exactly(file, length))


def _exactly(file: BinaryIO, length: int) -> bytes:
    data = file.read(length)
    if len(data) < length:
        raise EOFError
    return data
