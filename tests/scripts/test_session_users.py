"""Made-up users of search sessions: their targets, what they do, and how answers are measured."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from scripts.bench.session_users import (
    ROUNDS,
    User,
    by_round,
    divided,
    ndcg,
    of_the_rest,
    users_of_photos,
    users_of_samples,
    walk,
)

TARGET = frozenset({"a", "b", "c"})


def test_ndcg() -> None:
    assert ndcg("abcx", TARGET) == 1
    assert ndcg("xyz", TARGET) == 0
    assert ndcg("xa", frozenset("a")) == pytest.approx(0.6309, abs=1e-4)  # 1 / log2(3)
    assert ndcg(["x"] * 10 + ["a"], TARGET) == 0


class Forgetful:
    """Answers the same each time, without what was rejected."""

    def __init__(self) -> None:
        self.shown = list("xaybz")
        self.judged: list[tuple[list[str], list[str]]] = []

    def begin(self, query: str, k: int) -> list[str]:
        return self.shown

    def refine(self, pick: Sequence[int], reject: Sequence[int]) -> list[str]:
        self.judged.append(([self.shown[each] for each in pick], [self.shown[each] for each in reject]))
        self.shown = [key for place, key in enumerate(self.shown) if place not in reject]
        return self.shown


def test_users_pick_what_belongs_to_the_target_and_reject_the_rest() -> None:
    search = Forgetful()
    walked = walk(User("u", "q", TARGET), search)
    assert search.judged == [(["a", "b"], ["x", "y", "z"])]  # then there is nothing left to say
    assert walked.rankings == [list("xaybz"), ["a", "b"], ["a", "b"], ["a", "b"]]
    assert walked.judged[1:] == [frozenset("abxyz")] * ROUNDS
    assert by_round([walked]) == sorted(by_round([walked]))
    assert of_the_rest([walked], 1) == (0, 0)  # only c is left, and nobody showed it


def test_targets_of_samples_are_kinds_in_places() -> None:
    keys = [f"animals/{name}-in-snow.jpg" for name in ("cat", "fox", "wolf", "owl")]
    users = users_of_samples([*keys, "animals/cat-on-grass.jpg", "vehicles/car-in-snow.jpg", "other/x-in-snow.jpg"])
    assert [(user.name, user.query) for user in users] == [
        ("animals in the snow", "an animal"),
        ("animals in the snow", "in the snow"),
    ]
    assert {user.target for user in users} == {frozenset(keys)}


def test_targets_of_photos_are_pairs_of_words_that_two_captions_name(tmp_path: Path) -> None:
    captions = tmp_path / "captions.csv"
    rows = [
        f"{number}.jpg,{text}" for number in range(6) for text in ("A dog in the water .", "the dog, water", "a cat")
    ]
    captions.write_text("\n".join(["image,caption", *(row.replace("dog, water", "dog swims water") for row in rows)]))
    keys = [f"flickr/{number}.jpg" for number in range(6)]
    users = users_of_photos([*keys, "clothing/hat/a.jpg"], captions)
    assert [(user.name, user.query, len(user.target)) for user in users] == [
        ("dog + water", "dog", 6),
        ("hat", "clothes", 1),
    ]


def test_no_target_is_in_both_parts() -> None:
    users = [User(f"{number}", "q", frozenset({f"{number // 2}"})) for number in range(60)]
    tuning, reported = divided(users)
    assert (len(tuning), len(reported)) == (20, 40)
    assert {user.target for user in tuning}.isdisjoint(user.target for user in reported)
    assert divided(users) == (tuning, reported)
