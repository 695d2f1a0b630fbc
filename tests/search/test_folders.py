"""Which folder a query means, and what is left of the query."""

import gc
import subprocess
import sys
import time
import unicodedata
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import FolderNotFound
from app.search.folders import FolderNames
from app.search.inflection import forms_of

FOLDERS = FolderNames(
    [
        "", "nature", "nature/beach", "animals", "animals/wild-cats", "vehicles", "clothing/t-shirts", "people",
        "children", "mice", "leaves", "berries", "dress", "boxes", "women_shoes", "SunSets", "north/cats",
        "south/cats", "photos", "x", "Ice Cream", "cactus", "trips/2023", "sheep", "Äpfel", "the/show",
        "city/night/lights", "car", "glasses", "wolf", "tomato", "fish",
    ]
)  # fmt: skip

POINTED_AT = [
    # query, folder, words, embedded text
    ("show me nature photos", "nature", "nature", "show me nature photos"),
    ("find animal pictures", "animals", "animal", "find animal pictures"),
    ("nature", "nature", "nature", "nature"),
    ("a pair of glasses", "glasses", "glasses", "a pair of glasses"),
    ("sunrise in nature", "nature", "nature", "sunrise"),
    ("SUNRISE IN NATURE", "nature", "NATURE", "SUNRISE"),
    ("sunrise in the nature", "nature", "nature", "sunrise"),
    ("a lake in my nature, at night", "nature", "nature", "a lake at night"),
    ("in nature: a lake", "nature", "nature", "lake"),
    ("Nature: a lake", "nature", "Nature", "lake"),
    ("dogs at the beach", "nature/beach", "beach", "dogs"),
    ("a palm on the beach at night", "nature/beach", "beach", "a palm at night"),
    ("rain inside nature/beach", "nature/beach", "nature/beach", "rain"),
    ("nature/beach in rain", "nature/beach", "nature/beach", "rain"),
    ("rain in nature beach", "nature/beach", "nature beach", "rain"),
    ("boats 2023", "trips/2023", "2023", "boats"),
    ("boats 2023 pictures", "trips/2023", "2023", "boats pictures"),
    ("boats from trips 2023", "trips/2023", "trips 2023", "boats"),
    ("show me dogs in the nature folder please", "nature", "nature", "show me dogs please"),
    ("search the animals album for hats", "animals", "animals", "search for hats"),
    ("hats in the folder animals", "animals", "animals", "hats"),
    ("hats in the album called \"animals\"", "animals", "animals", "hats"),
    ("folder: animals hats", "animals", "animals", "hats"),
    ("red ones from the car folder", "car", "car", "red ones"),
    ("red ones in the car category", "car", "car", "red ones"),
    ("dogs from the beach and the nature folder", "nature", "nature", "dogs from the beach"),
    ("dogs in 'nature'", "nature", "nature", "dogs"),
    ("lakes in wolves' folder", "wolf", "wolves", "lakes"),
]  # fmt: skip

SPELLINGS = [
    # as the query has it, folder
    ("beaches", "nature/beach"),
    ("vehicle", "vehicles"),
    ("wild cats", "animals/wild-cats"),
    ("wild-cat", "animals/wild-cats"),
    ("WILD_CAT", "animals/wild-cats"),
    ("t-shirt", "clothing/t-shirts"),
    ("tshirt", "clothing/t-shirts"),
    ("T Shirts", "clothing/t-shirts"),
    ("clothing t-shirts", "clothing/t-shirts"),
    ("person", "people"),
    ("persons", "people"),
    ("child", "children"),
    ("mouse", "mice"),
    ("leaf", "leaves"),
    ("berry", "berries"),
    ("dresses", "dress"),
    ("box", "boxes"),
    ("woman's shoe", "women_shoes"),
    ("Women’s shoes", "women_shoes"),
    ("sun sets", "SunSets"),
    ("sunset", "SunSets"),
    ("sun-set", "SunSets"),
    ("icecream", "Ice Cream"),
    ("ice cream", "Ice Cream"),
    ("cacti", "cactus"),
    ("cactuses", "cactus"),
    ("sheep", "sheep"),
    ("äpfel", "Äpfel"),
    ("city night lights", "city/night/lights"),
    ("night light", "city/night/lights"),
    ("glass", "glasses"),
    ("wolves", "wolf"),
    ("tomatoes", "tomato"),
]

