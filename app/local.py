"""Pictures of a folder on this machine, for programs:

    from app.local import index_local_images, retrieve_local
    embeddings, paths = index_local_images("data/images")
    for path, score in retrieve_local("a cat sleeping on a couch", embeddings, paths, top_k=5): ...

`image2search search --images-dir` is the same at the terminal. `MODEL` is read from the environment and `.env`.
"""

import os
from functools import lru_cache
from pathlib import Path

import numpy as np

from app.bootstrap import load_embedder
from app.encoder.encoder import PictureFile, Text
from app.errors import IndexCorrupt, IndexNotReady, InvalidInput
from app.folder_cache import bring_up_to_date, load_index, remake, settings_for
from app.models.base import Embedder
from app.pictures.formats import is_picture_name
from app.pictures.processes import InThisProcess
from app.search.query import MAX_QUERY_CHARS
from app.settings import ModelSettings, Settings, load_settings
from app.types import Vectors, row_id


def index_local_images(images_dir: str | os.PathLike[str]) -> tuple[Vectors, list[str]]:
    """The vectors (N, D), float32, unit rows, of the pictures in a folder and below it, and their N paths.

    Pictures that can't be read are named on standard error and left out. Raises AppError; CalledProcessError and
    KeyboardInterrupt as `run_indexer`.
    """
    settings = settings_for(Path(images_dir), load_settings())
    bring_up_to_date(settings)
    try:
        snapshot = load_index(settings)
    except (IndexCorrupt, IndexNotReady):
        remake(settings)
        snapshot = load_index(settings)
    records = sorted(snapshot.records.values(), key=lambda record: record.object_key)
    vectors = snapshot.vectors.get([row_id(record.image_id) for record in records])
    return vectors, [os.path.join(images_dir, record.object_key) for record in records]  # noqa: PTH118 - keeps `./`


def retrieve_local(prompt: str, embeddings: Vectors, paths: list[str], top_k: int = 5) -> list[tuple[str, float]]:
    """The paths whose pictures are nearest to the prompt, with their cosines, best first.

    The prompt is words, or the path of a picture. Raises AppError.
    """
    if not paths:
        return []
    scores = embeddings @ _vector_of(prompt, load_settings())
    best = np.argsort(-scores, kind="stable")[:top_k]
    return [(paths[number], float(scores[number])) for number in best.tolist()]


def as_term(query: str, max_bytes: int) -> Text | PictureFile:
    """The picture of which this is the path, or else the words. Raises InvalidInput.

    A single word without a slash or a dot is never a path.
    """
    if not query.strip():
        raise InvalidInput("The query is empty: say what to look for, or give the path of a picture.")
    if path := _path_in(query):
        return PictureFile(_read(path, max_bytes))
    if len(query) > MAX_QUERY_CHARS:
        raise InvalidInput(f"The query has {len(query)} characters: at most {MAX_QUERY_CHARS} characters are read.")
    return Text(query)


def _path_in(query: str) -> Path | None:
    """The picture file that the query names; None for words. Raises InvalidInput where there is no such file."""
    if "\0" in query or not ("/" in query or "." in query):
        return None
    path = Path(os.path.expanduser(query))  # noqa: PTH111 - Path.expanduser raises for a user who does not exist
    try:
        if path.is_file():
            return path
        is_path = query.startswith(("/", "./", "../", "~/")) or is_picture_name(path.name)
        is_path = is_path or ("/" in query and path.parent.is_dir())
    except OSError:  # A long text is too long for a path.
        return None
    if not is_path:
        return None
    if path.is_dir():
        raise InvalidInput(f"{query} is a folder. Give the path of a picture; --images-dir names a folder to search.")
    raise InvalidInput(f"There is no picture {query}. Correct the path, or say in words what to look for.")


def _read(path: Path, max_bytes: int) -> bytes:
    """The file, or a little more than `max_bytes` of it. Raises InvalidInput."""
    try:
        with path.open("rb") as file:
            return file.read(max_bytes + 1)
    except OSError as error:
        raise InvalidInput(f"{path} can't be read: {error.strerror}.") from error


def _vector_of(prompt: str, settings: Settings) -> Vectors:
    """(D,) float32, unit length."""
    embedder = _embedder(settings.model)
    match as_term(prompt, settings.image.max_bytes):
        case Text(text):
            vector: Vectors = embedder.encode_texts([text])[0]
        case PictureFile() as file:
            data = file.read(settings.image.max_bytes)
            picture = InThisProcess().run(embedder.read_picture, data, settings.image)
            vector = embedder.encode_images([picture.image])[0]
    return vector


@lru_cache(maxsize=1)
def _embedder(model: ModelSettings) -> Embedder:
    """Loaded once, for the searches of one program."""
    return load_embedder(model)
