"""What goes in and out of `/api/v1/generations`."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Final, Self

from fastapi import UploadFile
from pydantic import ConfigDict, Field, model_validator
from starlette.requests import Request

from app.generation.jobs import Generation, Phase, PictureRequest, Result, State
from app.generation.service import Status
from app.http.openapi import Schema, utc
from app.models.generator.limits import MAX_GUIDANCE, MAX_SEED

MAX_TEXT_CHARS: Final = 10_000
"""Of any prompt. GENERATION_MAX_PROMPT_CHARS is the limit that counts."""

MAX_NUMBER: Final = 1_000_000
"""Of pixels, steps and pictures. The settings have the limits that count."""

FOLDER: Final = "folder of the library to put the pictures into; a new one comes into being; empty: the top"

SIZE: Final = "[1-9][0-9]{0,5}x[1-9][0-9]{0,5}"
"""Width and height in one text, as a regular expression."""

Whole = Annotated[str, Field(pattern=r"^[0-9]{0,10}$", description="a whole number, or empty", examples=[""])]
Decimal = Annotated[
    str, Field(pattern=r"^([0-9]{1,3}(\.[0-9]{1,9})?)?$", description="a number, or empty", examples=[""])
]

Side = Annotated[int | None, Field(ge=1, le=MAX_NUMBER, strict=True, description="pixels; null: as the model likes")]
Folder = Annotated[str | None, Field(max_length=1024, description=FOLDER, examples=["generated"])]


class InitPicture(Schema):
    """A picture that the drawing begins from."""

    image_id: Annotated[str, Field(max_length=64, description="of an indexed picture", examples=["9f2c4b1d00aa37e5"])]


class Generate(Schema):
    """A picture by words, or from an indexed picture and words. What is left out is as the model likes."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"prompt": "a red lighthouse on a cliff at dusk"},
                {"prompt": "a blue circle above a green square", "size": "96x96", "n": 2, "seed": 7},
                {"prompt": "the same in winter", "init": {"image_id": "9f2c4b1d00aa37e5"}, "strength": 0.6},
            ]
        }
    )

    prompt: Annotated[str, Field(min_length=1, max_length=MAX_TEXT_CHARS, pattern=r"\S", examples=["a red lighthouse"])]
    negative_prompt: Annotated[str, Field(max_length=MAX_TEXT_CHARS, description="what it shall not show")] = ""
    width: Side = None
    height: Side = None
    size: Annotated[
        str | None,
        Field(pattern=rf"^{SIZE}$", description="both sides in one", examples=["512x512"]),
    ] = None
    steps: Annotated[int | None, Field(ge=1, le=MAX_NUMBER, strict=True)] = None
    guidance: Annotated[
        float | None, Field(ge=0, le=MAX_GUIDANCE, strict=True, description="how closely it follows the prompt")
    ] = None
    seed: Annotated[
        int | None, Field(ge=0, le=MAX_SEED, strict=True, description="of the first picture; null: by chance")
    ] = None
    n: Annotated[int, Field(ge=1, le=MAX_NUMBER, strict=True, description="how many pictures")] = 1
    scheduler: Annotated[str | None, Field(max_length=64, description="GET /generations names them")] = None
    strength: Annotated[
        float, Field(gt=0, le=1, strict=True, description="how much of the picture to begin from is drawn anew")
    ] = 0.8
    init: InitPicture | None = None
    save_to_folder: Folder = None

    @model_validator(mode="after")
    def _has_one_size(self) -> Self:
        if self.size is not None and (self.width is not None or self.height is not None):
            raise ValueError("give either size, or width and height")
        return self

    def request(self) -> PictureRequest:
        width, height = map(int, self.size.split("x")) if self.size else (self.width, self.height)
        return PictureRequest(
            prompt=self.prompt,
            negative_prompt=self.negative_prompt,
            width=width,
            height=height,
            steps=self.steps,
            guidance=self.guidance,
            seed=self.seed,
            count=self.n,
            scheduler=self.scheduler or None,
            init_image_id=self.init.image_id if self.init else None,
            strength=self.strength,
            save_to_folder=self.save_to_folder,
        )


