"""A made-up world of topics: texts and pictures of one topic are near to each other, and a library has some topics."""

from dataclasses import replace

import numpy as np
import pytest

from app.models.bank import Bank
from app.search.relevance.scale import (
    USUAL_FOR_PICTURES,
    USUAL_FOR_TEXTS,
    Scale,
    scale_for_pictures,
    scale_for_texts,
    standings_among,
)

DIMENSION, TOPICS = 96, 60
RNG = np.random.default_rng(0)
TOPIC = RNG.standard_normal((TOPICS, DIMENSION))
HERE, ELSEWHERE = range(40), range(40, 60)
"""Topics of the library, and topics that it has no picture of."""


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def about(topics: range, count: int, noise: float, lean: float = 0.0) -> np.ndarray:
    """`count` vectors of each topic. `lean`: how much all of them have in common, as those of one modality have."""
    rows = np.repeat(TOPIC[list(topics)], count, axis=0)
    rows = rows + noise * RNG.standard_normal(rows.shape)
    return unit(rows + lean * np.ones(DIMENSION))


BANK = Bank(about(range(TOPICS), 10, 0.8))
LIBRARY = about(HERE, 6, 0.7, lean=0.4)


def best_relevances(scale: Scale, queries: np.ndarray, standings: np.ndarray) -> np.ndarray:
    found = []
    for query in queries:
        spread, scores = scale.spread(query), LIBRARY @ query
        best = np.argsort(-scores)[:5]
        found.append(max(scale.relevance(scores[place], standings[place], spread) for place in best))
    return np.array(found)


def test_texts_that_fit_are_told_from_texts_that_fit_nothing() -> None:
    scale, standings = scale_for_texts(LIBRARY, BANK), BANK.measure(LIBRARY)
    assert (best_relevances(scale, about(HERE, 3, 0.8), standings) >= 0.5).mean() > 0.9
    assert (best_relevances(scale, about(ELSEWHERE, 3, 0.8), standings) < 0.5).mean() > 0.9


def test_a_text_that_is_near_to_everything_is_less_relevant() -> None:
    """A model puts words that it does not know in the middle."""
    scale = scale_for_texts(LIBRARY, BANK)
    middle, score, standing = unit(LIBRARY.mean(axis=0)[None])[0], 0.5, (0.1, 0.4)
    usual = scale.spread(about(HERE, 1, 0.8)[0])
    assert scale.spread(middle).median > usual.median
    assert scale.relevance(score, standing, scale.spread(middle)) < scale.relevance(score, standing, usual)


def test_pictures_that_fit_are_told_from_pictures_that_fit_nothing() -> None:
    scale, standings = scale_for_pictures(LIBRARY), standings_among(LIBRARY, LIBRARY)
    assert (best_relevances(scale, about(HERE, 3, 0.7, lean=0.4), standings) >= 0.5).mean() > 0.9
    assert (best_relevances(scale, about(ELSEWHERE, 3, 0.7, lean=0.4), standings) < 0.5).mean() > 0.9


def test_a_picture_does_not_count_as_its_own_neighbour() -> None:
    twice = np.concatenate([LIBRARY[:50], LIBRARY[:50]])
    np.testing.assert_allclose(
        standings_among(LIBRARY[:3], twice)[:, 1], standings_among(LIBRARY[:3], LIBRARY[:50])[:, 1], rtol=0.2
    )
    assert standings_among(LIBRARY[:3], LIBRARY[:50])[:, 1].max() < 0.99


def test_pictures_stand_nowhere_among_none() -> None:
    assert standings_among(LIBRARY[:3], LIBRARY[:0]).tolist() == [[0.0, 0.0]] * 3


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_small_libraries_have_the_usual_scale(count: int) -> None:
    """Nothing can be fitted to so few pictures, and nothing can stand out from them."""
    texts, pictures = scale_for_texts(LIBRARY[:count], BANK), scale_for_pictures(LIBRARY[:count])
    assert texts.line.middle == pytest.approx(USUAL_FOR_TEXTS.middle, abs=0.05)
    assert pictures.line.middle == pytest.approx(USUAL_FOR_PICTURES.middle, abs=0.05)
    for scale in (texts, pictures):
        spread = scale.spread(LIBRARY[0])
        assert spread.deviation == 0
        assert 0 <= scale.relevance(0.3, (0.1, 0.1), spread) <= 1


def broad(topics: range) -> np.ndarray:
    """Texts about five topics at once, as "food" is."""
    return unit(np.stack([TOPIC[start : start + 5].sum(axis=0) for start in topics[:-4]]))


def test_a_broad_text_that_fits_many_pictures_is_credited_with_them() -> None:
    scale, standings = scale_for_texts(LIBRARY, BANK), BANK.measure(LIBRARY)
    without = replace(scale, credit=None)
    credited, plain = (best_relevances(each, broad(HERE), standings) for each in (scale, without))
    assert (credited > plain).mean() > 0.9
    assert (best_relevances(scale, broad(ELSEWHERE), standings) < 0.5).mean() > 0.9


def test_a_text_unlike_all_texts_of_the_bank_gets_less_credit() -> None:
    scale = scale_for_texts(LIBRARY, BANK)
    strange = unit(RNG.standard_normal((20, DIMENSION)))
    usual = about(HERE, 1, 0.8)[:20]
    credits = [np.median([scale.spread(query).credit for query in queries]) for queries in (strange, usual)]
    assert credits[0] < 0 < credits[1] + 0.05


def test_a_text_of_the_bank_is_not_known_by_itself() -> None:
    """Else the texts that everything is compared with would be known better than any other."""
    scale = scale_for_texts(LIBRARY, BANK)
    assert scale.known_texts is not None
    own, others = scale.known_texts[0], scale.known_texts[1:]
    without = replace(scale, known_texts=others).spread(own).credit
    assert scale.spread(own).credit == pytest.approx(without, abs=1e-6)
    nearly = unit(own[None] + 0.3 * RNG.standard_normal((1, DIMENSION)) / DIMENSION**0.5)[0]
    assert scale.spread(nearly).credit > replace(scale, known_texts=others).spread(nearly).credit + 0.02
