"""What the benchmark of relevance counts, and the queries that it reads."""

from pathlib import Path

import numpy as np

from scripts.bench_relevance import Judged, Queries, area, best_threshold, queries_for, words_of_things, wrong

ON, OFF = np.array([0.9, 0.8, 0.3]), np.array([0.1, 0.2, 0.4])


def test_the_area_is_the_share_of_pairs_in_the_right_order() -> None:
    assert area(ON, OFF) == 8 / 9
    assert area(ON, ON) == 0.5


def test_the_threshold_parts_both_kinds_best() -> None:
    assert best_threshold(ON, OFF) in (0.3, 0.8)
    assert best_threshold(np.array([2.0, 3.0]), np.array([0.0, 1.0])) == 2.0


def test_wrong_answers_are_listed() -> None:
    values = np.zeros(2)
    on, off = Judged(values, values, np.array([True, False])), Judged(values, values, np.array([True, False]))
    assert wrong(Queries(["a", "b"], ["c", "d"]), on, off) == ["-b", "+c"]


def test_no_query_is_both_reported_and_used_to_choose() -> None:
    for folder in (Path("samples"), Path("photographs")):
        tuning, reported = queries_for(folder)
        assert {*tuning.on, *tuning.off}.isdisjoint({*reported.on, *reported.off})
        assert min(map(len, (tuning.on, tuning.off, reported.on, reported.off))) >= 30


def test_words_of_things_fit_where_a_sample_shows_one_of_them() -> None:
    words = {
        "dog": {"en": ("pet", "puppy"), "de": ("hund",)},
        "violin": {"en": ("fiddle",)},
        "hamster": {"en": ("pet",)},
    }
    assert words_of_things(words, ["en"]) == Queries(["pet", "puppy"], ["fiddle"])
    assert words_of_things(words, ["de"]) == Queries(["hund"], [])
