"""`/v1/embeddings`, `/v1/images/generations` and `/v1/models`: routes of OpenAI's API, for its clients.

`OpenAI(base_url="http://localhost:8000/v1", api_key="none")` works, and everything that is made with it. Keys are not
looked at. Vectors are those of our searches, of length 1, so that texts can be compared with pictures. Where OpenAI's
documents leave a choice, and what differs:

- An input may be a picture as a `data:image/...` address, among texts too. With `"modality": "image"`, as the server
  infinity has it, inputs may also be web addresses of pictures.
- Inputs are texts, 1 to 2048 of up to 2,000 characters. Token ids are refused: each model has its own.
- `model` is a name that `/v1/models` lists, with or without its `@revision`. `dimensions` is the model's own number.
- `usage` counts the tokens that the model reads of the texts. A text that is longer than its context is cut.
- A picture is drawn by the queue of `/api/v1/generations`, where it can be found later too. A client that goes away
  cancels it. `size` is any that the model draws, and `auto` the one that it likes; `seed` makes it the same again.
- Pictures are PNG files, in base64 unless `response_format` is `url`. There is no streaming.
- `created` of a model is when this service was first asked: models do not say when they were made.
- Unknown fields are passed over.
"""

import asyncio
import base64
import binascii
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends
from fastapi import Path as InPath
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from app.compat.failures import Failure, route_class
from app.compat.openai_schemas import (
    DATA,
    MAX_INPUTS,
    EmbeddingList,
    EmbeddingRequest,
    GeneratedImage,
    ImageList,
    ImageRequest,
    Model,
    ModelList,
    OpenAIError,
)
from app.encoder.encoder import Encoder, PictureFile, Text
from app.errors import Conflict, InvalidImage, InvalidInput, ModelNotFound, ModelUnavailable
from app.generation.jobs import Generation, State
from app.generation.routes import Caller, Generates
from app.generation.service import Generations
from app.http.openapi import problems
from app.http.requests import ViewIfAny, takes
from app.indexing.routes import IndexState
from app.ingest.fetching import FETCHES, Fetcher
from app.library.editing.captioning import Captioning
from app.library.editing.routes import Captions
from app.search.query import MAX_QUERY_CHARS
from app.search.routes import Fetching
from app.settings import ImageSettings
from app.types import Vectors

PREFIX = "/v1"
EMBEDDINGS = "/embeddings"

MAX_PICTURES = 64
"""Among the inputs of one request."""

SENT_AT_ONCE = 32
"""Vectors that are written as JSON together."""


def max_body_bytes(images: ImageSettings) -> int:
    """Of a request for embeddings: as many texts as there may be, or the largest picture in base64."""
    return MAX_INPUTS * MAX_QUERY_CHARS * 4 + images.max_bytes * 4 // 3


def _answer(_: Request, failure: Failure) -> Response:
    """In OpenAI's shape. Its client tries a 5xx again, unless it is told that this has no use."""
    error = {
        "message": failure.sentence,
        "type": "invalid_request_error" if failure.status < HTTPStatus.INTERNAL_SERVER_ERROR else "server_error",
        "param": _field(failure),
        "code": failure.name and failure.name.replace("-", "_"),
    }
    headers = dict(failure.headers or {})
    if failure.status in (HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.NOT_IMPLEMENTED):
        headers["x-should-retry"] = "false"
    return Response(orjson.dumps({"error": error}), failure.status, headers, "application/json")


def _field(failure: Failure) -> str | None:
    """The field of the body that is wrong."""
    return next((str(each["loc"][1]) for each in failure.found if len(each["loc"]) > 1), None)


def _errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": OpenAIError, "description": HTTPStatus(status).phrase} for status in statuses}


router = APIRouter(prefix=PREFIX, tags=["compat: openai"], route_class=route_class(_answer), responses=problems())


async def _model_names(indexing: IndexState, captioning: Captions, generations: Generates) -> list[str]:
    """Of all models that this service has."""
    names = indexing.encoder.identity.name, await _captioner_name(captioning), generations.model_name
    return [name for name in names if name]


async def _captioner_name(captioning: Captioning) -> str | None:
    try:
        return await captioning.find_name()
    except ModelUnavailable:
        return None


ModelNames = Annotated[list[str], Depends(_model_names)]


@router.get("/models")
async def models(names: ModelNames) -> ModelList:
    """The models of this service."""
    return ModelList(data=[Model.of(name) for name in names])


@router.get("/models/{model:path}", responses=_errors(404))
async def model(model: Annotated[str, InPath(examples=["demo-clip"])], names: ModelNames) -> Model:
    """One model."""
    return Model.of(_known(model, names))


@router.post(
    EMBEDDINGS,
    response_model=EmbeddingList,
    dependencies=[Depends(takes("application/json"))],
    responses=_errors(400, 404, 408, 413, 415, 422, 503),
)
async def embeddings(body: EmbeddingRequest, indexing: IndexState, fetcher: Fetching) -> Response:
    """The vectors of texts and pictures, to be compared with each other."""
    encoder = indexing.encoder
    name = _known(body.model, [encoder.identity.name])
    if body.dimensions not in (None, encoder.identity.dimension):
        raise InvalidInput(f"dimensions: {name} makes vectors of {encoder.identity.dimension} numbers and no others.")
    terms = [_term(item, body.modality) for item in body.input]
    vectors = await _embed(terms, encoder, fetcher)
    tokens = await encoder.count_tokens([term.text for term in terms if isinstance(term, Text)])
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    tail = orjson.dumps({"model": name, "usage": usage})
    return StreamingResponse(_listed(vectors, body.encoding_format, tail), media_type="application/json")


