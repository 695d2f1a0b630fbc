"""What goes in and out of `/api/v1/sessions`."""

from datetime import datetime
from typing import Annotated, Literal, Self

from fastapi import UploadFile
from pydantic import ConfigDict, Field, model_validator
from starlette.requests import Request

from app.encoder.encoder import PictureFile
from app.http.addresses import Addresses
from app.http.openapi import Schema, utc
from app.http.schemas import ImageResult
from app.sessions.answering import Answer
from app.sessions.composing import QueryTerm
from app.sessions.service import NewSearch, Refinement
from app.sessions.session import MAX_PICTURES, Session, Turn, UploadInfo

MAX_TEXT_CHARS = 2000
"""Of a query."""

MAX_FEEDBACK_CHARS = 500
"""Of one feedback."""

MAX_FOLDERS = 32

MAX_JUDGEMENTS = 50
"""In one request."""

Count = Annotated[int, Field(ge=1, le=100, strict=True, description="how many pictures, at most")]
ImageId = Annotated[str, Field(min_length=1, max_length=64, examples=["9f2c4b1d00aa37e5"])]
UploadId = Annotated[str, Field(min_length=1, max_length=64, examples=["5d1e0c9a7b3f2468"])]
Folders = Annotated[
    tuple[Annotated[str, Field(max_length=1024)], ...],
    Field(max_length=MAX_FOLDERS, description="search only in and below these; unknown: 404; none: everywhere"),
]
Judged = tuple[Annotated[int, Field(strict=True, ge=0, le=99)] | ImageId, ...]


class SessionSearch(Schema):
    """A text, pictures, or both. It begins a new query: earlier feedback does not count any more."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"query": "a dog", "k": 10},
                {"query": "the same in snow", "upload_ids": [], "folders": []},
            ]
        }
    )

    query: Annotated[str, Field(max_length=MAX_TEXT_CHARS, description="what to look for, in words")] = ""
    image_ids: Annotated[tuple[ImageId, ...], Field(max_length=MAX_PICTURES, description="of indexed pictures")] = ()
    upload_ids: Annotated[
        tuple[UploadId, ...], Field(max_length=MAX_PICTURES, description="of pictures sent earlier in this session")
    ] = ()
    k: Count = 10
    folders: Folders = ()

    def search(self) -> NewSearch:
        return NewSearch(self.query, self.image_ids, self.upload_ids, k=self.k, folders=self.folders)


class SessionSearchForm(Schema):
    """A form, `multipart/form-data`: pictures, together not larger than one may be (IMAGE_MAX_BYTES), and words."""

    files: Annotated[
        list[UploadFile],
        Field(default_factory=list, max_length=MAX_PICTURES, description="pictures that are kept as uploads"),
    ]
    query: Annotated[
        str, Field(max_length=MAX_TEXT_CHARS, description="what to look for, in words", examples=["at night"])
    ] = ""
    upload_ids: Annotated[
        tuple[UploadId, ...],
        Field(max_length=MAX_PICTURES, description="of pictures sent earlier in this session", examples=[[]]),
    ] = ()
    k: Annotated[int, Field(ge=1, le=100, description="how many pictures, at most", examples=[10])] = 10
    folders: Annotated[Folders, Field(examples=[[]])] = ()

    def search(self) -> NewSearch:
        files = tuple(PictureFile(each.file) for each in self.files)
        return NewSearch(self.query, upload_ids=self.upload_ids, files=files, k=self.k, folders=self.folders)


class SessionRefine(Schema):
    """Feedback in words, judgements of pictures, or both. A number is an index in `results`, from 0."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"feedback": "without trees, more blue sky"},
                {"feedback": "focus on the dog", "k": 20},
            ]
        }
    )

    feedback: Annotated[
        str, Field(max_length=MAX_FEEDBACK_CHARS, description="`more ...`, `less ...`, `without ...`, `focus on ...`")
    ] = ""
    pick: Annotated[Judged, Field(max_length=MAX_JUDGEMENTS, description="pictures that fit: more like these")] = ()
    reject: Annotated[
        Judged, Field(max_length=MAX_JUDGEMENTS, description="pictures that do not fit: none like these, nor them")
    ] = ()
    turn: Annotated[
        int | None,
        Field(strict=True, ge=1, le=1 << 31, description="whose answer the indexes are of; null: the last one"),
    ] = None
    k: Annotated[Count | None, Field(description="null: as before")] = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not (self.feedback.strip() or self.pick or self.reject):
            raise ValueError("say what to change: `feedback`, `pick` or `reject`")
        return self

    def refinement(self) -> Refinement:
        return Refinement(self.feedback, self.pick, self.reject, self.turn, self.k)


