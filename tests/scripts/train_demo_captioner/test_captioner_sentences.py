"""Sentences say what a scene shows, and the exam reads captions back into the same facts."""

import numpy as np
import pytest

from scripts.train_demo_captioner.reading import Claim, Reader, mark
from scripts.train_demo_captioner.sentences import Writer, find_clear_colours, read_nouns
from scripts.train_demo_clip.scenes import Group, Mix, Scene, ScenePlanner, find_own_colours

CAT, CAR, APPLE, RACER = range(4)
NOTO, TWEMOJI = range(2)


@pytest.fixture
def writer(vocabulary, sheet):
    return Writer(vocabulary, find_clear_colours(sheet))


@pytest.fixture
def reader(vocabulary):
    return Reader(vocabulary)


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.mark.parametrize(
    ("group", "background", "sentence"),
    [
        (Group(CAT, NOTO, 2, "black"), "snow", "two black cats in the snow"),
        (Group(CAR, NOTO), "plain-orange", "a red car on an orange background"),
        (Group(APPLE, TWEMOJI), "grass", "a red apple on the grass"),
        (Group(APPLE, NOTO, 3, "orange"), "night", "three orange apples at night"),
        (Group(CAT, NOTO, 1, "orange"), "room", "an orange cat in a room"),
    ],
)
def test_a_sentence_says_number_colour_thing_and_place(writer, rng, group, background, sentence):
    assert writer.describe(Scene((group,), background), rng) == sentence


def test_several_things_are_listed(writer, rng):
    groups = (Group(CAT, NOTO, 1, "white"), Group(CAR, NOTO, 2, "blue"), Group(RACER, NOTO, 1, "pink"))
    sentence = writer.describe(Scene(groups, "sand"), rng)
    assert sentence.endswith(" on the beach")
    assert sentence.count(" and ") == sentence.count(", ") == 1


def test_the_captioner_has_a_token_for_every_word(writer, vocabulary, sheet, rng):
    from scripts.train_demo_captioner.tokens import build_tokenizer  # imports transformers, which takes seconds

    tokenizer, planner = build_tokenizer(writer.all_words()), ScenePlanner(vocabulary, sheet)
    for _ in range(60):
        sentence = writer.describe(planner.plan(rng, Mix()), rng)
        tokens = tokenizer(sentence)["input_ids"]
        assert len(tokens) == len(sentence.replace(",", " ,").split()) + 2
        assert tokenizer.decode(tokens, skip_special_tokens=True) == sentence


@pytest.mark.parametrize(
    ("caption", "claims"),
    [
        ("two red cars in the snow", [Claim(frozenset({CAR, RACER}), 2, "red")]),
        ("a gray kitten under the stars", [Claim(frozenset({CAT}), 1, "grey")]),
        ("a picture of six automobiles on a red background", [Claim(frozenset({CAR}), 6, None)]),
        ("a red apple", [Claim(frozenset({APPLE}), 1, "red")]),
        ("a green apple and 3 racing cars, in front of a blue wall",
         [Claim(frozenset({APPLE}), 1, "green"), Claim(frozenset({RACER}), 3, None)]),
        ("something else in a room", []),
        ("", []),
    ],
)  # fmt: skip
def test_captions_written_by_hand_are_read(reader, caption, claims):
    assert reader.read(caption) == claims


def _marks(reader, writer, sheet, caption, *groups):
    return mark(reader.read(caption), Scene(groups, "grass"), writer, find_own_colours(sheet))


def test_every_sentence_is_right_about_its_own_scene(reader, writer, vocabulary, sheet, rng):
    planner, own = ScenePlanner(vocabulary, sheet), find_own_colours(sheet)
    for _ in range(100):
        scene = planner.plan(rng, Mix())
        marks = mark(reader.read(writer.describe(scene, rng)), scene, writer, own)
        assert all(row.named and row.counted and row.coloured is not False for row in marks.groups)
        assert marks.true_things == marks.things == len(scene.groups)


def test_each_fact_is_marked_by_itself(reader, writer, sheet):
    two_cats, blue_car = Group(CAT, NOTO, 2, "white"), Group(CAR, NOTO, 1, "blue")
    marks = _marks(reader, writer, sheet, "three white cats and a green car", two_cats, blue_car)
    cats, car = marks.groups
    assert (cats.named, cats.counted, cats.coloured, cats.several) == (True, False, True, True)
    assert (car.named, car.counted, car.coloured, car.several) == (True, True, False, False)


def test_one_thing_named_twice_stands_for_one_group(reader, writer, sheet):
    marks = _marks(reader, writer, sheet, "a cat and a cat", Group(CAT, NOTO), Group(APPLE, NOTO))
    assert [row.named for row in marks.groups] == [True, False]
    assert marks.true_things == 2


def test_a_group_that_the_caption_leaves_out_is_wrong_in_everything(reader, writer, sheet):
    marks = _marks(reader, writer, sheet, "", Group(CAT, NOTO, 1, "pink"))
    assert [(row.named, row.counted, row.coloured) for row in marks.groups] == [(False, False, False)]


def test_nouns_are_those_that_people_say(vocabulary):
    assert [(noun.one, noun.many, noun.colour) for noun in read_nouns(vocabulary)] == [
        ("cat", "cats", None), ("car", "cars", None), ("apple", "apples", "red"), ("racing car", "racing cars", None),
    ]  # fmt: skip