class GenerateFromFile(Schema):
    """A form, `multipart/form-data`: a picture from a file and words. What is empty is as the model likes."""

    file: Annotated[UploadFile, Field(description="the picture that the drawing begins from")]
    prompt: Annotated[
        str, Field(min_length=1, max_length=MAX_TEXT_CHARS, pattern=r"\S", examples=["the same in winter"])
    ]
    negative_prompt: Annotated[
        str, Field(max_length=MAX_TEXT_CHARS, description="what it shall not show", examples=[""])
    ] = ""
    size: Annotated[
        str, Field(pattern=rf"^({SIZE})?$", description="pixels; empty: the picture's shape", examples=["96x96"])
    ] = ""
    steps: Whole = ""
    guidance: Decimal = ""
    seed: Whole = ""
    n: Annotated[int, Field(ge=1, le=MAX_NUMBER, description="how many pictures", examples=[1])] = 1
    scheduler: Annotated[str, Field(max_length=64, examples=[""])] = ""
    strength: Decimal = ""
    save_to_folder: Annotated[
        str, Field(max_length=1024, description="folder of the library; empty: into none", examples=[""])
    ] = ""

    def fields(self) -> dict[str, Any]:
        """The fields of `Generate` that are not empty."""
        given = {name: value for name, value in self.model_dump(exclude={"file"}).items() if value != ""}
        whole = dict.fromkeys(given.keys() & {"steps", "seed"}, int)
        decimal = dict.fromkeys(given.keys() & {"guidance", "strength"}, float)
        return given | {name: number(given[name]) for name, number in (whole | decimal).items()}


class SaveResults(Schema):
    model_config = ConfigDict(json_schema_extra={"examples": [{"folder": "generated", "pictures": [1]}]})

    folder: Annotated[str, Field(max_length=1024, description=FOLDER)] = ""
    pictures: Annotated[
        list[Annotated[int, Field(ge=1, strict=True)]] | None,
        Field(min_length=1, max_length=16, description="their numbers; null: all"),
    ] = None


class GeneratedPictureInfo(Schema):
    """A finished picture."""

    number: Annotated[int, Field(description="from 1")]
    url: Annotated[str, Field(description="the PNG file; its text chunks have all parameters")]
    seed: int
    width: int
    height: int
    size_bytes: int
    image_id: Annotated[str | None, Field(description="in the library, once it is saved there")]
    object_key: str | None
    save_error: Annotated[str | None, Field(description="why it is not in `save_to_folder`")]

    @classmethod
    def of(cls, result: Result, generation: Generation, request: Request) -> Self:
        url = request.url_for("generation_picture", generation_id=generation.id, number=str(result.number))
        return cls(url=str(url), **asdict(result))


class GenerationProgress(Schema):
    """How far a job is."""

    state: State
    phase: Annotated[Phase | None, Field(description="what a running job does")]
    picture: Annotated[int | None, Field(description="number of the picture that is drawn now")]
    n: Annotated[int, Field(description="how many pictures it is about")]
    step: int | None
    steps: Annotated[int | None, Field(description="of each picture; null while it is not known")]
    preview: Annotated[str | None, Field(description="how the picture looks by now, as a small `data:` picture")]

    @classmethod
    def of(cls, generation: Generation) -> Self:
        now = generation.progress
        return cls(
            state=generation.state,
            phase=now.phase if now else None,
            picture=now.picture if now else None,
            n=generation.request.count,
            step=now.step if now else None,
            steps=now.steps or None if now else None,
            preview=now.preview if now else None,
        )


