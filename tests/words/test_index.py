"""Searching words: the best are exact in any folder and under any filter, before and after changes."""

import math
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from app.errors import IndexNotReady
from app.words.analysis import Document
from app.words.base import MADE_AT_ONCE, WordBase
from app.words.file import WordFile
from app.words.index import MOST_NAMED, WordHits, WordIndex
from app.words.scoring import MOST_SCORED
from tests.support.words import file_of, index_of, listing_of, rows_of

WORDS = ["dog", "cat", "beach", "tree", "house", "car", "boat", "red", "blue", "old"]


def made_up(count: int, seed: int = 0) -> dict[int, Document]:
    rng = np.random.default_rng(seed)
    return {
        int(row): Document(
            f"{'/'.join(rng.choice(['a', 'b', 'c'], rng.integers(1, 3)))}/{rng.choice(WORDS)}_{number}.jpg",
            " ".join(rng.choice(WORDS, rng.integers(1, 8))),
            tuple(map(str, rng.choice(WORDS, rng.integers(0, 3)))),
        )
        for number, row in enumerate(rng.choice(10**9, count, replace=False) - 10**8)
    }


PICTURES = made_up(300)
INDEX = index_of(PICTURES)


def test_names_captions_tags_and_folders_are_found_and_weigh_in_this_order() -> None:
    index = index_of(
        {
            1: Document("garden/x.jpg", "a cat and a bird near a tree"),
            2: Document("y.jpg", "a dog in the garden with a ball"),
            3: Document("z.jpg", "a boat", ("garden", "water")),
            4: Document("garden_9.jpg", "a house"),
            5: Document("other.jpg", "a house"),
        }
    )
    found = index.search("garden", 9)
    assert rows_of(found.hits) == [4, 3, 2, 1]
    assert all(0 < score < 1 for _, score in found.hits)


@pytest.mark.parametrize("query", ["IMG_2041", "img 2041", "IMG_2041.JPG", "img2041", "2041", "Img-2041.jpeg"])
def test_a_camera_name_is_found_by_its_parts(query: str) -> None:
    index = index_of({number: f"2019/IMG_{number}.jpg" for number in range(2000, 2100)})
    assert rows_of(index.search(query, 3).hits)[0] == 2041


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("2023-07-14_holiday (3).jpg", "2023-07-14_holiday (3).jpg"),
        ("holiday 2023", "2023-07-14_holiday (3).jpg"),
        ("camel case", "CamelCaseName.png"),
        ("camelcasename", "CamelCaseName.png"),
        ("20230714", "20230714_183059.jpg"),
        ("a/b/été", "Été.webp"),
    ],
)
def test_names_are_found_by_parts_and_whole(query: str, name: str) -> None:
    names = ["2023-07-14_holiday (3).jpg", "CamelCaseName.png", "20230714_183059.jpg", "Été.webp", "2022-holiday.jpg"]
    index = index_of({number: f"a/b/{each}" for number, each in enumerate(names)})
    assert names[rows_of(index.search(query, 1).hits)[0]] == name


def test_pictures_that_are_called_like_the_query_come_first() -> None:
    """Also where others say the word more often."""
    index = index_of(
        {
            1: Document("invoice/my-invoice-list.jpg", "invoice, invoice, invoice", ("invoice",)),
            2: Document("a/Invoice.jpg"),
            3: Document("a/invoice_2023-04 (1).jpg"),
            4: Document("a/invoices.jpg"),
        }
    )
    found = index.search("invoice", 4, also=[1, 4])
    assert found.named == {2, 3}
    assert rows_of(found.hits) == [2, 3, 1, 4]
    assert found.others == {row: score for row, score in found.hits if row in (1, 4)}
    assert rows_of(index.search("invoice", 1).hits) == [2]


def test_a_name_that_very_many_pictures_have_names_none() -> None:
    index = index_of({number: f"IMG_{number}.jpg" for number in range(MOST_NAMED + 1)})
    assert index.search("img", 1).named == frozenset()
    assert index.search("img 7", 1).named == {7}


def expected(pictures: Mapping[int, Document], words: list[str], folder: str = "") -> set[int]:
    def has(document: Document) -> bool:
        text = f"{document.object_key} {document.caption} {' '.join(document.tags)}".replace("_", " ")
        return any(word in text.replace("/", " ").split() for word in words)

    return {
        row
        for row, document in pictures.items()
        if has(document) and (not folder or f"{document.folder}/".startswith(f"{folder}/"))
    }


