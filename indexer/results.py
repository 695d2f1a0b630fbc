"""The results of a run: read outcomes go in one by one; records with vectors, and reasons, come out.

Every executor fills them through one `ResultCollector`. A record is made of what its file says, and of what people
said of the picture before: their words stay.
"""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from app.catalog.merge import with_words_of
from app.catalog.records import Records
from app.ingest.captioning import Caption, NoCaption, Said, may_describe
from app.ingest.reading import Content, Failure, Gone, ReadOutcome, facts_in, make_record
from app.pictures.facts import NO_FACTS
from app.storage.base import ObjectInfo
from app.types import PERSON, ImageRecord, Skip, Vectors, image_id_of, row_id
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
    captioned: int = 0
    """Pictures that the captioner has described."""
    caption_failed: list[Failure] = field(default_factory=list)
    """Pictures that it could not describe; they are indexed all the same."""
    took_s: float = 0.0
    """Seconds of reading and embedding, without loading the model."""
    interrupted: bool = False

    @property
    def done(self) -> int:
        """Pictures that have a vector now."""
        return len(self.records) + len(self.copies)

    def with_caption(self, record: ImageRecord, said: Said | None) -> ImageRecord:
        """The record with what the captioner says of it, which is counted."""
        match said:
            case Caption():
                described = said.on(record)
                self.captioned += described is not record
                return described
            case NoCaption(reason):
                self.caption_failed.append(Failure(record.object_key, reason))
        return record

    @property
    def unreadable(self) -> list[str]:
        """Keys under which the run found no picture."""
        return [skip.object_key for skip in self.skipped] + self.vanished


class ResultCollector:
    """Fills the results, and tells the progress of each picture that is done, with a vector or without."""

    def __init__(
        self,
        indexed: Mapping[str, ImageRecord],
        records: Mapping[int, ImageRecord],
        gone: Iterable[ImageRecord] = (),
        *,
        progress: Progress,
        check_storage: Callable[[], object],
    ) -> None:
        """`indexed` is by content hash, `records` by row id: the index before the run. `gone` are no longer listed.

        `check_storage` raises StorageUnavailable when the storage is down.
        """
        self.results = Results()
        self._indexed = indexed
        self._records = records
        self._gone = {record.image_id for record in gone}
        self._began_at = time.time()
        self._progress = progress
        self._check_storage = check_storage
        self._embedded: dict[str, tuple[ImageRecord, Vectors, Said | None]] = {}
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
        self.results.copies.append((self._record(content, source.width, source.height, source), source))
        self._progress.advance()

    def copy_embedded(self, content: Content) -> bool:
        """If this run has embedded these bytes already, the picture takes that vector; True if so."""
        if content.content_hash not in self._embedded:
            return False
        self._add(content, *self._embedded[content.content_hash])
        self._progress.advance()
        return True

    def wants_caption(self, same: Iterable[Content], by: str) -> bool:
        """Whether a captioner of this name is to describe one of these pictures of equal bytes."""
        return any(
            may_describe(by, self._record(content, 0, 0, self._indexed.get(content.content_hash))) for content in same
        )

    def settled(self, objects: Iterable[ObjectInfo], by: str) -> dict[str, str]:
        """The objects that a captioner of this name is not to describe, by key: with the hash of their content, or
        empty where that does not matter, because a person has the say.
        """
        earlier = ((info.key, self._records.get(row_id(image_id_of(info.key)))) for info in objects)
        return {
            key: "" if record.caption_by == PERSON else record.content_hash
            for key, record in earlier
            if record is not None and not may_describe(by, record)
        }

    def add_embedded(
        self, same: Iterable[Content], size: tuple[int, int], vector: Vectors, said: Said | None = None
    ) -> None:
        """Add pictures of equal bytes. `size` is (width, height); `vector` is the new (D,) unit row of all of them.

        `said` is what the captioner says of them, if it was asked.
        """
        same = list(same)
        first = self._record(same[0], *size, self._indexed.get(same[0].content_hash))
        self._embedded[first.content_hash] = first, vector, said
        self.results.embedded += 1
        for content in same:
            self._add(content, first, vector, said)
        if flaw := same[0].flaw:
            self.results.damaged.extend(Failure(content.info.key, flaw) for content in same)
        self._progress.advance(len(same))

    def _add(self, content: Content, twin: ImageRecord, vector: Vectors, said: Said | None) -> None:
        record = self._record(content, twin.width, twin.height, twin)
        self.results.records.append(self.results.with_caption(record, said))
        self.results.vectors.append(vector)

    def _record(self, content: Content, width: int, height: int, twin: ImageRecord | None) -> ImageRecord:
        """The new record of a picture. `twin` has the same bytes, perhaps under another key.

        A picture under a new key takes over the words of its twin; one that was moved was added when its twin was.
        """
        facts = content.facts or (facts_in(twin) if twin else NO_FACTS)
        record = make_record(content, width, height, facts, self._began_at)
        earlier = self._records.get(row_id(record.image_id))
        if earlier and earlier.content_hash == record.content_hash:
            twin = earlier
        if twin:
            record = replace(record, caption=twin.caption, caption_by=twin.caption_by)
        if twin and twin.image_id in self._gone:
            earlier = earlier or twin
        if earlier:
            return with_words_of(record, earlier)
        return replace(record, tags=twin.tags, source=twin.source) if twin else record


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
