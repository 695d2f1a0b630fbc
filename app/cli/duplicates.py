"""`image2search duplicates`: the duplicates of a folder on this machine. Groups go to stdout, all else to stderr."""

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.catalog.view import View
from app.cli.search import writing
from app.errors import IndexCorrupt, IndexNotReady, InvalidInput
from app.folder_cache import bring_up_to_date, load_index, remake, settings_for
from app.indexing.foreground import run_indexer
from app.library.duplicates.groups import WORDS, Group, Kind
from app.library.duplicates.service import compare
from app.models.advice import IN_SHORT, knows_drawings_only
from app.printable import printable, printable_json
from app.settings import Settings, load_settings
from app.types import ImageRecord

TITLES = {Kind.BYTES: "Same bytes", Kind.PHOTO: "Same photo", Kind.SIMILAR: "Similar"}


@dataclass(frozen=True)
class Found:
    """A group with its pictures, the one to keep first, each with its path as the person has named the folder."""

    group: Group
    pictures: list[tuple[str, ImageRecord]]


def duplicates(
    folder: Path, kinds: Sequence[str], write: Callable[[list[Found]], None], tell: Callable[[str], None]
) -> bool:
    """`write` the groups of these kinds, `tell` the person the rest. Returns whether there are any.

    Raises AppError; CalledProcessError and KeyboardInterrupt as `run_indexer`.
    """
    if not folder.is_dir():
        raise InvalidInput(f"There is no folder {folder}. Give the folder of your pictures.")
    settings = settings_for(folder, load_settings())
    view = _up_to_date(settings)
    comparison = compare(view, settings.duplicates.burst_s)
    found = [_found(group, view, folder) for kind in kinds for group in comparison.groups[Kind(kind)]]
    with writing():
        write(found)
    freed = sum(each.group.freed_bytes for each in found)
    tell(f"{len(view)} pictures compared, groups of duplicates: {len(found)}. Pictures not to keep: {freed:,} bytes.")
    if knows_drawings_only(settings.model):
        tell(IN_SHORT)
    return bool(found)


def write_groups(found: list[Found]) -> None:
    """A title for each kind, a line for each picture, and an empty one after each group."""
    kind = None
    for each in found:
        if each.group.kind != kind:
            kind = each.group.kind
            print(f"{TITLES[kind]}:")  # noqa: T201 - the command's output
        (path, record), *others = each.pictures
        print(f"  keep  {_described(path, record)}: {WORDS[each.group.reason]}")  # noqa: T201
        for (other, its_record), member in zip(others, each.group.others, strict=True):
            print(f"        {_described(other, its_record)}{', flipped or turned' * member.turned}")  # noqa: T201
        print()  # noqa: T201


def write_paths(found: list[Found]) -> None:
    """The paths of all pictures but those to keep, each followed by a zero byte, for `xargs -0`."""
    sys.stdout.flush()
    paths = [path for each in found for path, _ in each.pictures[1:]]
    sys.stdout.buffer.write(b"".join(os.fsencode(path) + b"\0" for path in paths))


def write_json(found: list[Found]) -> None:
    """One object, with names as in the service's answers."""
    document = json.dumps({"groups": [_fields(each) for each in found]}, ensure_ascii=False, indent=2)
    print(printable_json(document.encode()).decode())  # noqa: T201 - the command's output


def _fields(found: Found) -> dict[str, Any]:
    group = found.group
    (keep, record), *others = found.pictures
    return {
        "id": group.id,
        "kind": group.kind,
        "burst": group.is_burst,
        "reason": group.reason,
        "freed_bytes": group.freed_bytes,
        "keep": _picture(keep, record),
        "others": [
            {**_picture(path, its_record), "turned": member.turned}
            for (path, its_record), member in zip(others, group.others, strict=True)
        ],
    }


def _picture(path: str, record: ImageRecord) -> dict[str, Any]:
    return {
        "path": path,
        "image_id": record.image_id,
        "width": record.width,
        "height": record.height,
        "size_bytes": record.size_bytes,
    }


def _described(path: str, record: ImageRecord) -> str:
    return f"{printable(path)} ({record.width} x {record.height}, {record.size_bytes:,} bytes)"


def _up_to_date(settings: Settings) -> View:
    """The folder as it is now. Pictures that an earlier version has indexed are read again: they have no hashes."""
    bring_up_to_date(settings)
    try:
        view = View(load_index(settings))
    except (IndexCorrupt, IndexNotReady):
        remake(settings)
        view = View(load_index(settings))
    if view.columns.hashes.any(axis=(1, 2)).all():
        return view
    run_indexer(settings, "--yes", "--allow-shrink", "--details")
    return View(load_index(settings))


def _found(group: Group, view: View, folder: Path) -> Found:
    return Found(group, [(str(folder / record.object_key), record) for record in view.records_of(group.rows)])