@pytest.mark.parametrize("query", ["dog", "dog beach", "red car house old tree"])
@pytest.mark.parametrize("folder", ["", "a", "b/c", "nowhere"])
def test_the_best_are_the_first_of_all_matches_in_any_folder(query: str, folder: str) -> None:
    folders = [folder] if folder else []
    everything = INDEX.search(query, 1000, folders=folders)
    assert set(rows_of(everything.hits)) == expected(PICTURES, query.split(), folder)
    for k in (0, 1, 7, 50):
        found = INDEX.search(query, k, folders=folders)
        assert found.hits == everything.hits[:k]
        assert found.named == everything.named


def test_a_filter_by_rows_keeps_k_exact() -> None:
    everything = INDEX.search("dog tree", 1000)
    wanted = np.array(sorted(PICTURES)[::3], np.int64)
    among = [hit for hit in everything.hits if hit[0] in wanted]
    assert INDEX.search("dog tree", 20, among=wanted).hits == among[:20]
    assert INDEX.search("dog tree", 20, among=wanted[:0]).hits == []


def test_required_words_leave_out_what_lacks_them() -> None:
    both = expected(PICTURES, ["dog"]) & expected(PICTURES, ["beach"])
    assert set(rows_of(INDEX.search('"dog beach" tree', 1000).hits)) == both
    assert INDEX.search('dog "unknownword"', 5).hits == []


@pytest.mark.parametrize("query", ['"dog"', '"red dog"', '"dog" "beach"', '"unknownword"', "", '"zebra"'])
def test_all_pictures_with_required_words_are_those_that_a_search_finds(query: str) -> None:
    wanted = np.array(sorted(PICTURES)[::3], np.int64)
    for index in (INDEX, changed_by_turns(INDEX)[0]):
        for folders, among in (([], None), (["a"], None), (["c", "b/c"], wanted), ([], wanted[:0])):
            found = index.having(query, folders=folders, among=among).tolist()
            assert sorted(found) == sorted(rows_of(index.search(query, 1000, folders=folders, among=among).hits))


def test_the_score_is_the_share_of_what_the_query_could_reach() -> None:
    """By hand: one picture of two has the word, once, in a name of one term."""
    index = index_of({1: "dog.jpg", 2: "cat.jpg"})
    counts = 2.5 / (1 - 0.5 + 0.5 * 1 / 3)
    weight = round(255 * counts / (1.2 + counts)) / 255
    ((_, alone),) = index.search("dog", 5).hits
    assert alone == pytest.approx(weight)
    idf, idf_unknown = math.log1p(1.5 / 1.5), math.log1p(2.5 / 0.5)
    ((_, half),) = index.search("dog unicorn", 5).hits
    assert half == pytest.approx(weight * idf / (idf + idf_unknown))


def changed_by_turns(index: WordIndex) -> tuple[WordIndex, dict[int, Document]]:
    """Removals, replacements and additions in three steps, one of which is searched in between."""
    pictures = dict(PICTURES)
    rows = list(pictures)
    new = made_up(40, seed=1)
    steps: list[tuple[dict[int, Document], set[int]]] = [
        ({}, set(rows[:50])),
        (dict(list(new.items())[:30]) | {rows[60]: Document("a/zebra.jpg")}, {rows[70], rows[60]}),
        (dict(list(new.items())[30:]) | {rows[0]: Document("c/dog.jpg")}, {list(new)[5]}),
    ]
    for number, (added, gone) in enumerate(steps):
        for row in gone:
            pictures.pop(row, None)
        pictures |= added
        index = index.changed(added, gone)
        if number == 1:
            assert rows_of(index.search("zebra", 5).hits) == [rows[60]]
    return index, pictures


@pytest.mark.parametrize("query", ["dog", "beach boat", "zebra", '"red" old', "dog_7", "dogs", "nothing"])
def test_changes_answer_as_a_file_with_them_would(query: str) -> None:
    changed, pictures = changed_by_turns(INDEX)
    rebuilt = index_of(pictures)
    wanted = np.array([*list(pictures)[::3], *list(PICTURES)[:9], 7], np.int64)
    for folders, among in (([], None), (["a"], None), (["c", "b/c"], wanted), ([], wanted), ([], wanted[:0])):
        found, told = (
            each.search(query, 1000, folders=folders, among=among, also=list(pictures)[:9])
            for each in (changed, rebuilt)
        )
        assert rows_of(sorted(found.hits)) == rows_of(sorted(told.hits))
        assert found.named == told.named
        # Removed pictures still count for how common a word is, until the next generation.
        assert dict(found.hits) == pytest.approx(dict(told.hits), rel=0.15)
        assert found.others.keys() == told.others.keys()
        assert found.had == pytest.approx(told.had, abs=0.05)
        assert found.had.keys() == dict(found.hits).keys() | found.others.keys()


