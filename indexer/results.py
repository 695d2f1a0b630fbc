"""What a run brings in: outcomes go in one by one, rows and reasons come out, whichever engine read and embedded."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from app.ingest.reading import Content, Failure, Gone, Outcome
from app.types import ImageRecord, Skip, Vectors, image_id_of
from indexer.progress import Progress

PROBE_AFTER = 8
"""Failed reads in a row after which the storage itself is asked whether it still answers."""


@dataclass
class Harvest:
    """What a run has done so far."""

    records: list[ImageRecord] = field(default_factory=list)
    vectors: list[Vectors] = field(default_factory=list)
    """One (D,) unit row for each record."""
    copies: list[tuple[ImageRecord, ImageRecord]] = field(default_factory=list)
    """New records whose vector is that of the indexed record beside them."""
    skipped: list[Skip] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    vanished: list[str] = field(default_factory=list)
    """Object keys."""
    embedded: int = 0
    """Pictures that went through the model."""
    took_s: float = 0.0
    """Seconds of reading and embedding, without those of loading the model."""
    interrupted: bool = False

    @property
    def done(self) -> int:
        return len(self.records) + len(self.copies)


class Harvester:
    """Fills a harvest and tells the progress of each picture that is done, well or not."""

    def __init__(
        self, indexed: Mapping[str, ImageRecord], *, progress: Progress, check_storage: Callable[[], object]
    ) -> None:
        """`indexed` is by content hash. `check_storage` raises StorageUnavailable when nothing answers any more."""
        self.harvest = Harvest()
        self._indexed = indexed
        self._progress = progress
        self._check_storage = check_storage
        self._embedded: dict[str, tuple[ImageRecord, Vectors]] = {}
        self._failures_in_a_row = 0

    def watch(self, outcome: Outcome) -> None:
        """Raises StorageUnavailable when many reads fail in a row because the storage is down."""
        self._failures_in_a_row = self._failures_in_a_row + 1 if isinstance(outcome, Failure) else 0
        if self._failures_in_a_row == PROBE_AFTER:
            self._failures_in_a_row = 0
            self._check_storage()

    def note(self, outcome: Skip | Gone | Failure) -> None:
        """No picture came of the object."""
        if isinstance(outcome, Skip):
            self.harvest.skipped.append(outcome)
        elif isinstance(outcome, Gone):
            self.harvest.vanished.append(outcome.key)
        else:
            self.harvest.failed.append(outcome)
        self._progress.advance()

    def take_vector_of_indexed(self, content: Content) -> None:
        """The index holds the vector of these bytes already."""
        source = self._indexed[content.content_hash]
        self.harvest.copies.append((_record(content, source.width, source.height, source.caption), source))
        self._progress.advance()

    def take_vector_of_embedded(self, content: Content) -> bool:
        """Whether this run has embedded these bytes already; if so, the picture is done."""
        if content.content_hash not in self._embedded:
            return False
        self._add(content, *self._embedded[content.content_hash])
        self._progress.advance()
        return True

    def add_embedded(self, same: Iterable[Content], size: tuple[int, int], vector: Vectors) -> None:
        """Pictures of equal bytes, of width and height `size`, whose (D,) unit row the model has just made."""
        same = list(same)
        earlier = self._indexed.get(same[0].content_hash)
        first = _record(same[0], *size, earlier.caption if earlier else None)
        self._embedded[first.content_hash] = first, vector
        self.harvest.embedded += 1
        for content in same:
            self._add(content, first, vector)
        self._progress.advance(len(same))

    def _add(self, content: Content, twin: ImageRecord, vector: Vectors) -> None:
        self.harvest.records.append(_record(content, twin.width, twin.height, twin.caption))
        self.harvest.vectors.append(vector)


def _record(content: Content, width: int, height: int, caption: str | None) -> ImageRecord:
    info = content.info
    return ImageRecord(
        image_id=image_id_of(info.key),
        object_key=info.key,
        etag=content.etag,
        content_hash=content.content_hash,
        size_bytes=content.size_bytes,
        modified_at=info.modified_at,
        width=width,
        height=height,
        caption=caption,
    )
