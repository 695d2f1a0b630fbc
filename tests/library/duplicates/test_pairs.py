"""Which pairs are related: on made-up hashes and vectors whose relations are known."""

import numpy as np
import pytest

from app.library.duplicates import candidates
from app.library.duplicates.pairs import Comparer, Levels, Pairs, Pictures, Relation, calibrate
from app.pictures.perceptual import turned
from app.types import Ids, Vectors

RNG = np.random.default_rng(5)
LEVELS = Levels(photo=(0.1, 0.3, 0.6, 0.8), burst=0.5, similar=0.9)
NOTHING: Ids = np.empty(0, np.int64)


def hash_of(seed: int) -> np.ndarray:
    """(32,) with half of its bits set."""
    bits = np.zeros(256, bool)
    bits[np.random.default_rng(seed).permutation(256)[:128]] = True
    return np.packbits(bits)


def flipped(part: np.ndarray, bits: int, seed: int = 0) -> np.ndarray:
    changed = np.unpackbits(part)
    changed[np.random.default_rng([seed, 1]).permutation(256)[:bits]] ^= 1
    return np.packbits(changed)


class Library:
    """Pictures 0, 1, 2, ... that differ in everything, until a test makes some alike."""

    def __init__(self, count: int = 12) -> None:
        self.parts = np.stack([np.stack([hash_of(3 * n), hash_of(3 * n + 1), hash_of(3 * n)]) for n in range(count)])
        self.vectors: Vectors = np.eye(count, 32, dtype=np.float32)
        self.taken_at = np.full(count, np.nan)

    def like(self, one: int, other: int, score: float) -> None:
        """Give `one` a vector with this cosine to that of `other`."""
        self.vectors[one] = score * self.vectors[other] + np.sqrt(1 - score**2) * self.vectors[one]

    @property
    def pictures(self) -> Pictures:
        return Pictures(np.arange(len(self.parts)) + 100, self.parts, self.taken_at)

    def read(self, rows: list[int]) -> Vectors:
        return self.vectors[np.asarray(rows, np.int64) - 100]

    def comparer(self, levels: Levels = LEVELS) -> Comparer:
        return Comparer(self.read, levels, burst_s=10)

    def found(self) -> dict[tuple[int, int], tuple[Relation, int]]:
        return by_places(self.comparer().all_pairs(self.pictures))


def by_places(pairs: Pairs) -> dict[tuple[int, int], tuple[Relation, int]]:
    """Relation and turn of each pair."""
    columns = (pairs.first, pairs.second, pairs.relations, pairs.turns)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return {(first - 100, second - 100): (Relation(relation), turn) for first, second, relation, turn in rows}


@pytest.mark.parametrize(
    ("bits", "score", "expected"),
    [
        (12, 0.12, True),
        (12, 0.08, False),
        (24, 0.32, True),
        (24, 0.28, False),
        (40, 0.62, True),
        (40, 0.58, False),
        (72, 0.82, True),
        (72, 0.78, False),
        (73, 0.89, False),
    ],
)
def test_the_further_the_hashes_the_nearer_must_the_vectors_be(bits: int, score: float, expected: bool) -> None:
    library = Library()
    library.parts[1, 0] = flipped(library.parts[0, 0], bits)
    library.like(1, 0, score)
    assert library.found() == ({(0, 1): (Relation.PHOTO, 0)} if expected else {})


@pytest.mark.parametrize(("part", "other"), [(1, 0), (0, 1), (2, 0), (2, 1)])
def test_a_part_may_be_the_whole_of_the_other(part: int, other: int) -> None:
    library = Library()
    library.parts[1, part] = flipped(library.parts[0, other], 10)
    library.like(1, 0, 0.5)
    assert library.found() == {(0, 1): (Relation.PHOTO, 0)}


@pytest.mark.parametrize("turn", range(1, 8))
def test_flipped_and_turned_copies_are_found_from_both_sides(turn: int) -> None:
    library = Library()
    library.parts[1, 0] = flipped(turned(library.parts[:1, 0])[turn][0], 20)
    library.parts[2, 0] = flipped(turned(library.parts[3:4, 0])[turn][0], 20)
    library.like(1, 0, 0.5)
    library.like(3, 2, 0.5)
    found = library.found()
    assert found[0, 1] == (Relation.PHOTO, turn)
    assert found[2, 3] == (Relation.PHOTO, {5: 6, 6: 5}.get(turn, turn))


def test_hashes_that_say_nothing_make_no_pair() -> None:
    library = Library()
    library.parts[:3] = 0
    library.parts[3:6] = np.packbits(np.arange(256) == 0)
    library.like(1, 0, 0.85)
    library.like(4, 3, 0.85)
    assert library.found() == {}


