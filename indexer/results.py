"""The results of a run: read outcomes go in one by one; records with vectors, and reasons, come out.

Every executor fills them through one `ResultCollector`.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from app.catalog.records import Records
from app.ingest.reading import Content, Failure, Gone, ReadOutcome, make_record
from app.types import ImageRecord, Skip, Vectors
from indexer.progress import Progress

MAX_FAILURES_IN_A_ROW = 8
"""After this number of failed reads in a row, the run checks whether the storage still answers."""


@dataclass
class Results:
    """What a run has done so far."""

    records: list[ImageRecord] = field(default_factory=list)
    vectors: list[Vectors] = field(default_factory=list)
    """One (D,) unit row for each record."""
    copies: list[tuple[ImageRecord, ImageRecord]] = field(default_factory=list)
    """Pairs of a new record and the indexed record whose vector it takes."""
    skipped: list[Skip] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    damaged: list[Failure] = field(default_factory=list)
    """Pictures that have a vector although their files are damaged."""
    vanished: list[str] = field(default_factory=list)
    """Object keys."""
    embedded: int = 0
    """Pictures that went through the model."""
    took_s: float = 0.0
    """Seconds of reading and embedding, without loading the model."""
    interrupted: bool = False

    @property
    def done(self) -> int:
        """Pictures that have a vector now."""
        return len(self.records) + len(self.copies)

    @property
    def unreadable(self) -> list[str]:
        """Keys under which the run found no picture."""
        return [skip.object_key for skip in self.skipped] + self.vanished


class ResultCollector:
    """Fills the results, and tells the progress of each picture that is done, with a vector or without."""

    def __init__(
        self, indexed: Mapping[str, ImageRecord], *, progress: Progress, check_storage: Callable[[], object]
    ) -> None:
        """`indexed` is by content hash. `check_storage` raises StorageUnavailable when the storage is down."""
        self.results = Results()
        self._indexed = indexed
        self._progress = progress
        self._check_storage = check_storage
        self._embedded: dict[str, tuple[ImageRecord, Vectors]] = {}
        self._failures_in_a_row = 0

    def count_failures(self, outcome: ReadOutcome) -> None:
        """To be told of every outcome. Raises StorageUnavailable if reads fail because the storage is down."""
        self._failures_in_a_row = self._failures_in_a_row + 1 if isinstance(outcome, Failure) else 0
        if self._failures_in_a_row == MAX_FAILURES_IN_A_ROW:
            self._failures_in_a_row = 0
            self._check_storage()

    def add_unindexed(self, outcome: Skip | Gone | Failure) -> None:
        """The object gives no picture."""
        if isinstance(outcome, Skip):
            self.results.skipped.append(outcome)
        elif isinstance(outcome, Gone):
            self.results.vanished.append(outcome.key)
        else:
            self.results.failed.append(outcome)
        self._progress.advance()

    def copy_indexed(self, content: Content) -> None:
        """The picture takes the vector that the index has for these bytes."""
        source = self._indexed[content.content_hash]
        self.results.copies.append((make_record(content, source.width, source.height, source.caption), source))
        self._progress.advance()

    def copy_embedded(self, content: Content) -> bool:
        """If this run has embedded these bytes already, the picture takes that vector; True if so."""
        if content.content_hash not in self._embedded:
            return False
        self._add(content, *self._embedded[content.content_hash])
        self._progress.advance()
        return True

    def add_embedded(self, same: Iterable[Content], size: tuple[int, int], vector: Vectors) -> None:
        """Add pictures of equal bytes. `size` is (width, height); `vector` is the new (D,) unit row of all of them."""
        same = list(same)
        earlier = self._indexed.get(same[0].content_hash)
        first = make_record(same[0], *size, earlier.caption if earlier else None)
        self._embedded[first.content_hash] = first, vector
        self.results.embedded += 1
        for content in same:
            self._add(content, first, vector)
        if flaw := same[0].flaw:
            self.results.damaged.extend(Failure(content.info.key, flaw) for content in same)
        self._progress.advance(len(same))

    def _add(self, content: Content, twin: ImageRecord, vector: Vectors) -> None:
        self.results.records.append(make_record(content, twin.width, twin.height, twin.caption))
        self.results.vectors.append(vector)


class RecordsByContent(Mapping[str, ImageRecord]):
    """For each content hash one of the records that have it. Keeps row ids only: the records stay in their file."""

    def __init__(self, records: Records, without: Collection[int] = ()) -> None:
        """The rows in `without` are left out."""
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
