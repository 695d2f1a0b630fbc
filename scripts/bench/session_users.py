"""Made-up users of search sessions: what each one looks for, how the search begins, and what is done with an answer.

A user has a target, a set of pictures, and begins with words that say only a part of it. Of the 10 pictures that an
answer shows, the user picks up to 3 that belong to the target and rejects up to 3 that do not, the first ones, and goes
on for three rounds. Judgements are never wrong.
"""

import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Final, Protocol

import numpy as np

SHOWN: Final = 10
ROUNDS: Final = 3
JUDGED: Final = 3
"""Pictures that a user picks in a round, at most, and rejects."""

FEWEST: Final = 4
"""Pictures of a target among the samples."""

FEWEST_WITH_CAPTIONS: Final = 6
"""Pictures of a target that captions name."""

MOST: Final = 40
"""Pictures of a target."""

SCENES: Final = {
    "grass": "on grass",
    "snow": "in the snow",
    "night": "at night",
    "sunset": "at sunset",
    "sand": "on sand",
    "room": "in a room",
    "sea": "on the sea",
    "sky": "in the sky",
    "white": "on white",
    "blue": "on blue",
    "yellow": "on yellow",
}
"""By the last word of a sample's name."""

SUBJECTS: Final = {
    "animals": "an animal",
    "buildings": "a building",
    "clothing": "clothes",
    "food": "food",
    "nature": "nature",
    "sports": "sports",
    "vehicles": "a vehicle",
}
"""By folder of the samples."""

COMMON: Final = frozenset(
    re.findall(
        "[a-z]+",
        "a an the and of on in at with to is are up down near for by from his her their its while another through over "
        "into as two three one it out off that who some other next front there has around along",
    )
)
"""Words of captions that name nothing."""


@dataclass(frozen=True)
class User:
    """A simulated person who looks for pictures."""

    name: str
    query: str
    target: frozenset[str]
    """Object keys."""


class Search(Protocol):
    """A search session. Both answer with the object keys of the pictures that are shown, best first."""

    def begin(self, query: str, k: int) -> list[str]: ...

    def refine(self, pick: Sequence[int], reject: Sequence[int]) -> list[str]: ...


@dataclass(frozen=True)
class Walk:
    """What one user was shown in each round, the first search included, and which pictures were judged before it."""

    user: User
    rankings: list[list[str]]
    judged: list[frozenset[str]]


def walk(user: User, search: Search, k: int = 100) -> Walk:
    """The rounds of one user. `k` pictures are fetched; only the first 10 are looked at."""
    rankings, judged = [search.begin(user.query, k)], [frozenset[str]()]
    for _ in range(ROUNDS):
        shown = rankings[-1][:SHOWN]
        fits = [place for place, key in enumerate(shown) if key in user.target and key not in judged[-1]][:JUDGED]
        fails = [place for place, key in enumerate(shown) if key not in user.target][:JUDGED]
        judged.append(judged[-1] | {shown[place] for place in (*fits, *fails)})
        rankings.append(search.refine(fits, fails) if fits or fails else rankings[-1])
    return Walk(user, rankings, judged)


def ndcg(ranking: Iterable[str], target: frozenset[str], k: int = SHOWN) -> float:
    """NDCG@k with gains of 0 and 1 (Järvelin, Kekäläinen 2002): 1 where the first k all belong to the target."""
    gains = [key in target for key in ranking][:k]
    discounts = 1 / np.log2(np.arange(2, k + 2))
    return float(np.dot(gains, discounts[: len(gains)]) / discounts[: min(k, len(target))].sum())


def by_round(walks: Sequence[Walk]) -> list[float]:
    """The mean NDCG@10 of the first search and of each round."""
    return [
        float(np.mean([ndcg(each.rankings[number], each.user.target) for each in walks]))
        for number in range(ROUNDS + 1)
    ]


def of_the_rest(walks: Sequence[Walk], number: int) -> tuple[float, float]:
    """The mean NDCG@10 among pictures not judged before the round: of the round, and of the first search.

    Users with nothing left to find are left out.
    """
    rounds, firsts = [], []
    for each in walks:
        if target := each.user.target - each.judged[number]:
            for ranking, values in ((each.rankings[number], rounds), (each.rankings[0], firsts)):
                values.append(ndcg([key for key in ranking if key not in each.judged[number]], frozenset(target)))
    return float(np.mean(rounds)), float(np.mean(firsts))


def divided(users: Sequence[User], seed: int = 19) -> tuple[list[User], list[User]]:
    """A third of the users to choose weights on, and the others to report on. A target is in one of both only."""
    targets = sorted({user.target for user in users}, key=sorted)
    chosen = np.random.default_rng(seed).permutation(len(targets))[: len(targets) // 3]
    tuning = {targets[place] for place in chosen}
    return [user for user in users if user.target in tuning], [user for user in users if user.target not in tuning]


def users_of_samples(keys: Iterable[str]) -> list[User]:
    """Each looks for one kind of thing in one place ("animals in the snow"), and begins with one of both."""
    targets: dict[tuple[str, str], set[str]] = defaultdict(set)
    for key in keys:
        folder, _, name = key.partition("/")
        words = re.split(r"[-.]", name)
        for scene in SCENES.keys() & set(words[-3:]):
            if folder in SUBJECTS:
                targets[folder, scene].add(key)
    return [
        User(f"{folder} {SCENES[scene]}", query, frozenset(target))
        for (folder, scene), target in sorted(targets.items())
        if FEWEST <= len(target) <= MOST
        for query in (SUBJECTS[folder], SCENES[scene])
    ]


def users_of_photos(keys: Iterable[str], captions: Path) -> list[User]:
    """Each looks for two things together that captions name, and begins with one; or for one kind of clothes."""
    keys = list(keys)
    return _of_captions(_words_of(captions, keys)) + _of_clothes(keys)


def _words_of(captions: Path, keys: Iterable[str]) -> Mapping[str, frozenset[str]]:
    """By object key, the words that at least two of its captions have."""
    by_name = {key.rpartition("/")[2]: key for key in keys}
    counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    with captions.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if key := by_name.get(row["image"]):
                for word in set(re.findall("[a-z]+", row["caption"].lower())) - COMMON:
                    counts[key][word] += 1
    return {key: frozenset(word for word, count in words.items() if count > 1) for key, words in counts.items()}


def _of_captions(words: Mapping[str, frozenset[str]]) -> list[User]:
    pairs: dict[tuple[str, str], set[str]] = defaultdict(set)
    for key, present in words.items():
        for pair in combinations(sorted(present), 2):
            pairs[pair].add(key)
    return [
        User(f"{one} + {other}", one, frozenset(target))
        for (one, other), target in sorted(pairs.items())
        if FEWEST_WITH_CAPTIONS <= len(target) <= MOST
    ]


def _of_clothes(keys: Iterable[str]) -> list[User]:
    kinds: dict[str, set[str]] = defaultdict(set)
    for key in keys:
        top, _, rest = key.partition("/")
        if top == "clothing":
            kinds[rest.partition("/")[0]].add(key)
    return [User(kind, "clothes", frozenset(target)) for kind, target in sorted(kinds.items()) if len(target) <= MOST]
