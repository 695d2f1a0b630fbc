"""Bodies of requests and answers as OpenAI's API has them, as far as `app.compat.openai` has its routes."""

import time
from functools import cache
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from app.generation.jobs import PictureRequest
from app.models.generator.limits import MAX_SEED
from app.search.query import MAX_QUERY_CHARS

MAX_INPUTS = 2048
"""OpenAI's own limit."""

DATA = "data:"
"""What an address begins with that holds the file itself."""


class ErrorDetails(BaseModel):
    message: Annotated[str, Field(examples=["There is no model 'gpt-5' here. GET /v1/models lists what there is."])]
    type: Literal["invalid_request_error", "server_error"]
    param: Annotated[str | None, Field(description="the field that is wrong", examples=["model"])]
    code: Annotated[str | None, Field(examples=["model_not_found"])]


class OpenAIError(BaseModel):
    error: ErrorDetails


_TEXT = Annotated[str, Field(min_length=1, json_schema_extra={"pattern": r"\S"})]


def _as_list(value: object) -> object:
    items = value if isinstance(value, list) else [value]
    if any(isinstance(item, int | list) for item in items):
        raise ValueError(
            "token ids can't be read, because each model has its own. Send texts; with LangChain's OpenAIEmbeddings,"
            " set check_embedding_ctx_length=False"
        )
    return items


def _checked_input(item: str) -> str:
    if not item.strip():
        raise ValueError("a text can't be empty")
    if len(item) > MAX_QUERY_CHARS and not item.startswith(DATA):
        raise ValueError(f"a text has at most {MAX_QUERY_CHARS:,} characters; this one has {len(item):,}")
    return item


Inputs = Annotated[
    list[Annotated[str, AfterValidator(_checked_input)]],
    Field(
        min_length=1,
        max_length=MAX_INPUTS,
        description=f"texts of up to {MAX_QUERY_CHARS:,} characters, and pictures as `data:image/...` addresses",
    ),
    BeforeValidator(
        _as_list, json_schema_input_type=_TEXT | Annotated[list[_TEXT], Field(min_length=1, max_length=MAX_INPUTS)]
    ),
]

ModelName = Annotated[str, Field(min_length=1, description="as `/v1/models` lists it", examples=["demo-clip"])]


class EmbeddingRequest(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"model": "demo-clip", "input": "a red car"},
                {"model": "demo-clip", "input": ["a red car", "a cat on a sofa"], "encoding_format": "float"},
            ]
        }
    )

    input: Inputs
    model: ModelName
    encoding_format: Annotated[
        Literal["float", "base64"] | None, Field(description="base64: of float32, little-endian")
    ] = None
    dimensions: Annotated[int | None, Field(description="the model's own number, or none")] = None
    user: Annotated[str | None, Field(description="not looked at")] = None
    modality: Annotated[
        Literal["text", "image"] | None, Field(description="image: the inputs are addresses of pictures")
    ] = None


class Embedding(BaseModel):
    object: Literal["embedding"]
    index: Annotated[int, Field(examples=[0])]
    embedding: Annotated[list[float] | str, Field(examples=[[0.6, -0.8]])]


class Usage(BaseModel):
    prompt_tokens: Annotated[int, Field(examples=[5])]
    total_tokens: Annotated[int, Field(examples=[5])]


class EmbeddingList(BaseModel):
    object: Literal["list"]
    data: list[Embedding]
    model: Annotated[str, Field(examples=["demo-clip"])]
    usage: Usage


def _not_streamed(stream: bool | None) -> bool | None:
    if stream:
        raise ValueError("answers are not streamed here. /api/v1/generations/{id}/events streams how far a picture is")
    return stream


class ImageRequest(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"prompt": "a red lighthouse on a cliff at dusk"},
                {"prompt": "a blue circle above a green square", "size": "96x96", "n": 2, "response_format": "url"},
            ]
        }
    )

    prompt: Annotated[str, Field(min_length=1, json_schema_extra={"pattern": r"\S"})]
    model: Annotated[str | None, Field(description="as `/v1/models` lists it; null: the one that draws")] = None
    n: Annotated[int | None, Field(ge=1, le=10, strict=True, description="how many pictures")] = None
    size: Annotated[str | None, Field(pattern=r"^(auto|[1-9][0-9]{0,5}x[1-9][0-9]{0,5})$", examples=["96x96"])] = None
    response_format: Literal["b64_json", "url"] | None = None
    output_format: Literal["png"] | None = None
    seed: Annotated[
        int | None, Field(ge=0, le=MAX_SEED, strict=True, description="of the first picture; null: by chance")
    ] = None
    stream: Annotated[
        bool | None,
        Field(strict=True, json_schema_extra={"enum": [False, None]}, description="not here"),
        AfterValidator(_not_streamed),
    ] = None
    user: Annotated[str | None, Field(description="not looked at")] = None

    def wish(self) -> PictureRequest:
        width, height = map(int, self.size.split("x")) if self.size and self.size != "auto" else (None, None)
        return PictureRequest(self.prompt, width=width, height=height, count=self.n or 1, seed=self.seed)


class GeneratedImage(BaseModel):
    b64_json: Annotated[str | None, Field(description="a PNG file in base64")] = None
    url: Annotated[str | None, Field(description="of a PNG file")] = None


class ImageList(BaseModel):
    created: Annotated[int, Field(examples=[1795752000])]
    data: list[GeneratedImage]
    output_format: Literal["png"] = "png"
    size: Annotated[str, Field(examples=["96x96"])]


class Model(BaseModel):
    id: Annotated[str, Field(examples=["demo-clip"])]
    object: Literal["model"] = "model"
    created: Annotated[int, Field(examples=[1795752000])]
    owned_by: Annotated[str, Field(examples=["local"])]

    @classmethod
    def of(cls, name: str) -> "Model":
        owner, is_from_hub, _ = name.rpartition("/")
        return cls(id=name, created=_first_asked(), owned_by=owner if is_from_hub else "local")


class ModelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[Model]


@cache
def _first_asked() -> int:
    return int(time.time())
