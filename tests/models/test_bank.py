"""The bank: its texts, what it measures, and its vectors in MODEL_CACHE."""

import logging
import re
from pathlib import Path

import numpy as np
import pytest

from app.models.bank import BLOCK, NEAREST, Bank, bank_texts, find_bank, load_bank
from tests.support.catalogs import record
from tests.support.service import FakeEmbedder

QUERIES = Path(__file__).parents[2] / "scripts" / "bench" / "relevance"


def unit_rows(count: int, dimension: int = 8) -> np.ndarray:
    rows = np.random.default_rng(count).standard_normal((count, dimension)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_the_texts_are_many_and_each_is_there_once() -> None:
    texts = bank_texts()
    assert 2000 <= len(texts) <= 5000
    assert len(set(texts)) == len(texts)
    assert not [text for text in texts if text != text.strip() or not text or re.search(r"[{}|;=+#]", text)]


@pytest.mark.parametrize(
    "text", ["a dog", "ein Hund", "un chien", "un perro", "un cane", "um gato", "een hond", "狗", "犬"]
)
def test_the_texts_are_in_many_languages(text: str) -> None:
    assert text in bank_texts()


def test_no_query_of_the_report_is_in_the_bank() -> None:
    """So what the benchmark says of the samples holds for texts that the bank does not know."""
    queries = {*(QUERIES / "on_topic.txt").read_text("utf-8").splitlines()}
    assert len(queries) > 60
    assert not queries & {*bank_texts()}


def test_a_picture_is_measured_against_all_texts_and_the_nearest_ones() -> None:
    bank, pictures = Bank(unit_rows(100)), unit_rows(BLOCK + 2)
    similarities = np.sort(pictures @ bank.vectors.T, axis=1)
    found = bank.measure(pictures)
    np.testing.assert_allclose(found[:, 0], similarities.mean(axis=1), atol=1e-5)
    np.testing.assert_allclose(found[:, 1], similarities[:, -NEAREST:].mean(axis=1), atol=1e-5)
    assert bank.measure(pictures[:0]).shape == (0, 2)


def test_records_keep_what_was_measured() -> None:
    bank, pictures = Bank(unit_rows(100)), unit_rows(2)
    first, second = bank.measured([record("a.jpg"), record("b.jpg")], pictures)
    assert (second.object_key, second.bank_mean, second.bank_near) == pytest.approx(
        ("b.jpg", *bank.measure(pictures)[1]), abs=1e-4
    )
    assert len(str(first.bank_near)) <= 7


def test_the_bank_is_embedded_once_for_each_model(tmp_path: Path) -> None:
    first, again, other = FakeEmbedder(), FakeEmbedder(), FakeEmbedder(fingerprint="f00d" * 8)
    assert find_bank(tmp_path, first.identity.fingerprint) is None
    made = load_bank(tmp_path, first)
    assert len(first.texts) == len(made.vectors) == len(bank_texts())
    np.testing.assert_array_equal(load_bank(tmp_path, again).vectors, made.vectors)
    assert not again.texts
    load_bank(tmp_path, other)
    assert other.texts


def test_a_damaged_bank_is_embedded_again(tmp_path: Path) -> None:
    made = load_bank(tmp_path, FakeEmbedder())
    (kept,) = tmp_path.rglob("*.npy")
    kept.write_bytes(kept.read_bytes()[:-1])
    assert find_bank(tmp_path, FakeEmbedder().identity.fingerprint) is None
    np.testing.assert_array_equal(load_bank(tmp_path, FakeEmbedder()).vectors, made.vectors)


def test_a_cache_that_cannot_be_written_costs_time_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache = tmp_path / "file"
    cache.write_text("no folder")
    with caplog.at_level(logging.WARNING):
        assert len(load_bank(cache, FakeEmbedder()).vectors) == len(bank_texts())
    assert "can't be kept" in caplog.text
