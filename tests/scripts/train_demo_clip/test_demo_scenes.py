"""The scene generator: what it plans, and that the picture shows it."""

import numpy as np
import pytest

from scripts.train_demo_clip.backgrounds import BACKGROUNDS, draw_background
from scripts.train_demo_clip.colours import COLOUR_NAMES, COLOURS, colour_shares, own_colours, tint
from scripts.train_demo_clip.scenes import (
    IMAGE_PX,
    MOST_OBJECTS,
    Group,
    Mix,
    Scene,
    ScenePainter,
    ScenePlanner,
    find_own_colours,
    place,
)  # fmt: skip


@pytest.fixture
def planner(vocabulary, sheet):
    return ScenePlanner(vocabulary, sheet)


@pytest.fixture(scope="module")
def rng():
    return np.random.default_rng(5)


def test_held_out_style_is_never_planned(planner, sheet, rng):
    scenes = [planner.plan(rng, Mix()) for _ in range(300)]
    assert {sheet.styles[group.style] for scene in scenes for group in scene.groups} == {"noto"}


def test_scenes_keep_to_the_limit_of_objects(planner, rng):
    scenes = [planner.plan(rng, Mix(single=0.2, several=0.9)) for _ in range(300)]
    assert all(1 <= len(scene.groups) <= 3 and 1 <= scene.objects <= MOST_OBJECTS for scene in scenes)


def test_same_seed_gives_the_same_scene(planner):
    first, second = (planner.plan(np.random.default_rng(11), Mix()) for _ in range(2))
    assert first == second


def test_a_varied_scene_differs_in_one_thing_at_most(planner, rng):
    for _ in range(100):
        scene = planner.plan(rng, Mix())
        varied = planner.vary(scene, rng, Mix())
        changed = sum(before != after for before, after in zip(scene.groups, varied.groups, strict=True))
        assert changed + (scene.background != varied.background) <= 1


def test_painting_is_seeded_and_has_the_size_of_the_model(sheet):
    painter = ScenePainter(sheet, seed=1, pool=1)
    scene = Scene((Group(0, 0, count=2),), "grass")
    first, second = (painter.paint(scene, np.random.default_rng(2)) for _ in range(2))
    assert first.shape == (IMAGE_PX, IMAGE_PX, 3)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, second)


def test_a_tinted_object_shows_its_colour(sheet):
    painter = ScenePainter(sheet, seed=1, pool=1)
    picture = painter.paint(
        Scene((Group(0, 0, tint="green"),), "plain-white"), np.random.default_rng(3), plain_style=True
    )
    opaque = np.dstack([picture, np.full(picture.shape[:2], 255, np.uint8)])
    assert colour_shares(opaque)[COLOUR_NAMES.index("green")] > 0.1


@pytest.mark.parametrize("colour", COLOUR_NAMES)
def test_each_tint_is_recognised_as_itself(sheet, colour):
    disc = sheet.pixels[0, 0].copy()
    disc[..., :3] = np.linspace(60, 220, disc.shape[0])[:, None, None].astype(np.uint8)
    shares = colour_shares(tint(disc, colour))
    assert COLOUR_NAMES[int(shares.argmax())] == colour


def test_own_colours_name_the_colour_of_a_drawing(sheet):
    assert [name for name, own in zip(COLOUR_NAMES, own_colours(sheet.pixels[0, 0]), strict=True) if own] == ["red"]
    assert find_own_colours(sheet)[1, 0, COLOUR_NAMES.index("blue")]


def test_two_objects_hardly_overlap(rng):
    for _ in range(50):
        (ax, ay), (bx, by) = place([30.0, 30.0], "sky", rng)
        assert max(abs(ax - bx), abs(ay - by)) >= 20


@pytest.mark.parametrize("kind", BACKGROUNDS)
def test_every_background_draws(kind, rng):
    picture = draw_background(kind, 48, rng)
    assert picture.size == (48, 48)
    assert picture.mode == "RGB"


def test_a_plain_backdrop_has_its_colour():
    picture = np.asarray(draw_background("plain-red", 32, np.random.default_rng(0)), float).mean((0, 1))
    assert picture[0] > 2 * max(picture[1:]) * 0.9
    assert COLOURS["red"][0] > COLOURS["red"][1]