NOT_DETECTED = [
    # what the picture shows
    "red animals in snow",
    "NATURE at night",
    "black t-shirt",
    "a mouse eating",
    "lakes & animals",
    "a girl in a pink dress",
    "man in a car",
    "man holding a leaf",
    # the preposition describes the picture
    "women in dresses",
    "a cat in the car",
    "a dog looking at the animals",
    "a bridge covered in leaves",
    "a man jumping from the car",
    "a film on nature",
    "animals at night",
    # the name goes on
    "a walk in the beach house",
    "red things in nature-like colours",
    "tins in wolf's clothing",
    # a folder in the picture
    "an old nature album",
    "the nature album cover",
    "yellow folder animals",
    # after a negation
    "a wolf without glasses",
    "not in the nature folder",
    "dogs, no nature",
    "lakes but never at the beach",
    # no name
    "cartoon",  # car
    "scare a naturist",
    "a carpet",
    "photos of dogs",  # filler only: every second query has it
    "the show must go on",  # the/show
    "x marks the spot",  # one letter
    "sun sat",
    "dressing",
    "",
    "?!",
    "🦊",
]


@pytest.mark.parametrize(("query", "folder", "words", "text"), POINTED_AT)
def test_detected(query: str, folder: str, words: str, text: str) -> None:
    choice = FOLDERS.detect(query)
    assert choice is not None
    assert (choice.path, choice.source) == (folder, "detected")
    assert " ".join(choice.words) == words
    assert choice.embedded_text == text


@pytest.mark.parametrize(("words", "folder"), SPELLINGS)
@pytest.mark.parametrize("pattern", ["{}", "show me {} photos", "something red from {}", "blue in the {} folder"])
def test_names_are_known_however_they_are_spelled(words: str, folder: str, pattern: str) -> None:
    choice = FOLDERS.detect(pattern.format(words))
    assert choice is not None
    assert (choice.path, " ".join(choice.words)) == (folder, words)


@pytest.mark.parametrize("query", NOT_DETECTED)
def test_not_detected(query: str) -> None:
    assert FOLDERS.detect(query) is None


def test_longest_name_wins_wherever_it_stands() -> None:
    names = FolderNames(["cats", "cats/black", "black cats", "night"])
    choice = names.detect("shots in the night from the black cats")
    assert choice is not None
    assert choice.path == "black cats"


def test_more_letters_win_among_as_many_words() -> None:
    choice = FolderNames(["cat", "elephant"]).detect("mice in the cat, in the elephant")
    assert choice is not None
    assert choice.path == "elephant"


def test_a_folder_that_is_called_one_wins_over_a_place() -> None:
    choice = FolderNames(["elephants", "cats"]).detect("mice in the elephants in the cats album")
    assert choice is not None
    assert (choice.path, choice.embedded_text) == ("cats", "mice in the elephants")


def test_a_name_may_have_the_word_album_itself() -> None:
    choice = FolderNames(["Wedding", "Wedding Album"]).detect("a cake in the wedding album")
    assert choice is not None
    assert (choice.path, choice.embedded_text) == ("Wedding Album", "a cake")


def test_the_first_of_equally_long_names_wins() -> None:
    names = FolderNames(["dogs", "cats"])
    queries = ("mice in the cats, in the dogs", "mice in the dogs, in the cats")
    assert [choice.path for query in queries if (choice := names.detect(query))] == ["cats", "dogs"]


@pytest.mark.parametrize("query", ["cats and dogs", "mice from cats to dogs", "mice in cats or dogs"])
def test_a_query_for_two_folders_is_none_for_one_of_them(query: str) -> None:
    assert FolderNames(["dogs", "cats"]).detect(query) is None


