"""Where a vector server and the published state say different things: what writers that died have left."""

from dataclasses import dataclass

import numpy as np

from app.catalog.changes import Snapshot


@dataclass(frozen=True)
class Drift:
    """Row ids."""

    missing: frozenset[int] = frozenset()
    """Listed, but without a vector: never found, until their pictures are read again."""
    extra: frozenset[int] = frozenset()
    """With a vector, but not listed: another writer may be about to list them."""


def drift_of(snapshot: Snapshot) -> Drift:
    """Compare the ids of the collection with those of the records; no drift where the bucket has the vectors.

    Raises VectorStoreUnavailable.
    """
    if not snapshot.pointer.collection:
        return Drift()
    listed, held = snapshot.records.ids(), snapshot.vectors.ids()
    return Drift(
        missing=frozenset(np.setdiff1d(listed, held).tolist()), extra=frozenset(np.setdiff1d(held, listed).tolist())
    )
