"""Which contents are indexed, by hash: the records themselves stay in their file."""

from collections.abc import Collection, Iterator, Mapping

from app.catalog.records import Records
from app.types import ImageRecord


class Contents(Mapping[str, ImageRecord]):
    """For each content hash one of the records that have it, none of the rows in `without`."""

    def __init__(self, records: Records, without: Collection[int] = ()) -> None:
        self._records = records
        self._rows = {record.content_hash: row for row, record in records.items() if row not in without}

    def __getitem__(self, content_hash: str) -> ImageRecord:
        return self._records[self._rows[content_hash]]

    def __contains__(self, content_hash: object) -> bool:
        return content_hash in self._rows

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)
