"""The bank: generic texts in many languages, the yardstick of how near a picture lies to any text at all.

A cosine alone does not say whether a text fits: one picture is near to every text, another to none. So each picture
keeps two numbers (`Bank.measure`), and a text fits when it is nearer than the texts of the bank are.

The texts are `bank.txt`. They are embedded once for each model; the vectors are kept in MODEL_CACHE, where service,
indexer and commands share them.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.models import artifacts
from app.models.base import Embedder
from app.types import ImageRecord, Vectors, hash_content

log = logging.getLogger(__name__)

TEXTS: Final = Path(__file__).with_name("bank.txt")

NEAREST: Final = 32
"""How many of the bank's texts are the nearest ones of a picture. 16 to 64 do equally well (docs/relevance.md)."""

BLOCK: Final = 4096
"""Pictures that are measured together: 57 MB of similarities."""

FOLDER: Final = "bank"
"""The folder in MODEL_CACHE, with one folder for each model's fingerprint."""

_FILE: Final = "texts.npy"
_DIGITS: Final = 4


@dataclass(frozen=True, eq=False)
class Bank:
    """The texts of the bank as one model sees them."""

    vectors: Vectors
    """(T, D) float32 unit rows, in the order of `bank_texts`."""

    def measure(self, pictures: Vectors) -> NDArray[np.float32]:
        """(N, 2) for pictures (N, D): the mean similarity of each to all texts, and to its `NEAREST` ones."""
        blocks = [_standings(pictures[at : at + BLOCK] @ self.vectors.T) for at in range(0, len(pictures), BLOCK)]
        return np.concatenate(blocks) if blocks else np.empty((0, 2), np.float32)

    def measured(self, records: Iterable[ImageRecord], vectors: Vectors) -> tuple[ImageRecord, ...]:
        """The records of these vectors (N, D) with what `measure` finds, rounded."""
        found = np.round(self.measure(vectors).astype(np.float64), _DIGITS).tolist()
        return tuple(
            replace(record, bank_mean=mean, bank_near=near) for record, (mean, near) in zip(records, found, strict=True)
        )


@lru_cache(maxsize=1)
def bank_texts() -> tuple[str, ...]:
    """All texts, each once."""
    return tuple(dict.fromkeys(_compose(TEXTS.read_text("utf-8").splitlines())))


def find_bank(cache: Path, fingerprint: str) -> Bank | None:
    """The bank as this model has embedded it before; None if it has not. Loads no model."""
    folder = cache / FOLDER / fingerprint
    if artifacts.find(folder, _made_by()) is None:
        return None
    return Bank(np.load(folder / _FILE))


def load_bank(cache: Path, embedder: Embedder) -> Bank:
    """The bank for this model, embedded now if it was not: that takes seconds, with a large model on a CPU a minute."""
    found = find_bank(cache, embedder.identity.fingerprint)
    return found or keep_bank(cache, embedder.identity.fingerprint, embedder.encode_texts(bank_texts()))


def keep_bank(cache: Path, fingerprint: str, vectors: Vectors) -> Bank:
    """Keep the vectors (T, D) of `bank_texts` for other processes. A cache that can't be written is only logged."""

    def fill(folder: Path) -> dict[str, Any]:
        np.save(folder / _FILE, vectors)
        return {}

    try:
        artifacts.make(cache / FOLDER / fingerprint, _made_by(), fill)
    except OSError as error:
        log.warning("The bank's vectors can't be kept in %s and are made again next time: %s", cache, error)
    return Bank(vectors)


def _standings(similarities: Vectors) -> NDArray[np.float32]:
    """(N, 2) from the similarities (N, T) to all texts."""
    count = min(NEAREST, similarities.shape[1])
    nearest = np.partition(similarities, -count, axis=1)[:, -count:]
    return np.stack([similarities.mean(axis=1), nearest.mean(axis=1)], axis=1)


def _made_by() -> dict[str, Any]:
    return {"texts": hash_content("\n".join(bank_texts()).encode())}


def _compose(lines: Sequence[str]) -> Iterator[str]:
    """Each phrase as it is, then in some of its section's wordings."""
    wordings: list[str] = []
    per_phrase = turn = 0
    for line in lines:
        if line.startswith("=="):
            per_phrase, wordings = int(line.split()[2]), []
        elif line.startswith("+"):
            wordings = [wording.strip() for wording in line.removeprefix("+").split("|")]
        elif not line.startswith("#"):
            for phrase in filter(None, map(str.strip, line.split(";"))):
                yield phrase
                for _ in range(per_phrase):
                    yield wordings[turn % len(wordings)].format(phrase)
                    turn += 1
