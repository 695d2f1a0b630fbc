"""Hubs: a picture that is near to every caption stands in the way of the others."""

import numpy as np

from app.models.bank import Bank
from scripts.bench.hubs import LEAST_CAPTIONS, corrected, examine

RNG = np.random.default_rng(1)
DIMENSION, COUNT = 64, 150


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


COMMON = RNG.standard_normal(DIMENSION)
CONTENT = RNG.standard_normal((COUNT, DIMENSION))
LEANING = 2.0 * RNG.random((COUNT, 1))
"""How much a picture lies in the direction that all texts share: hubs do most."""

PICTURES = unit(CONTENT + LEANING * COMMON)
CAPTIONS = unit(CONTENT + 1.5 * COMMON + 1.6 * RNG.standard_normal(CONTENT.shape))
BANK = Bank(unit(RNG.standard_normal((400, DIMENSION)) + 1.5 * COMMON))
ROWS = np.arange(COUNT)


def nearest_rows(queries: np.ndarray, k: int) -> list[list[tuple[int, float]]]:
    scores = queries @ PICTURES.T
    return [[(row, float(line[row])) for row in np.argsort(-line)[:k].tolist()] for line in scores]


def test_the_correction_is_taken_where_captions_find_their_pictures_better() -> None:
    found = examine(CAPTIONS, ROWS, BANK, nearest_rows, lambda rows: PICTURES[list(rows)])
    assert found.corrected[0] > found.plain[0] + 0.02
    assert found.gains


def test_too_few_captions_decide_nothing() -> None:
    few = LEAST_CAPTIONS - 1
    found = examine(CAPTIONS[:few], ROWS[:few], BANK, nearest_rows, lambda rows: PICTURES[list(rows)])
    assert found.captions == few
    assert not found.gains


def test_without_hubs_nothing_is_gained() -> None:
    """Every caption is its picture: each finds it already."""
    found = examine(PICTURES, ROWS, BANK, nearest_rows, lambda rows: PICTURES[list(rows)])
    assert found.plain == (1.0, 1.0)
    assert not found.gains


def test_a_hub_has_more_taken_off() -> None:
    scores = corrected(np.array([0.5, 0.48]), np.array([0.4, 0.2]))
    assert scores[1] > scores[0]
