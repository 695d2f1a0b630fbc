"""What the catalog needs of the place that keeps the vectors: files in the bucket, or a vector server."""

from typing import Protocol

from app.catalog.changes import Changes
from app.catalog.pointer import Pointer
from app.catalog.snapshot import Snapshot


class Backend(Protocol):
    """Reads and writes generations. Every method raises StorageUnavailable and VectorStoreUnavailable."""

    engine: str
    """What searches the vectors, as the pointer names it: `faiss`, `milvus`, `chroma`."""
    min_kept: int
    """Generations to keep at least, so that readers of the one before can still swap."""

    def load_generation(self, pointer: Pointer, known: Snapshot | None) -> Snapshot:
        """The generation as it was written, without its journals. Raises IndexCorrupt."""
        ...

    def write_generation(self, pointer: Pointer, base: Snapshot | None, changes: Changes) -> Snapshot:
        """Write `base` with `changes` as the generation that `pointer` names; None starts from nothing.

        Returns what `load_generation` would. The pointer of the result also names the files, the collection and the
        accuracy.
        """
        ...

    def prepare_journal(self, base: Snapshot, changes: Changes) -> bytes:
        """The journal file for `changes`. Data that the file does not hold is stored before this returns."""
        ...

    def withdraw(self, current: Snapshot, given_up: Changes) -> None:
        """Take back vectors that a lost attempt may have stored for rows that `current` has in another version."""
        ...

    def is_outgrown(self, pointer: Pointer) -> bool:
        """Whether another shape would suit the number of rows better."""
        ...

    def announce(self, pointer: Pointer) -> None:
        """Called after a generation was published."""
        ...

    def maker_of(self, collection: str) -> str:
        """The generation that made the collection; empty for none."""
        ...

    def forget(self, generation: str) -> None:
        """Delete what `write_generation` made outside the bucket for a generation that no pointer names any more."""
        ...