class QueryTermInfo(Schema):
    role: Annotated[
        Literal["query", "caption", "feedback", "picked", "rejected"],
        Field(description="where it comes from", examples=["query"]),
    ]
    weight: Annotated[float, Field(description="below 0: it is taken away", examples=[1.0])]
    text: Annotated[str | None, Field(examples=["a dog"])] = None
    image_ids: Annotated[list[str], Field(description="one, or several whose mean is searched for", examples=[[]])]
    upload_id: str | None = None

    @classmethod
    def of(cls, term: QueryTerm) -> Self:
        return cls(
            role=term.role,
            weight=term.weight,
            text=term.text,
            image_ids=list(term.image_ids),
            upload_id=term.upload_id,
        )


class SessionAnswer(Schema):
    """Results as of every search, and the query as it was understood."""

    results: list[ImageResult]
    turn: Annotated[int, Field(description="number of this answer; name it in `refine` beside indexes", examples=[1])]
    query: list[QueryTermInfo]
    rewritten: Annotated[
        str | None, Field(description="the words as REWRITE_MODEL joined them; null: searched as they were typed")
    ] = None
    good_match: Annotated[bool | None, Field(description="false: nothing that was found fits; null: not known")] = None
    note: Annotated[str | None, Field(description="what to know of how it was searched; null: nothing")] = None
    generation: str
    took_ms: float

    @classmethod
    def of(cls, answer: Answer, request: Request) -> Self:
        addresses = Addresses(request)
        return cls(
            results=[ImageResult.of(hit, addresses) for hit in answer.hits],
            turn=answer.turn,
            query=[QueryTermInfo.of(term) for term in answer.query],
            rewritten=answer.rewritten,
            good_match=answer.good_match,
            note=answer.note,
            generation=answer.generation,
            took_ms=answer.took_ms,
        )


class SessionUpload(Schema):
    upload_id: Annotated[str, Field(examples=["5d1e0c9a7b3f2468"])]
    caption: Annotated[str | None, Field(description="what the captioner says of it; null: no captioner, or it failed")]
    thumbnail_url: str

    @classmethod
    def of(cls, upload: UploadInfo, session_id: str, request: Request) -> Self:
        url = request.url_for("session_upload", session_id=session_id, upload_id=upload.id)
        return cls(upload_id=upload.id, caption=upload.caption, thumbnail_url=str(url))


class SessionTurn(Schema):
    """One search or refinement."""

    turn: int
    kind: Literal["search", "refine"]
    at: datetime
    said: Annotated[str, Field(description="the text of the search, or the feedback")]
    rewritten: str | None
    picked: Annotated[list[str], Field(description="all pictures that were picked until then")]
    rejected: list[str]
    results: Annotated[list[str], Field(description="ids of the pictures in the answer, in its order")]

    @classmethod
    def of(cls, turn: Turn) -> Self:
        return cls(
            turn=turn.number,
            kind=turn.kind,
            at=utc(turn.at),
            said=turn.said,
            rewritten=turn.rewritten,
            picked=list(turn.wish.picked),
            rejected=list(turn.wish.rejected),
            results=list(turn.shown),
        )


class SessionInfo(Schema):
    session_id: Annotated[str, Field(description="who knows it can use the session", examples=["Jx0mC3tZ..."])]
    idle_s: Annotated[float, Field(description="seconds without a request after which it is deleted", examples=[1800])]
    uploads: list[SessionUpload]
    turns: Annotated[list[SessionTurn], Field(description="its history, the last 50 turns; undone ones are left out")]

    @classmethod
    def of(cls, session_id: str, session: Session, idle_s: float, request: Request) -> Self:
        return cls(
            session_id=session_id,
            idle_s=idle_s,
            uploads=[SessionUpload.of(each, session_id, request) for each in session.uploads],
            turns=[SessionTurn.of(each) for each in session.turns],
        )