class GenerationInfo(Schema):
    """A job: what was asked for, how far it is, and what came out."""

    id: Annotated[str, Field(examples=["0193a1b2c3d4f00dfeedfacecafe0123"])]
    state: State
    progress: GenerationProgress
    results: Annotated[list[GeneratedPictureInfo], Field(description="the pictures that are finished")]
    error: Annotated[str | None, Field(description="why it failed")]
    model: Annotated[str | None, Field(description="what drew it; null until it has begun")]
    prompt: str
    negative_prompt: str
    width: Annotated[int | None, Field(description="null until it is known, as the next ones")]
    height: int | None
    steps: int | None
    guidance: float | None
    scheduler: str | None
    seed: Annotated[int | None, Field(description="of the first picture; the next ones count up from it")]
    n: int
    init_image_id: str | None
    strength: Annotated[float | None, Field(description="null where it begins from no picture")]
    save_to_folder: str | None
    created_at: datetime
    finished_at: datetime | None

    @classmethod
    def of(cls, generation: Generation, request: Request) -> Self:
        wish = generation.request
        numbers = generation.parameters or wish
        return cls(
            id=generation.id,
            state=generation.state,
            progress=GenerationProgress.of(generation),
            results=[GeneratedPictureInfo.of(result, generation, request) for result in generation.results],
            error=generation.error,
            model=generation.model,
            prompt=wish.prompt,
            negative_prompt=wish.negative_prompt,
            width=numbers.width,
            height=numbers.height,
            steps=numbers.steps,
            guidance=numbers.guidance,
            scheduler=numbers.scheduler,
            seed=wish.seed,
            n=wish.count,
            init_image_id=wish.init_image_id,
            strength=wish.strength if generation.has_first else None,
            save_to_folder=wish.save_to_folder,
            created_at=utc(generation.created_at),
            finished_at=utc(generation.finished_at) if generation.finished_at else None,
        )


class GenerationLimits(Schema):
    """Of this service, by its settings."""

    max_pixels: int
    max_steps: int
    max_n: int
    max_prompt_chars: int
    max_queue: int
    keep_days: float


class GenerationAbilities(Schema):
    """Of the model."""

    width: Annotated[int, Field(description="of pictures that name no size")]
    height: int
    size_multiple: Annotated[int, Field(description="width and height are multiples of it")]
    min_side: int
    max_side: int
    steps: Annotated[int, Field(description="where a request names no number")]
    guidance: float
    scheduler: str
    schedulers: list[str]
    takes_negative_prompts: bool
    takes_pictures: Annotated[bool, Field(description="whether a drawing can begin from a picture")]


class GenerationStatus(Schema):
    """Whether this service draws pictures, what it can draw, and how much it has to do."""

    enabled: bool
    reason: Annotated[str | None, Field(description="why it draws none, and what to set")]
    model: str | None
    waiting: Annotated[int, Field(description="jobs in the queue")]
    drawing: Annotated[bool, Field(description="whether this replica draws one now")]
    loaded: Annotated[bool, Field(description="whether its model is in memory")]
    abilities: Annotated[GenerationAbilities | None, Field(description="null until the model was loaded once")]
    limits: GenerationLimits

    @classmethod
    def of(cls, status: Status, reason: str | None = None) -> Self:
        limits = status.limits
        return cls(
            enabled=reason is None,
            reason=reason,
            model=status.model,
            waiting=status.waiting,
            drawing=status.is_drawing,
            loaded=status.is_loaded,
            abilities=GenerationAbilities(**_abilities(status)) if status.abilities else None,
            limits=GenerationLimits(
                max_pixels=limits.max_pixels,
                max_steps=limits.max_steps,
                max_n=limits.max_count,
                max_prompt_chars=limits.max_prompt_chars,
                max_queue=limits.max_queue,
                keep_days=limits.keep_days,
            ),
        )


def _abilities(status: Status) -> dict[str, Any]:
    abilities = asdict(status.abilities) if status.abilities else {}
    return {name: abilities[name] for name in GenerationAbilities.model_fields}