@pytest.mark.parametrize("query", ["12", "photos from 12", "a 12 year old boy", "in the 5 folder", "٣"])
def test_numbers_of_one_or_two_digits_are_no_names(query: str) -> None:
    assert FolderNames(["2022/12", "2023/5", "٣"]).detect(query) is None


@pytest.mark.parametrize("query", ["2022/12", "snow in 2022/12", "2022-12", "snow 2022 12", "from the 2022/12 folder"])
def test_numbers_of_two_digits_are_parts_of_names(query: str) -> None:
    choice = FolderNames(["2022/12", "2022/11"]).detect(query)
    assert choice is not None
    assert choice.path == "2022/12"


@pytest.mark.parametrize("query", ["2022 calendar", "2012 olympics rings", "snow 150", "snow from 2012 to 2022"])
def test_only_a_year_at_the_end_is_a_date(query: str) -> None:
    assert FolderNames(["2022", "2012", "150"]).detect(query) is None


@pytest.mark.parametrize(
    ("folder", "query"), [("shorts", "short"), ("Short", "shorts"), ("electronics", "electronic"), ("Blues", "blue")]
)
def test_an_adjective_is_no_singular(folder: str, query: str) -> None:
    names = FolderNames([folder])
    assert names.detect(f"show me {query} photos") is None
    assert names.detect(f"show me {folder} photos") is not None


def test_folders_of_one_name_are_searched_together() -> None:
    choice = FOLDERS.detect("asleep in the cat folder")
    assert choice is not None
    assert choice.paths == ("north/cats", "south/cats")
    assert choice.also == ("south/cats",)


def test_a_folder_within_another_of_its_name_is_part_of_it() -> None:
    choice = FolderNames(["cats", "cats/cats", "home/cats"]).detect("cats")
    assert choice is not None
    assert choice.paths == ("cats", "home/cats")


def test_the_spelling_of_the_query_is_preferred() -> None:
    names = FolderNames(["a/dress", "b/dresses"])
    found = [choice.paths for query in ("dress", "dresses") if (choice := names.detect(query))]
    assert found == [("a/dress",), ("b/dresses",)]


def test_folders_without_pictures_of_their_own_are_found() -> None:
    names = FolderNames(["trips/italy/rome"])
    assert [choice.path for query in ("trips", "italy", "rome") if (choice := names.detect(query))] == [
        "trips",
        "trips/italy",
        "trips/italy/rome",
    ]


@pytest.mark.parametrize("order", [["b/cats", "a/cats", "cats"], ["cats", "a/cats", "b/cats"]])
def test_the_order_of_the_listing_does_not_matter(order: list[str]) -> None:
    choice = FolderNames(order).detect("cats")
    assert choice is not None
    assert choice.paths == ("cats", "a/cats", "b/cats")


@given(st.text(max_size=60))
def test_any_text_can_be_a_query(query: str) -> None:
    choice = FOLDERS.detect(query)
    assert choice is None or choice.path in FOLDERS.paths


@given(st.lists(st.text(max_size=20), max_size=5), st.text(max_size=30))
def test_any_text_can_be_a_folder(folders: list[str], query: str) -> None:
    choice = FolderNames(folders).detect(query)
    assert choice is None or choice.words


@pytest.mark.parametrize(
    ("asked", "folder"),
    [
        ("nature", "nature"),
        ("/nature/", "nature"),
        (" nature/beach/ ", "nature/beach"),
        ("nature//beach", "nature/beach"),
        ("NATURE", "nature"),
        ("city/night", "city/night"),
    ],
)
def test_asked_for(asked: str, folder: str) -> None:
    assert FOLDERS.resolve(asked) == folder


def test_case_decides_between_folders_that_differ_in_it() -> None:
    names = FolderNames(["Cats", "cats"])
    assert [names.resolve("Cats"), names.resolve("cats")] == ["Cats", "cats"]
    with pytest.raises(FolderNotFound, match="'Cats', 'cats'"):
        names.resolve("CATS")