@pytest.mark.parametrize("changed", [False, True])
@pytest.mark.parametrize("words", [["dog"], ["beach", "boat"], ["red", "old", "nowhere"]])
def test_had_is_the_part_of_the_words_that_a_picture_has_in_any_field(words: list[str], changed: bool) -> None:
    index, pictures = changed_by_turns(INDEX) if changed else (INDEX, PICTURES)
    texts = {row: f"{each.object_key} {each.caption} {each.tags}" for row, each in pictures.items()}
    having = {word: {row for row, text in texts.items() if word in text} for word in words}
    found = index.search(" ".join(words), len(pictures), also=list(pictures)[:20])
    idfs = {word: math.log1p((len(pictures) - len(rows) + 0.5) / (len(rows) + 0.5)) for word, rows in having.items()}
    for row, had in found.had.items():
        expected = sum(idf for word, idf in idfs.items() if row in having[word]) / sum(idfs.values())
        assert had == pytest.approx(expected, abs=0.05 if changed else 1e-6)
    assert len(found.had) > 20


def test_of_a_long_query_the_words_that_are_scored_can_be_had() -> None:
    words = [f"word{'abcdefghijklmnopqrstuvwxyz'[number]}" for number in range(MOST_SCORED + 10)]
    index = index_of({1: Document("a/x.jpg", " ".join(words)), 2: Document("a/y.jpg", "other")})
    assert index.search(" ".join(words), 5).had == {1: 1.0}
    assert index.search(" ".join([*words, "nowhere"]), 5).had[1] < 1


def test_words_that_only_begin_alike_are_not_had() -> None:
    index = index_of({1: Document("a/snow.jpg"), 2: Document("a/snowflake.jpg"), 3: Document("a/x.jpg", "dogs")})
    assert index.search("snow", 5).had == {1: 1.0, 2: 0.0}
    assert index.search("dog", 5).had == {3: 1.0}


def test_a_removed_picture_is_not_found_and_the_state_before_is_not_changed() -> None:
    index = index_of({1: "dog.jpg", 2: "dog_2.jpg"})
    without = index.changed({}, {1})
    assert rows_of(without.search("dog", 5, also=[1]).hits) == [2]
    assert without.search("dog", 5, also=[1, 3]).others == {1: 0.0, 3: 0.0}
    assert rows_of(index.search("dog", 5).hits) == [1, 2]
    again = without.changed({1: Document("cat.jpg")}, ())
    assert rows_of(again.search("dog", 5).hits) == [2]
    assert rows_of(again.search("cat", 5, folders=["x"]).hits) == []
    assert rows_of(again.search("cat", 5, among=np.array([2], np.int64)).hits) == []
    assert rows_of(again.search("cat", 5, among=np.array([1], np.int64)).hits) == [1]


def test_several_threads_search_one_state() -> None:
    index, _ = changed_by_turns(INDEX)
    queries = ["dog", "beach boat", "dogs", "zebra"] * 8
    told = [index.search(query, 20) for query in queries]
    fresh, _ = changed_by_turns(index_of(PICTURES))
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda query: fresh.search(query, 20), queries)) == told


def late(make: Callable[[], WordFile], count: int) -> WordIndex:
    return WordIndex(WordBase(None, make, count), listing_of(PICTURES))


def test_a_missing_file_is_made_by_the_first_search() -> None:
    made: list[WordFile] = []

    def make() -> WordFile:
        made.append(file_of(PICTURES.values()))
        return made[-1]

    index = late(make, len(PICTURES))
    assert index.search("dog", 5) == index.changed({}, ()).search("dog", 5) == INDEX.search("dog", 5)
    assert len(made) == 1


def test_a_large_missing_file_is_made_in_the_background_and_callers_are_told(caplog: pytest.LogCaptureFixture) -> None:
    """After an error the next search begins again."""
    outcomes: list[OSError | WordFile] = [OSError("no space"), file_of(PICTURES.values())]
    searched = threading.Event()

    def make() -> WordFile:
        assert searched.wait(30)
        outcome = outcomes.pop(0)
        if isinstance(outcome, OSError):
            raise outcome
        return outcome

    index = late(make, MADE_AT_ONCE + 1)
    with pytest.raises(IndexNotReady, match="mode=vector"):
        index.search("dog", 5)
    searched.set()
    assert found_in_the_end(index, "dog") == INDEX.search("dog", 5)
    assert "no space" in caplog.text


def found_in_the_end(index: WordIndex, text: str) -> WordHits:
    deadline = time.monotonic() + 30
    while True:
        try:
            return index.search(text, 5)
        except IndexNotReady:
            assert time.monotonic() < deadline
            threading.Event().wait(0.01)
