"""A made-up library with hubs: pictures and texts lean in one direction, some pictures more than others."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from app.catalog.changes import Changes
from app.models.bank import Bank
from app.types import Vectors
from tests.support.catalogs import record
from tests.support.service import FakeEmbedder

RNG = np.random.default_rng(1)
DIMENSION, COUNT = 64, 150


def unit(rows: np.ndarray) -> Vectors:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


COMMON = RNG.standard_normal(DIMENSION)
CONTENT = RNG.standard_normal((COUNT, DIMENSION))
LEANING = 2.0 * RNG.random((COUNT, 1))
"""How much a picture lies in the direction that all texts share: hubs do most."""

PICTURES = unit(CONTENT + LEANING * COMMON)
CAPTIONS = unit(CONTENT + 1.5 * COMMON + 1.6 * RNG.standard_normal(CONTENT.shape))
BANK = Bank(unit(RNG.standard_normal((400, DIMENSION)) + 1.5 * COMMON))

KEYS = tuple(f"{'even' if number % 2 == 0 else 'odd'}/{number}.jpg" for number in range(COUNT))
TEXTS = tuple(f"caption {number}" for number in range(COUNT))


def hubs_library(pictures: Vectors = PICTURES) -> Changes:
    """The library with its captions. The bank has measured half of the pictures."""
    records = [replace(record(key), caption=text) for key, text in zip(KEYS, TEXTS, strict=True)]
    measured = BANK.measured(records, pictures)
    half = [each if number % 4 < 2 else records[number] for number, each in enumerate(measured)]
    return Changes(added=tuple(half), vectors=pictures)


class HubsEmbedder(FakeEmbedder):
    """Knows the captions. Every other text is a place near all of them."""

    def __init__(self, captions: Vectors = CAPTIONS) -> None:
        super().__init__()
        self.identity = replace(self.identity, dimension=DIMENSION)
        self._known = dict(zip(TEXTS, captions, strict=True))

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        self.texts += texts
        return np.stack([self._known[text] if text in self._known else unit(COMMON) for text in texts])