@pytest.mark.parametrize(
    ("asked", "hint"),
    [("natur", "'nature'"), ("beach", "'nature/beach'"), ("nature/beech", "'nature/beach'"), ("Animal", "'animals'")],
)
def test_unknown_names_near_matches(asked: str, hint: str) -> None:
    with pytest.raises(FolderNotFound, match=rf"Did you mean .*{hint}"):
        FOLDERS.resolve(asked)


def test_unknown_without_near_matches_says_where_all_are() -> None:
    with pytest.raises(FolderNotFound, match="/api/v1/folders"):
        FOLDERS.resolve("quantum")


@pytest.mark.parametrize("word", ["it", "2023", "äpfel", "a", "tv2"])
def test_what_is_no_english_noun_has_one_form(word: str) -> None:
    assert forms_of(word) == {word}


@pytest.mark.parametrize(
    ("one", "many"),
    [("city", "cities"), ("knife", "knives"), ("foot", "feet"), ("hero", "heroes"), ("photo", "photos"),
     ("woman", "women"), ("goose", "geese"), ("potato", "potatoes"), ("bus", "buses"), ("fox", "foxes"),
     ("day", "days"), ("shelf", "shelves"), ("church", "churches"), ("series", "series"), ("analysis", "analyses")],
)  # fmt: skip
def test_singular_and_plural_know_each_other(one: str, many: str) -> None:
    assert many in forms_of(one)
    assert one in forms_of(many)


def test_inflect_comes_without_the_type_checks_that_take_seconds_to_write() -> None:
    """In a process of its own: what was imported before may have them."""
    code = """
import typeguard
from app.search.inflection import forms_of
before = typeguard.typechecked
assert "cities" in forms_of("city")
import inflect
assert typeguard.typechecked is before
assert "typeguard" not in inflect.engine.plural_noun.__code__.co_names
"""
    subprocess.run([sys.executable, "-c", code], check=True)


_paths = st.lists(
    st.sampled_from(["a/b", "a/b/c", "a/B", "cats", "Cats", "north/cats", "SunSets", "sun-sets", "2022/12", "é"]),
    max_size=6,
)


@settings(max_examples=50)
@given(st.lists(_paths, min_size=1, max_size=4))
def test_names_made_from_an_earlier_state_are_as_if_made_anew(states: list[list[str]]) -> None:
    names = None
    for folders in states:
        names, anew = FolderNames(folders, names), FolderNames(folders)
        assert names.paths == anew.paths
        for query in ("b", "a b", "from c", "cats", "Cats", "in sunsets", "2022/12", "a", "é"):
            assert names.detect(query) == anew.detect(query)
        for asked in ("A/B", "CATS", "cat", "2022", "sunset", "É"):
            assert _resolved(names, asked) == _resolved(anew, asked)


def test_earlier_names_stay_as_they_were() -> None:
    before = FolderNames(["cats", "dogs"])
    after = FolderNames(["dogs", "birds"], before)
    assert [before.detect(query) is None for query in ("cats", "dogs", "birds")] == [False, False, True]
    assert [after.detect(query) is None for query in ("cats", "dogs", "birds")] == [True, False, False]


def _resolved(names: FolderNames, asked: str) -> str:
    try:
        return names.resolve(asked)
    except FolderNotFound as error:
        return str(error)


LONG = ["nature", "nature/beach", "the/show", "t-shirts", "Ice Cream", *(f"{n}/cats" for n in range(2000))]
LONG += [f"trips/place {n}" for n in range(2000)]
NAMES = FolderNames(LONG)


