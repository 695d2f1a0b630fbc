"""One picture of each group that shows the same photo, and how many each one stands for.

The same photo are identical files (equal content hashes), and pictures whose perceptual hashes are so near that the
hashes alone decide: resized, or compressed again. Edited, cropped, flipped and turned copies are not folded: telling
those needs the measures of the whole library (`app.library.duplicates`).
"""

from collections.abc import Collection, Sequence
from typing import Final

import numpy as np

from app.catalog.columns import Columns, Mask
from app.catalog.view import View
from app.pictures.perceptual import PART_BYTES, bits_between, read_hashes, says_something
from app.search.hybrid import Match
from app.types import Ids, ImageRecord, in_folder, row_id

SAME_PHOTO_BITS: Final = 12
"""Of 256. Different photos differ by 54 and more (`app.library.duplicates.pairs.STEPS`)."""


def first_of_each(found: Sequence[Match], before: Sequence[ImageRecord] = ()) -> list[bool]:
    """Whether each picture is the first one of its photo, also after those `before`. A rule of `leaving_out`."""
    records = [*before, *(match.record for match in found)]
    hashes = read_hashes([record.perceptual_hash or "" for record in records])
    has_hash = says_something(hashes)
    seen = set[str]()
    kept_hashes = np.empty((len(records), PART_BYTES), np.uint8)
    count = 0
    kept = []
    for place, record in enumerate(records):
        known = record.content_hash in seen
        if not known and has_hash[place] and place >= len(before):
            known = bool((bits_between(kept_hashes[:count], hashes[place, 0]) <= SAME_PHOTO_BITS).any())
        kept.append(not known)
        if not known or place < len(before):
            seen.add(record.content_hash)
            if has_hash[place]:
                kept_hashes[count] = hashes[place, 0]
                count += 1
    return kept[len(before) :]


def count_copies(
    record: ImageRecord, view: View, *, folders: Sequence[str], among: Ids | None, without: Collection[str]
) -> int:
    """How many pictures show this photo, the record's own included.

    Only those in and below `folders` (none: everywhere), of the rows `among`, and without these image ids are counted.
    The first call for a state may take as long as `View.columns`. Raises IndexCorrupt.
    """
    columns = view.columns
    places = _places_of_photo(record, columns)
    if folders:
        paths = [columns.folders[code] for code in columns.folder_codes[places].tolist()]
        inside = [any(in_folder(path, folder) for folder in folders) for path in paths]
        places = places[np.array(inside, bool)]
    rows = columns.rows[places]
    if among is not None:
        rows = rows[np.isin(rows, among)]
    gone = {row_id(image_id) for image_id in without}
    return len(set(rows.tolist()) - gone)


def _places_of_photo(record: ImageRecord, columns: Columns) -> Ids:
    identical = columns.places_with_content(record.content_hash)
    own = read_hashes([record.perceptual_hash or ""])
    if not says_something(own)[0]:
        return identical
    near: Mask = bits_between(columns.hashes[:, 0], own[0, 0]) <= SAME_PHOTO_BITS
    return np.union1d(identical, np.flatnonzero(near))
