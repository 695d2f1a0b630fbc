"""Where the vectors of a generation are kept: in files of the bucket, or in a vector server."""

from typing import Protocol

from app.catalog.changes import Changes, Snapshot
from app.catalog.pointer import Pointer


class Engine(Protocol):
    """Reads and writes generations. Every method raises StorageUnavailable and VectorStoreUnavailable."""

    name: str
    min_kept: int
    """Generations that readers need while they swap."""

    def read(self, pointer: Pointer, known: Snapshot | None) -> Snapshot:
        """The generation as it was written, without its journals. Raises IndexCorrupt."""
        ...

    def write(self, pointer: Pointer, base: Snapshot | None, changes: Changes) -> Snapshot:
        """Write `base` with `changes` as the generation that `pointer` names, and return what `read` would.

        Its pointer is the given one with what there is to say of files, collection and accuracy.
        """
        ...

    def journal(self, base: Snapshot, changes: Changes) -> bytes:
        """The journal file for `changes`; what it does not hold is written elsewhere before this returns."""
        ...

    def is_outgrown(self, pointer: Pointer) -> bool:
        """Whether that many rows ask for an index of another shape."""
        ...

    def announce(self, pointer: Pointer) -> None:
        """A generation was published."""
        ...

    def made_by(self, collection: str) -> str:
        """The generation that made the collection; empty for none."""
        ...

    def forget(self, generation: str) -> None:
        """No pointer names what `write` made for this generation any more."""
        ...