@pytest.mark.parametrize(
    "unit",
    ["a-", "the ", "nature ", "nature the ", "nature-", "t-shirt-", "a_", "cats ", "trips ", "trips-", "-", "é "],
)
@pytest.mark.parametrize(("length", "seconds"), [(2_000, 0.25), (20_000, 2)])
def test_time_grows_with_the_length_of_the_query_alone(unit: str, length: int, seconds: float) -> None:
    for query in (unit * (length // len(unit)), f"nature {unit * (length // len(unit))}", f"{unit * length} nature"):
        assert min(_detecting_s(query[:length]) for _ in range(3)) < seconds


def _detecting_s(query: str) -> float:
    return _cpu_s(lambda: NAMES.detect(query))


def _cpu_s(work: Callable[[], object]) -> float:
    """CPU seconds, the garbage of other tests left alone."""
    gc.disable()
    try:
        started = time.thread_time()
        work()
        return time.thread_time() - started
    finally:
        gc.enable()


def test_one_more_folder_among_thousands_costs_little_time() -> None:
    """Making all names takes a hundred times as long."""
    folders = [*LONG, "one/more folder"]
    assert min(_cpu_s(lambda: FolderNames(folders, NAMES)) for _ in range(3)) < 0.02


def test_an_unknown_folder_among_ten_thousand_takes_at_most_50_ms() -> None:
    """Names that are alike cost most. Each is one word, which is made into a name fast."""
    random, words = Random(1), ["alpha", "beta", "summer", "winter", "holiday", "family", "garden", "city", "portrait"]
    made = [f"{random.random()}{''.join(random.choices(words, k=20))}"[:100] for _ in range(10_001)]
    asked, names = made.pop() + "x", FolderNames(made)
    assert min(_cpu_s(lambda: _resolved(names, asked)) for _ in range(7)) < 0.05


NFD = unicodedata.normalize("NFD", "Café Über/Ängste")


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_accents_may_be_stored_apart(form: str) -> None:
    """As macOS does. The path stays as it is stored."""
    assert unicodedata.normalize("NFC", NFD) != NFD
    names = FolderNames([NFD])
    choice = names.detect(unicodedata.normalize(form, "drei from ängste"))
    assert choice is not None
    assert (choice.path, choice.embedded_text) == (NFD, "drei")
    assert names.resolve(unicodedata.normalize(form, "Café Über/Ängste")) == NFD
    assert names.resolve(unicodedata.normalize(form, "/café über/")) == NFD.partition("/")[0]


def test_of_both_ways_to_store_accents_the_exact_one_is_resolved() -> None:
    composed, apart = (unicodedata.normalize(form, "été") for form in ("NFC", "NFD"))
    names = FolderNames([composed, apart])
    assert [names.resolve(composed), names.resolve(apart)] == [composed, apart]
    with pytest.raises(FolderNotFound):
        names.resolve("ÉTÉ")
    choice = names.detect("plage from été")
    assert choice is not None
    assert set(choice.paths) == {composed, apart}


def test_case_decides_among_accents_stored_apart() -> None:
    small, large = (unicodedata.normalize("NFD", name) for name in ("été", "Été"))
    assert FolderNames([small, large]).resolve("Été") == large


@pytest.mark.parametrize("name", ["हिन्दी", "ภาษาไทย", "தமிழ்"])
def test_combining_marks_are_part_of_words(name: str) -> None:
    choice = FolderNames([name, name[:1]]).detect(f"old books from {name}")
    assert choice is not None
    assert (choice.path, choice.words, choice.embedded_text) == (name, (name,), "old books")
    assert FolderNames([name[:1]]).detect(f"old books from {name}") is None


def test_a_mark_alone_is_no_word() -> None:
    choice = FOLDERS.detect("❤\ufe0f nature")
    assert choice is not None
    assert choice.words == ("nature",)


def test_a_folder_whose_name_has_outer_spaces_can_be_asked_for() -> None:
    names = FolderNames([" trips ", "trips"])
    assert [names.resolve(asked) for asked in (" trips ", "/ trips /", "trips", " trips")] == [
        " trips ",
        " trips ",
        "trips",
        "trips",
    ]


def test_of_folders_that_differ_in_case_the_one_spelled_as_in_the_query_wins() -> None:
    names = FolderNames(["Nature", "nature", "a/Nature"])
    found = [choice.paths for query in ("Nature", "nature", "NATURE") if (choice := names.detect(query))]
    assert found == [("Nature", "a/Nature"), ("nature", "a/Nature"), ("Nature", "nature", "a/Nature")]