def test_bursts_are_near_in_time_and_alike() -> None:
    library = Library()
    library.taken_at[:6] = [0, 9, 18, 29, 1000, np.nan]
    for place in (1, 2, 3, 4, 5):
        library.like(place, 0, 0.75)
    library.vectors[6] = library.vectors[0]
    library.taken_at[6] = 5
    library.parts[6] = library.parts[0]
    found = library.found()
    assert found[0, 6] == (Relation.PHOTO, 0)  # the closest relation counts
    bursts = {pair for pair, (relation, _) in found.items() if relation is Relation.BURST}
    assert bursts == {(0, 1), (0, 2), (1, 2), (1, 6), (2, 6)}, "a run of shots may be longer than the pause"


def test_pictures_without_a_date_are_similar_at_most() -> None:
    library = Library()
    library.like(1, 0, 0.95)
    library.like(3, 2, 0.89)
    assert library.found() == {(0, 1): (Relation.SIMILAR, 0)}


def test_the_pairs_of_new_pictures_are_those_of_all_pictures() -> None:
    library = Library(60)
    library.taken_at[:] = np.arange(60) * 4.0
    for place in range(1, 60, 2):
        library.parts[place] = flipped(library.parts[place - 1, 0], place % 40)
        library.like(place, place - 1, 0.7)
    new = np.zeros(60, bool)
    new[[7, 20, 21, 59]] = True
    whole = by_places(library.comparer().all_pairs(library.pictures))
    part = by_places(library.comparer().pairs_with(new, library.pictures, (NOTHING, NOTHING)))
    assert part
    assert part == {pair: found for pair, found in whole.items() if new[list(pair)].any()}


def test_hash_tables_find_what_all_comparisons_find(monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library(400)
    for place in range(1, 400, 2):
        library.parts[place] = flipped(library.parts[place - 1, 0], place % 30, place)
    library.vectors = np.ones((400, 1), np.float32)
    library.vectors[::2], library.vectors[1::2] = 0.7, 1.0
    exact = library.found()
    assert len(exact) >= 200
    monkeypatch.setattr(candidates, "_FEW", 0)
    assert len(exact.keys() & library.found().keys()) >= 0.99 * len(exact)


def test_cells_find_the_near_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library(600)
    library.vectors = RNG.standard_normal((600, 32)).astype(np.float32)
    library.vectors[1::2] = library.vectors[::2] + 0.1 * library.vectors[1::2]
    library.vectors /= np.linalg.norm(library.vectors, axis=1, keepdims=True)
    exact = library.found()
    assert len(exact) >= 290
    monkeypatch.setattr(candidates, "_EXACT", 0)
    assert len(exact.keys() & library.found().keys()) >= 0.95 * len(exact)


@pytest.mark.parametrize("spread", [0.3, 3.0], ids=["a model with near vectors", "a model with far vectors"])
def test_levels_follow_the_model(spread: float) -> None:
    library = Library(500)
    library.vectors = (1 + spread * RNG.standard_normal((500, 32))).astype(np.float32)
    library.vectors /= np.linalg.norm(library.vectors, axis=1, keepdims=True)
    levels = calibrate(library.pictures, library.read)
    cosines = (library.vectors @ library.vectors.T)[np.triu_indices(500, 1)]
    for level, share in zip(levels.photo, (0.1, 0.5, 0.99, 0.9999), strict=True):
        assert np.mean(cosines < level) == pytest.approx(share, abs=0.01)
    assert levels.photo[-1] <= levels.similar < 1
    assert np.sum(cosines >= levels.similar) <= 500 / 50


def test_copies_do_not_lift_the_levels() -> None:
    library = Library(40)
    library.vectors = RNG.standard_normal((40, 32)).astype(np.float32)
    library.vectors /= np.linalg.norm(library.vectors, axis=1, keepdims=True)
    before = calibrate(library.pictures, library.read)
    for place in range(1, 40, 2):
        library.parts[place] = flipped(library.parts[place - 1, 0], 8)
        library.vectors[place] = library.vectors[place - 1]
    after = calibrate(library.pictures, library.read)
    assert after.photo[-1] < 0.95
    assert after.similar < 0.95
    assert before.photo[1] == pytest.approx(after.photo[1], abs=0.1)


@pytest.mark.parametrize("count", range(1, 4))
def test_a_handful_of_pictures_is_judged_by_hashes_alone(count: int) -> None:
    library = Library(count)
    if count > 1:
        library.parts[1] = library.parts[0]
    levels = calibrate(library.pictures, library.read)
    pairs = library.comparer(levels).all_pairs(library.pictures)
    assert by_places(pairs) == ({(0, 1): (Relation.PHOTO, 0)} if count > 1 else {})


def test_no_pictures_have_no_pairs() -> None:
    empty = Pictures(NOTHING, np.empty((0, 3, 32), np.uint8), np.empty(0))
    levels = calibrate(empty, lambda rows: np.empty((0, 8), np.float32))
    assert len(Comparer(lambda rows: np.empty((0, 8), np.float32), levels, 10).all_pairs(empty).first) == 0
