"""The queries of `bench_queries` can be answered, and are judged by the names of the samples."""

import pytest

from app.models.calibration import SAMPLES
from scripts.bench_queries import REPORTED, TUNING, Case

KEYS = [path.relative_to(SAMPLES).as_posix() for path in sorted(SAMPLES.rglob("*.jpg"))]


@pytest.mark.parametrize("case", [*REPORTED, *TUNING], ids=lambda case: f"{case.picture} {case.text}")
def test_every_query_has_a_right_answer(case: Case) -> None:
    assert any(map(case.is_right, KEYS))
    assert not case.picture or case.picture in KEYS


def test_twenty_are_reported_and_none_was_used_for_choosing() -> None:
    assert len(REPORTED) == 20
    assert not set(REPORTED) & set(TUNING)


def test_names_have_to_have_all_wanted_words_and_no_unwanted_one() -> None:
    case = Case("a dog without snow", ("dog|poodle", "grass"), "snow", picture="animals/dog-on-grass.jpg")
    assert case.is_right("animals/poodle-on-grass.jpg")
    assert not case.is_right("animals/dog-on-grass.jpg"), "it is the one that is shown"
    assert not case.is_right("animals/dog-in-snow.jpg")
    assert not case.is_right("animals/dog-on-sand.jpg")
