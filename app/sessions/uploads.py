"""Pictures that are sent to a session: decoded, embedded, described, and kept as a vector and a small thumbnail."""

import io
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image

from app.encoder.encoder import Encoder, PictureFile
from app.encoder.workers import Workers
from app.sessions.composing import Sent
from app.sessions.ports import Describe
from app.sessions.session import UploadInfo
from app.types import Vectors

MAX_SIDE: Final = 256
"""Of a thumbnail, pixels. It takes some 10 kB, at most about 60."""

NOT_DESCRIBED: Final = "A picture that was sent could not be described."


@dataclass(frozen=True, slots=True)
class Upload:
    """A picture that was sent, ready to be kept."""

    info: UploadInfo
    vector: Vectors
    """(D,) float32, unit length."""
    thumbnail: bytes
    """WebP."""
    note: str | None = None

    @property
    def sent(self) -> Sent:
        return Sent(self.vector, self.info.caption)

    @property
    def files(self) -> Mapping[str, bytes]:
        """By name, as a store keeps them."""
        return {vector_file(self.info.id): self.vector.tobytes(), thumbnail_file(self.info.id): self.thumbnail}


class Uploads:
    """Makes them. For one event loop."""

    def __init__(self, encoder: Encoder, workers: Workers, max_bytes: int, describe: Describe | None) -> None:
        self._encoder, self._workers, self._describe = encoder, workers, describe
        self._max_bytes = max_bytes

    async def take(self, file: PictureFile) -> Upload:
        """The picture in a file, embedded. Raises InvalidInput and its kinds, Overloaded, Unavailable."""
        data = await self._workers.run(file.read, self._max_bytes)
        picture, vector = await self._encoder.read(PictureFile(data))
        thumbnail = await self._workers.run(_thumbnail, picture.image)
        caption = await self._describe(data) if self._describe else None
        info = UploadInfo(secrets.token_hex(8), caption)
        note = NOT_DESCRIBED if self._describe and caption is None else None
        return Upload(info, np.asarray(vector, np.float32), thumbnail, note)


def vector_file(upload_id: str) -> str:
    return f"{upload_id}.vector"


def thumbnail_file(upload_id: str) -> str:
    return f"{upload_id}.webp"


def sent_in(uploads: Sequence[UploadInfo], files: Sequence[bytes | None]) -> dict[str, Sent] | None:
    """The uploads by id, from the files of their vectors in the same order; None where one is gone."""
    if None in files:
        return None
    pairs = zip(uploads, filter(None, files), strict=True)
    return {info.id: Sent(np.frombuffer(data, np.float32), info.caption) for info, data in pairs}


def _thumbnail(image: Image.Image) -> bytes:
    """As WebP. The image is the one that the model looks at, so it is small already."""
    small = image.copy()
    small.thumbnail((MAX_SIDE, MAX_SIDE))
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=75)
    return buffer.getvalue()
