"""Captions describe their scene, and are checked against other scenes."""

import numpy as np
import pytest

from scripts.train_demo_clip.captions import EXACT, LOOSE, SEVERAL, Caption, Captioner, Term, Wording, satisfies
from scripts.train_demo_clip.phrases import PHRASES, pluralise
from scripts.train_demo_clip.scenes import Group, Mix, Scene, ScenePlanner, find_own_colours
from scripts.train_demo_clip.vocabulary import LANGUAGES, Glyph, Vocabulary, with_clear_keywords

CAT, CAR, APPLE, RACER = range(4)


@pytest.fixture
def captioner(vocabulary, sheet):
    return Captioner(vocabulary, find_own_colours(sheet))


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def _fits(caption, scene, captioner):
    return bool(satisfies([caption], [scene], captioner.own_colours, len(captioner.vocabulary.glyphs))[0, 0])


def test_an_exact_caption_names_count_colour_and_place(captioner, rng):
    scene = Scene((Group(CAT, 0, count=2, tint="blue"),), "snow")
    text = captioner.describe(scene, rng, EXACT, "en").text
    assert "blue cats" in text
    assert text.split()[0] in ("two", "2") or " two " in f" {text} " or " 2 " in f" {text} "
    assert any(place in text for place in PHRASES["en"].places["snow"])


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_caption_is_true_of_its_own_scene(captioner, vocabulary, sheet, rng, language):
    planner = ScenePlanner(vocabulary, sheet)
    for wording in (EXACT, LOOSE):
        for _ in range(60):
            scene = planner.plan(rng, Mix())
            assert _fits(captioner.describe(scene, rng, wording, language), scene, captioner)


def test_a_miscounted_caption_differs_in_the_number_alone_and_is_false(captioner, vocabulary, sheet, rng):
    planner = ScenePlanner(vocabulary, sheet)
    for draws in range(60):
        scene = Scene((Group(CAT, 0, count=2 + draws % 4, tint="blue"), Group(APPLE, 0)), "snow")
        wrong = planner.miscount(scene, rng)
        right, false = (
            captioner.describe(each, np.random.default_rng(draws), Wording(), "en") for each in (scene, wrong)
        )
        assert len(set(right.text.split()) ^ set(false.text.split())) <= 4  # a number is at most two words
        assert _fits(right, scene, captioner)
        assert not _fits(false, scene, captioner)


@pytest.mark.parametrize(
    ("colour", "noun", "language"), [("rot", "katze", "de"), ("roug", "chat", "fr"), ("roj", "gato", "es")]
)
def test_colours_are_said_in_the_language(captioner, rng, colour, noun, language):
    text = captioner.describe(Scene((Group(CAT, 0, tint="red"),), "grass"), rng, EXACT, language).text
    assert colour in text
    assert noun in text


def test_a_keyword_stands_for_every_glyph_that_has_it(captioner, vocabulary):
    caption = Caption("a car", (Term(vocabulary.meanings["car"], None, 1),), None)
    assert _fits(caption, Scene((Group(CAR, 0),), "sky"), captioner)
    assert _fits(caption, Scene((Group(RACER, 0),), "sky"), captioner)
    assert not _fits(caption, Scene((Group(CAT, 0),), "sky"), captioner)


def test_a_colour_is_true_of_tinted_and_of_naturally_coloured_objects(captioner, sheet):
    red_car = Caption("a red car", (Term(frozenset({CAR}), "red", 1),), None)
    noto, held_out = sheet.styles.index("noto"), sheet.styles.index("twemoji")
    assert _fits(red_car, Scene((Group(CAR, noto),), "sky"), captioner)
    assert _fits(red_car, Scene((Group(CAR, held_out, tint="red"),), "sky"), captioner)
    assert not _fits(red_car, Scene((Group(CAR, held_out),), "sky"), captioner)
    assert not _fits(red_car, Scene((Group(CAR, noto, tint="blue"),), "sky"), captioner)


def test_counts_are_exact_unless_vague(captioner):
    three = Scene((Group(APPLE, 0, count=3),), "grass")
    assert not _fits(Caption("two apples", (Term(frozenset({APPLE}), None, 2),), None), three, captioner)
    assert _fits(Caption("some apples", (Term(frozenset({APPLE}), None, SEVERAL),), None), three, captioner)
    assert not _fits(
        Caption("some apples", (Term(frozenset({APPLE}), None, SEVERAL),), None),
        Scene((Group(APPLE, 0),), "sea"),
        captioner,
    )


def test_the_place_counts_where_it_is_said(captioner):
    at_night = Caption("a cat at night", (Term(frozenset({CAT}), None, 1),), "night")
    assert _fits(at_night, Scene((Group(CAT, 0),), "night"), captioner)
    assert not _fits(at_night, Scene((Group(CAT, 0),), "grass"), captioner)


def test_all_terms_must_hold(captioner):
    pair = Caption("a cat and a car", (Term(frozenset({CAT}), None, 1), Term(frozenset({CAR}), None, 1)), None)
    assert _fits(pair, Scene((Group(CAR, 0), Group(CAT, 0)), "sky"), captioner)
    assert not _fits(pair, Scene((Group(CAT, 0),), "sky"), captioner)


@pytest.mark.parametrize(
    ("name", "language", "plural"),
    [
        ("red apple", "en", "red apples"), ("bus", "en", "buses"), ("strawberry", "en", "strawberries"),
        ("mouse", "en", "mice"), ("peach", "en", "peaches"), ("glasses", "en", "glasses"),
        ("pomme rouge", "fr", "pommes rouges"), ("bateau", "fr", "bateaux"),
        ("voiture de course", "fr", "voitures de course"),
        ("manzana roja", "es", "manzanas rojas"), ("pez", "es", "peces"),
        ("coche de carreras", "es", "coches de carreras"),
    ],
)  # fmt: skip
def test_plurals(name, language, plural, rng):
    assert pluralise(name, language, rng) == plural


def test_a_keyword_that_is_the_name_of_another_thing_is_said_of_that_thing_alone(vocabulary):
    keywords = {language: ("cat", "skeleton") if language == "en" else () for language in LANGUAGES}
    bone = Glyph("1F004", "bone", 1, dict.fromkeys(LANGUAGES, "bone"), keywords)
    world = Vocabulary(with_clear_keywords([*vocabulary.glyphs, bone]))
    assert world.glyphs[4].clear_keywords["en"] == ("skeleton",)
    assert world.caption_meanings["cat"] == {world.by_label["cat"]}
    assert world.meanings["cat"] == {world.by_label["cat"], 4}


def test_in_the_dictionary_a_name_means_its_own_thing(vocabulary, sheet):
    captioner, rng = Captioner(vocabulary, find_own_colours(sheet)), np.random.default_rng(0)
    entries = [captioner.pick_entry(vocabulary.by_label["automobile"], "en", rng) for _ in range(60)]
    said = {text.removeprefix("a ").removeprefix("an ").removeprefix("the "): meaning for text, meaning in entries}
    assert said["automobile"] == {vocabulary.by_label["automobile"]}
    assert said["car"] == {vocabulary.by_label["automobile"], vocabulary.by_label["racing car"]}