@router.post(
    "/images/generations",
    response_model_exclude_none=True,
    dependencies=[Depends(takes("application/json"))],
    responses=_errors(400, 404, 408, 409, 413, 415, 422, 501, 503),
)
async def generate_images(
    body: ImageRequest, request: Request, generations: Generates, seen: ViewIfAny, caller: Caller
) -> ImageList:
    """Draw pictures of what a prompt says, and answer when they are finished."""
    if body.model is not None and generations.model_name is not None:
        _known(body.model, [generations.model_name])
    job = await generations.start(body.wish(), seen(), caller)
    job = await _finished(job.id, request, generations)
    if body.response_format == "url":
        data = [GeneratedImage(url=_picture_url(request, job.id, each.number)) for each in job.results]
    else:
        files = [await generations.png(job.id, each.number) for each in job.results]
        data = [GeneratedImage(b64_json=base64.b64encode(file).decode()) for file in files]
    first = job.results[0]
    return ImageList(created=int(job.finished_at or time.time()), data=data, size=f"{first.width}x{first.height}")


async def _finished(job_id: str, request: Request, generations: Generations) -> Generation:
    """The job when it has succeeded. It is cancelled when the client goes away.

    Raises Conflict for a job that was cancelled, InvalidInput for one that was refused, and HTTPException for one that
    failed.
    """
    ended = asyncio.ensure_future(generations.wait(job_id))
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait([ended, gone], return_when=asyncio.FIRST_COMPLETED)
        job = ended.result() if ended.done() else await generations.cancel(job_id)
    finally:
        ended.cancel()
        gone.cancel()
    if job.state is State.SUCCEEDED:
        return job
    if job.is_refused:
        raise InvalidInput(job.error or "The picture is refused.")
    if job.state is State.FAILED:
        raise HTTPException(500, job.error or "The picture could not be drawn.")
    raise Conflict("The generation was cancelled.")


async def _gone(request: Request) -> None:
    """Returns when the client has closed the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _picture_url(request: Request, job_id: str, number: int) -> str:
    return str(request.url_for("generation_picture", generation_id=job_id, number=number))


def _known(model: str, names: Sequence[str]) -> str:
    """The whole name of a model of this service. Raises ModelNotFound."""
    for name in names:
        if model in (name, name.partition("@")[0]):
            return name
    raise ModelNotFound(f"There is no model {model!r} here for that. GET {PREFIX}/models lists what there is.")


@dataclass(frozen=True, slots=True)
class _Address:
    """Of a picture on the web."""

    url: str


@dataclass(frozen=True, slots=True)
class _DataAddress:
    """A picture in base64, to be read once."""

    url: str

    def read(self, size: int = -1, /) -> bytes:
        """The picture file. Raises InvalidImage."""
        head, _, data = self.url.partition(",")
        try:
            if not head.endswith(";base64"):
                raise binascii.Error("it does not say ;base64")
            return binascii.a2b_base64(data.encode("ascii", "replace"))
        except binascii.Error as error:
            raise InvalidImage(f"A data address can't be read: {error}. Write data:image/jpeg;base64,...") from error


def _term(item: str, modality: str | None) -> Text | PictureFile | _Address:
    if item.startswith(f"{DATA}image/") or (modality == "image" and item.startswith(DATA)):
        return PictureFile(_DataAddress(item))
    return _Address(item) if modality == "image" else Text(item)


async def _embed(terms: Sequence[Text | PictureFile | _Address], encoder: Encoder, fetcher: Fetcher) -> list[Vectors]:
    """The vectors of the terms, a bounded number at a time, so that one request leaves room for others."""
    pictures = sum(not isinstance(term, Text) for term in terms)
    if pictures > MAX_PICTURES:
        raise InvalidInput(f"input: {pictures} pictures are too many for one request. Send at most {MAX_PICTURES}.")
    at_once = min(FETCHES, encoder.batch_size) if pictures else encoder.batch_size
    vectors: list[Vectors] = []
    for start in range(0, len(terms), at_once):
        work = [asyncio.create_task(_vector(term, encoder, fetcher)) for term in terms[start : start + at_once]]
        try:
            vectors += await asyncio.gather(*work)
        finally:
            for task in work:
                task.cancel()
    return vectors


async def _vector(term: Text | PictureFile | _Address, encoder: Encoder, fetcher: Fetcher) -> Vectors:
    if isinstance(term, _Address):
        term = PictureFile((await fetcher.fetch(term.url)).data)
    return await encoder.embed(term)


async def _listed(vectors: Sequence[Vectors], encoding_format: str | None, tail: bytes) -> AsyncIterator[bytes]:
    """An `EmbeddingList` as JSON, some vectors at a time; `tail` is an object with what follows them."""
    yield b'{"object":"list","data":['
    for start in range(0, len(vectors), SENT_AT_ONCE):
        part = list(_entries(vectors[start : start + SENT_AT_ONCE], start, encoding_format))
        yield (b"," if start else b"") + orjson.dumps(part, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1]
    yield b"]," + tail[1:]


def _entries(vectors: Sequence[Vectors], first: int, encoding_format: str | None) -> Iterator[dict[str, Any]]:
    """Fields of `Embedding`; `first` is the number of the first vector."""
    for index, vector in enumerate(vectors, first):
        in_base64 = encoding_format == "base64"
        written = base64.b64encode(vector.astype("<f4").tobytes()).decode() if in_base64 else vector
        yield {"object": "embedding", "index": index, "embedding": written}
