"""Where the next page of a search begins, as a signed text: the query, the state and the position.

Texts are embedded again for each page; of all other terms the cursor has the vectors.
"""

import base64
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, fields
from hashlib import sha256
from typing import Any, Final

import numpy as np
import orjson
from itsdangerous import BadData, URLSafeSerializer
from pydantic import TypeAdapter, ValidationError

from app.catalog.filters import Filters
from app.encoder.encoder import IndexedPicture, PictureFile, RawVector, Term, Text
from app.errors import InvalidCursor
from app.search.folders import FolderChoice
from app.search.minus_words import Understood
from app.search.prepared import Prepared
from app.search.query import Query, Weighted
from app.types import Vectors

MAX_CURSOR_CHARS: Final = 1_000_000
"""16 vectors of the largest known models take a fifth of it."""

_REFUSED: Final = (
    "The cursor can't be read: it was changed, or made with another CURSOR_KEY or by another version. Send "
    "`next_cursor` as it was answered, or search again."
)
_CHOICES = TypeAdapter(FolderChoice | None)
_FILTERS = TypeAdapter(Filters)
_UNDERSTOOD = TypeAdapter(Understood | None)
_ELSEWHERE = ("terms", "cursor")
_USUAL = {name: getattr(Query(()), name) for name in (field.name for field in fields(Query)) if name not in _ELSEWHERE}


@dataclass(frozen=True, eq=False)
class Cursor:
    """A search that goes on."""

    search: str
    """Of one search; random."""
    generation: str
    journal: int
    """With the generation, it names one state of the index."""
    scope: tuple[str, ...]
    """As `View.scope` of the caller."""
    prepared: Prepared
    """Read from a text, a picture file among its terms is empty, and so is the vector of a text."""
    first: tuple[int, ...]
    """Row ids of the first page."""
    good_match: bool | None = None
    understood: Understood | None = None
    offset: int = 0
    """Pictures after the first page that were shown, or passed over because they are deleted."""


class _Json:
    """What itsdangerous writes a payload with."""

    @staticmethod
    def dumps(content: Any) -> bytes:
        return orjson.dumps(content)

    @staticmethod
    def loads(data: bytes) -> Any:
        return orjson.loads(data)


class Cursors:
    """Writes and reads cursors (HMAC-SHA256)."""

    def __init__(self, key: str) -> None:
        """`key` as CURSOR_KEY; empty: a random one."""
        self._serializer = URLSafeSerializer(
            key or secrets.token_bytes(32),
            salt="image2search cursor",
            serializer=_Json,
            signer_kwargs={"key_derivation": "hmac", "digest_method": sha256},
        )

    def write(self, cursor: Cursor) -> str:
        """Letters, digits, `-`, `_` and `.`."""
        prepared = cursor.prepared
        text = self._serializer.dumps(
            {
                "search": cursor.search,
                "generation": cursor.generation,
                "journal": cursor.journal,
                "scope": cursor.scope,
                "query": _changed_fields(prepared.query),
                "terms": list(map(_term_fields, prepared.query.terms)),
                "vectors": [
                    "" if isinstance(each.term, Text) else _packed(np.asarray(vector, "<f4"))
                    for each, vector in zip(prepared.query.terms, prepared.vectors, strict=True)
                ],
                "choice": prepared.choice,
                "first": _packed(np.array(cursor.first, "<i8")),
                "good_match": cursor.good_match,
                "understood": _UNDERSTOOD.dump_python(cursor.understood),
                "offset": cursor.offset,
                "fewer_hubs": prepared.fewer_hubs,
            }
        )
        return text if isinstance(text, str) else text.decode()

    def read(self, text: str) -> Cursor:
        """Raises InvalidCursor."""
        try:
            content = self._serializer.loads(text)
            vectors = tuple(map(_vector, content["vectors"]))
            query = _query_of(content["query"], content["terms"], vectors)
            return Cursor(
                content["search"],
                content["generation"],
                content["journal"],
                tuple(content["scope"]),
                Prepared(query, _CHOICES.validate_python(content["choice"]), vectors, content.get("fewer_hubs", False)),
                tuple(np.frombuffer(base64.b64decode(content["first"]), "<i8").tolist()),
                content["good_match"],
                _UNDERSTOOD.validate_python(content["understood"]),
                content["offset"],
            )
        except (BadData, ValidationError, KeyError, TypeError, ValueError) as error:
            raise InvalidCursor(_REFUSED) from error


def _query_of(content: dict[str, Any], terms: Sequence[Sequence[Any]], vectors: Sequence[Vectors]) -> Query:
    """Raises TypeError for fields that this version does not know."""
    known = {field.name for field in fields(Query)}
    if unknown := content.keys() - known:
        raise TypeError(f"unknown fields: {sorted(unknown)}")
    pairs = zip(terms, vectors, strict=True)
    weighted = tuple(
        Weighted(_term_of(kind, name, vector), weight, exclude) for (kind, name, weight, exclude), vector in pairs
    )
    read: dict[str, Any] = {"terms": weighted, "folders": tuple(content.get("folders", ()))}
    if "filters" in content:
        read["filters"] = _FILTERS.validate_python(content["filters"])
    return Query(**{**content, **read})


def _changed_fields(query: Query) -> dict[str, Any]:
    """Without those that are as in any query, and without the terms and the cursor that it came with."""
    values = ((name, getattr(query, name), usual) for name, usual in _USUAL.items())
    return {name: value for name, value, usual in values if value != usual}


def _term_fields(term: Weighted) -> tuple[str, str, float, bool]:
    match term.term:
        case Text(text):
            kind, name = "text", text
        case IndexedPicture(image_id):
            kind, name = "indexed", image_id
        case PictureFile():
            kind, name = "file", ""
        case _:
            kind, name = "vector", ""
    return kind, name, term.weight, term.exclude


def _term_of(kind: str, name: str, vector: Vectors) -> Term:
    made: dict[str, Term] = {
        "text": Text(name),
        "indexed": IndexedPicture(name),
        "file": PictureFile(b""),
        "vector": RawVector(vector),
    }
    return made[kind]


def _packed(numbers: Any) -> str:
    return base64.b64encode(numbers.tobytes()).decode()


def _vector(packed: str) -> Vectors:
    return np.frombuffer(base64.b64decode(packed), "<f4").astype(np.float32)
