"""Terms as one vector and as one score: the formulas of docs/queries.md, and what they promise."""

import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.errors import InvalidInput
from app.search.algebra import VectorTerm, compose, product, residuals
from app.search.modalities import Modalities, measure
from app.types import Vectors

DIMENSION = 24
DOCUMENT = Path("docs/queries.md").read_text("utf-8")


def unit_rows(count: int, seed: int, towards: int = 0) -> Vectors:
    """Rows of one modality: they lean towards one axis."""
    rows = np.random.default_rng(seed).standard_normal((count, DIMENSION)).astype(np.float32)
    rows[:, towards] += 4
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


SAMPLE, BANK, PICTURES = unit_rows(50, 1), unit_rows(70, 2, towards=1), unit_rows(200, 3)
TEXTS, QUERIED = unit_rows(4, 4, towards=1), unit_rows(4, 5)


@pytest.fixture(scope="module")
def modalities() -> Modalities:
    found = measure(SAMPLE, BANK)
    assert found is not None
    return found


def documented() -> dict[str, Any]:
    """The functions in the document."""
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL):
        exec(block, names)
    return names


def text(number: int, weight: float = 1.0) -> VectorTerm:
    return VectorTerm("text", TEXTS[number], weight)


def shown(number: int, weight: float = 1.0) -> VectorTerm:
    return VectorTerm("picture", QUERIED[number], weight)


QUERIES = [
    (text(0), shown(0)),
    (text(0, 2), text(1, 0.5), shown(0, 0.25)),
    (text(0), text(1, -1)),
    (text(0), shown(1, -0.5), text(2, -2), shown(2, 3)),
]


@pytest.mark.parametrize("terms", QUERIES)
def test_the_sum_is_the_one_in_the_document(terms: tuple[VectorTerm, ...], modalities: Modalities) -> None:
    vector, parts = documented()["composed"](terms, SAMPLE.astype(np.float64), BANK.astype(np.float64))
    found = compose(terms, modalities)
    assert found.vector == pytest.approx(vector, abs=1e-6)
    assert found.parts == pytest.approx(parts, abs=1e-6)


@pytest.mark.parametrize("terms", QUERIES[:2])
def test_the_product_is_the_one_in_the_document(terms: tuple[VectorTerm, ...], modalities: Modalities) -> None:
    expected = documented()["fits_all"](terms, PICTURES, SAMPLE.astype(np.float64), BANK.astype(np.float64))
    assert product(terms, modalities, PICTURES) == pytest.approx(expected, rel=1e-6)


def test_a_minus_term_lowers_the_product(modalities: Modalities) -> None:
    plus, minus = [text(0), shown(0)], text(1, -0.5)
    *_, left = residuals([*plus, minus], modalities)
    factor = np.clip(1 - (PICTURES - modalities.pictures.mean) @ left / modalities.texts.floor, 0, 1) ** 0.5
    before, after = (product(terms, modalities, PICTURES) for terms in (plus, [*plus, minus]))
    assert after == pytest.approx(np.where(before > 0, before * factor, before))
    assert (after < before).any()
    assert (after <= before).all()


@pytest.mark.parametrize("terms", QUERIES)
def test_parts_add_up_to_the_score(terms: tuple[VectorTerm, ...], modalities: Modalities) -> None:
    found = compose(terms, modalities)
    assert found.explain(PICTURES).shape == (len(PICTURES), len(terms))
    assert found.explain(PICTURES).sum(axis=1) == pytest.approx(PICTURES @ found.vector, abs=1e-6)


@pytest.mark.parametrize("terms", QUERIES)
def test_no_bit_depends_on_the_order_of_the_terms(terms: tuple[VectorTerm, ...], modalities: Modalities) -> None:
    first, ranked = compose(terms, modalities), product(terms, modalities, PICTURES)
    for order in itertools.permutations(range(len(terms))):
        arranged = [terms[place] for place in order]
        again = compose(arranged, modalities)
        assert np.array_equal(again.vector, first.vector)
        assert np.array_equal(again.parts, first.parts[list(order)])
        assert np.array_equal(product(arranged, modalities, PICTURES), ranked)


def test_one_term_is_its_own_vector(modalities: Modalities) -> None:
    for weight in (1.0, 0.3, 100.0):
        assert np.array_equal(compose([text(0, weight)], modalities).vector, TEXTS[0])


def test_terms_of_one_kind_need_no_statistics(modalities: Modalities) -> None:
    terms = [text(0), text(1, 0.4)]
    assert compose(terms, None).vector == pytest.approx(compose(terms, modalities).vector, abs=1e-6)


def test_of_a_minus_term_only_what_is_orthogonal_is_subtracted(modalities: Modalities) -> None:
    terms = [text(0), shown(0), text(1, -1)]
    _, _, left = residuals(terms, modalities)
    for plus, mean in ((TEXTS[0], modalities.texts.mean), (QUERIED[0], modalities.pictures.mean)):
        assert left @ (plus - mean) == pytest.approx(0, abs=1e-7)
    assert 0 < np.linalg.norm(left) < np.linalg.norm(TEXTS[1] - modalities.texts.mean)


def test_a_minus_term_pushes_its_pictures_down(modalities: Modalities) -> None:
    of_text = PICTURES @ TEXTS[1]
    near = of_text > np.quantile(of_text, 0.9)
    for score in (
        lambda *terms: PICTURES @ compose(terms, modalities).vector,
        lambda *t: product(t, modalities, PICTURES),
    ):
        before, after = score(text(0)), score(text(0), text(1, -1))
        ranks = [np.argsort(np.argsort(-each))[near].mean() for each in (before, after)]
        assert ranks[1] > ranks[0] + 10


def test_texts_and_pictures_count_the_same_although_texts_lie_apart(modalities: Modalities) -> None:
    """Each term's part of the scores varies by its weight, whichever kind it is."""

    def deviations(kind: str, vectors: Vectors) -> float:
        made = [compose([VectorTerm(kind, vector, 1.0), shown(3, 1e-6)], modalities) for vector in vectors]
        length = modalities.of(kind).deviation
        return float(np.mean([np.std(SAMPLE @ each.vector) for each in made])) / length

    assert deviations("text", unit_rows(50, 8, towards=1)) == pytest.approx(1, rel=0.1)
    assert deviations("picture", unit_rows(50, 9)) == pytest.approx(1, rel=0.1)


def test_the_product_prefers_what_fits_both(modalities: Modalities) -> None:
    """A picture halfway between two is better than the two themselves."""
    one, other = QUERIED[0], QUERIED[1]
    between = (one + other) / np.linalg.norm(one + other)
    pictures = np.stack([one, between, other]).astype(np.float32)
    assert product([shown(0), shown(1)], modalities, pictures).argmax() == 1


@pytest.mark.parametrize(
    ("terms", "reason"),
    [
        ((shown(0), VectorTerm("picture", -QUERIED[0], 1.0)), "cancel"),
        ((text(0), text(0, -1)), "says the same"),
        ((text(0), text(1), text(1, -0.5)), "says the same"),
    ],
)
def test_terms_without_a_direction_are_refused(
    terms: tuple[VectorTerm, ...], reason: str, modalities: Modalities
) -> None:
    with pytest.raises(InvalidInput, match=reason):
        compose(terms, modalities)


def test_a_library_of_one_picture_has_no_deviations() -> None:
    assert measure(SAMPLE[:1], BANK) is None
    same = measure(np.repeat(SAMPLE[:1], 5, axis=0), BANK)
    assert same is not None
    assert np.isfinite(compose([text(0), shown(0), text(1, -1)], same).vector).all()
