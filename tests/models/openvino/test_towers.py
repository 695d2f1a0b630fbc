"""Texts are divided into passes of similar length, so that short ones do not wait for the padding of long ones."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from app.models.base import ModelInputs
from app.models.choose import load_embedder
from app.models.inputs import Padding
from app.models.openvino import towers
from app.models.openvino.towers import COUNTS, LENGTHS, PASS_TOKENS, Grid, by_length
from app.settings import ModelSettings


def tokens(lengths: list[int]) -> ModelInputs:
    """Texts whose tokens are numbered from 1, padded with 0 to the longest text."""
    places = np.arange(max(lengths))
    mask = (places < np.array(lengths)[:, None]).astype(np.int64)
    return {"input_ids": (places + 1) * mask, "attention_mask": mask}


def test_every_text_is_in_one_pass_with_all_its_tokens() -> None:
    lengths = np.random.default_rng(0).integers(1, 40, 64).tolist()
    inputs = tokens(lengths)
    passes = by_length(inputs)
    assert 1 < len(passes) < 10
    assert sorted(np.concatenate([rows for rows, _ in passes])) == list(range(64))
    for rows, part in passes:
        longest = max(lengths[row] for row in rows)
        for name, array in part.items():
            np.testing.assert_array_equal(array, inputs[name][rows, :longest])


@pytest.mark.parametrize("seed", range(20))
def test_no_other_division_costs_less(seed: int) -> None:
    random = np.random.default_rng(seed)
    lengths = sorted(random.integers(1, 60, 9).tolist())

    def cost(groups: list[list[int]]) -> int:
        return sum(PASS_TOKENS["fp32"] + len(group) * max(group) for group in groups)

    every = [
        [lengths[start:end] for start, end in zip((0, *cuts), (*cuts, 9), strict=True)]
        for count in range(9)
        for cuts in combinations(range(1, 9), count)
    ]
    ours = [part["attention_mask"].sum(axis=1).tolist() for _, part in by_length(tokens(lengths))]
    assert cost(ours) == min(map(cost, every))


def test_texts_of_one_length_or_hardly_any_go_together() -> None:
    for lengths in ([7] * 30, [3, 4, 5], [77]):
        ((rows, part),) = by_length(tokens(lengths))
        assert part["input_ids"].shape == (len(rows), max(lengths))


def test_padding_that_the_model_learned_with_stays() -> None:
    """SigLIP is such a model; it has no mask."""
    inputs = {"input_ids": tokens([2] * 30 + [60])["input_ids"]}
    ((rows, part),) = by_length(inputs)
    assert rows.tolist() == list(range(31))
    np.testing.assert_array_equal(part["input_ids"], inputs["input_ids"])
    ((rows, part),) = by_length(inputs, grid=Grid(COUNTS, LENGTHS))
    assert rows.tolist() == [*range(31), 30]
    assert part["input_ids"].shape == (32, 60)


GRID = Grid(COUNTS, LENGTHS, Padding({"input_ids": 9, "attention_mask": 0}, longest=77))


def test_passes_of_a_grid_have_few_shapes_and_their_texts_stay_what_they_are() -> None:
    random = np.random.default_rng(1)
    shapes: set[tuple[int, ...]] = set()
    for count in range(1, 33):
        lengths = random.integers(3, 25, count).tolist()
        inputs = tokens(lengths)
        seen: set[int] = set()
        for rows, part in by_length(inputs, PASS_TOKENS["int8"], GRID):
            shapes.add(part["input_ids"].shape)
            assert part["input_ids"].shape[0] in COUNTS
            assert part["input_ids"].shape[1] in LENGTHS
            for row, ids, mask in zip(rows, part["input_ids"], part["attention_mask"], strict=True):
                assert mask.sum() == lengths[row]
                np.testing.assert_array_equal(ids[: lengths[row]], inputs["input_ids"][row, : lengths[row]])
            seen |= set(rows.tolist())
        assert seen == set(range(count))
    assert len(shapes) <= 60
    assert len({rows * columns for rows, columns in shapes}) <= 45, "kernels depend on the number of tokens in a pass"


def test_texts_are_not_made_longer_than_the_models_context() -> None:
    assert [GRID.columns(length) for length in (1, 8, 9, 24, 49, 65, 77)] == [8, 8, 12, 24, 64, 77, 77]
    assert [GRID.rows(count) for count in (1, 5, 9, 32, 65)] == [1, 5, 10, 32, 65]
    assert [Grid(COUNTS, LENGTHS).columns(length) for length in (3, 9)] == [3, 9], "it does not know how to pad"
    ((_, part),) = by_length(tokens([70]), grid=GRID)
    assert part["input_ids"][0, 70:].tolist() == [9] * 7
    assert part["attention_mask"].sum() == 70


def test_every_text_gets_its_own_vector_in_a_grid(
    tiny_clip: Path, converted_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ModelSettings(name=str(tiny_clip), device="cpu", precision="fp32", cache=converted_cache)
    texts = ["a dog", "two red boats on the lake at night", "sky", "", "a cat sleeping"]
    free = load_embedder(settings).encode_texts(texts)
    monkeypatch.setattr(towers, "NEED_GRID", {"fp32"})
    np.testing.assert_allclose(load_embedder(settings).encode_texts(texts), free, atol=1e-4)


def test_a_text_has_the_same_vector_in_any_company(tiny_clip: Path) -> None:
    embedder = load_embedder(ModelSettings(name=str(tiny_clip), device="cpu"))
    texts = [f"{'dog ' * (number % 20)}number {number}" for number in range(60)]
    together, alone = embedder.encode_texts(texts), [embedder.encode_texts([text])[0] for text in texts]
    np.testing.assert_allclose(together, alone, atol=1e-5)
