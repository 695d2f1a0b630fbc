"""The messages that an index job sends to its watcher: one JSON object a line, on the job's standard output.

`{"phase", "done", "total"}` while it works; at the end `{"report": {...}}` or `{"error": {"type", "message"}}`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import orjson

from app.printable import printable_json
from app.types import from_fields


@dataclass(frozen=True, slots=True)
class PhaseProgress:
    """How far a phase of the run is."""

    phase: str
    """`listing`, `indexing`, `publishing`, ..."""
    done: int
    total: int | None = None
    """None while the total is unknown."""


@dataclass(frozen=True, slots=True)
class Unindexed:
    """A picture that is not in the index as it is in the bucket, and why."""

    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a run did.

    Every listed picture is counted once: seen = added + changed + unchanged + skipped + failed + vanished + left.
    """

    seen: int = 0
    """Pictures in the listing. A folder that can't be read counts as one."""
    added: int = 0
    changed: int = 0
    removed: int = 0
    """Rows dropped: their objects are gone, or are no readable pictures any more."""
    unchanged: int = 0
    """Pictures with the etag that the index knows. A rebuild embeds them again and still counts them here."""
    moved: int = 0
    """How many of the added pictures have the bytes of a removed one."""
    embedded: int = 0
    """Pictures that went through the model."""
    reused: int = 0
    """Pictures that took an existing vector, because their bytes were known."""
    skipped: tuple[Unindexed, ...] = ()
    """Pictures that can't be read. They are tried again when they change."""
    failed: tuple[Unindexed, ...] = ()
    """Pictures that the storage did not return or the model could not embed, and folders that can't be read: their
    keys end with a slash, and their pictures keep their rows. The next run tries them again."""
    captioned: int = 0
    """Pictures that got a caption from the captioner."""
    caption_failed: tuple[Unindexed, ...] = ()
    """Indexed pictures that the captioner could not describe, and why. `--captions` tries them again."""
    damaged: tuple[Unindexed, ...] = ()
    """Pictures that are indexed although their files are damaged, and what is wrong with them."""
    passed_over: Mapping[str, int] = field(default_factory=dict)
    """How many objects are no pictures, by kind: `video`, `PDF`, ... They are not counted in `seen`."""
    vanished: int = 0
    """Objects that were listed, and deleted before they were read."""
    left: int = 0
    """Pictures that an interrupted run did not reach. The next run continues with them."""
    images_per_s: float = 0.0
    """Pictures embedded or reused, per second of reading and embedding."""
    took_s: float = 0.0
    generation: str | None = None
    """The published generation when the run ended; None if nothing was ever published."""
    interrupted: bool = False

    def to_json(self, *, indent: bool = False) -> bytes:
        """The fields as one JSON object that ends with a newline, with escapes for what is not safe to print."""
        options = orjson.OPT_APPEND_NEWLINE | (orjson.OPT_INDENT_2 if indent else 0)
        return printable_json(orjson.dumps(self, option=options))

    def as_dict(self) -> dict[str, Any]:
        """The fields as JSON has them."""
        fields: dict[str, Any] = orjson.loads(self.to_json())
        return fields


@dataclass(frozen=True, slots=True)
class RunError:
    """Why the run failed."""

    type: str
    """The class in `app.errors`."""
    message: str


Message: TypeAlias = PhaseProgress | Report | RunError


def to_line(message: Message) -> bytes:
    """The message as one line of JSON, newline included."""
    match message:
        case PhaseProgress():
            content: object = message
        case Report():
            content = {"report": message}
        case RunError():
            content = {"error": message}
    return orjson.dumps(content, option=orjson.OPT_APPEND_NEWLINE)


def parse_line(line: bytes) -> Message | None:
    """The message in a line; None when the line is no message, for example the output of a library.

    Fields that this version does not know are passed over, and missing fields of a report get their defaults.
    """
    try:
        match orjson.loads(line):
            case {"report": dict(fields)}:
                return _report(fields)
            case {"error": {"type": str(), "message": str()} as fields}:
                return from_fields(RunError, fields)
            case {"phase": str(), "done": int(), "total": int() | None} as fields:
                return from_fields(PhaseProgress, fields)
    except (orjson.JSONDecodeError, TypeError):
        return None
    return None


def parse_report(document: bytes) -> Report:
    """What `Report.to_json` wrote. Raises ValueError, TypeError for anything else."""
    return _report(orjson.loads(document))


def _report(fields: dict[str, Any]) -> Report:
    """Raises TypeError when an entry of a list of pictures is incomplete."""
    names = ("skipped", "failed", "caption_failed", "damaged")
    lists = {name: tuple(_unindexed(entry) for entry in fields.get(name, ())) for name in names}
    return from_fields(Report, {**fields, **lists})


def _unindexed(entry: object) -> Unindexed:
    if not isinstance(entry, dict):
        raise TypeError(f"{entry!r} is no object")
    return from_fields(Unindexed, entry)
