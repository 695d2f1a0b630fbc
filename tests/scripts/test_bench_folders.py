"""The comparison of searches with and without folder detection counts right hits."""

from collections.abc import Sequence

import numpy as np

from app.search.folders import FolderNames
from app.types import Vectors
from scripts.bench_folders import Library, Score, compare, queries_of

WORDS = ("dress", "girl", "dog")
LIBRARY = Library(
    ["clothing/dress/a.jpg", "clothing/dress/b.jpg", "people/girl.jpg", "people/dog.jpg"],
    np.array([[1, 0, 0], [1, 0, 0], [0.6, 0.8, 0], [0, 0, 1]], np.float32),
    {"people/girl.jpg": ["Two girls in dresses"], "people/dog.jpg": ["a dog"]},
)
NAMES = FolderNames(["clothing/dress", "people"])


class WordCounter:
    """A text's vector says which of the known words it has."""

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        return np.array([[word in text for word in WORDS] for text in texts], np.float32)


def scored(query: str, right: set[str]) -> Score:
    score = Score()
    compare(query, right, LIBRARY, NAMES, WordCounter(), score)  # type: ignore[arg-type]
    return score


def test_right_pictures_lie_in_the_folder_or_have_the_name_in_a_caption() -> None:
    right = {(kind, query): keys for kind, query, keys in queries_of(LIBRARY, NAMES)}
    assert right["captions", "a dog"] == {"people/dog.jpg"}
    assert right["named", "blue dress"] == {"clothing/dress/a.jpg", "clothing/dress/b.jpg", "people/girl.jpg"}
    assert right["pointed at", "show me dress photos"] == {"clothing/dress/a.jpg", "clothing/dress/b.jpg"}
    assert right["about a person", "a girl in a pink dress"] == {"people/girl.jpg"}
    assert ("named", "blue people") not in right


def test_a_query_whose_folder_lacks_the_right_picture_is_worse() -> None:
    score = scored("dog from the dress folder", {"people/dog.jpg"})
    assert (score.everywhere, score.as_detected, score.worse) == (1, 0, ["dog from the dress folder"])


def test_without_a_folder_both_searches_are_one() -> None:
    score = scored("a girl in a pink dress", {"people/girl.jpg"})
    assert (score.detected, score.everywhere, score.as_detected, score.better, score.worse) == (0, 1, 1, 0, [])
