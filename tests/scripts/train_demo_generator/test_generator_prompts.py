"""What the training shows, and what the exam asks."""

from itertools import islice

import numpy as np

from scripts.train_demo_clip.scenes import Mix
from scripts.train_demo_generator.latents import CHUNK, plan_chunk
from scripts.train_demo_generator.prompts import STYLES, describe, exam_prompts, plan_scenes, shows_held_out


def test_training_never_shows_what_is_held_out(studio):
    scenes = list(islice(plan_scenes(studio.planner, np.random.default_rng(1), Mix(tinted=0.9, several=0.5)), 500))
    assert not any(shows_held_out(scene, studio.planner.vocabulary) for scene in scenes)


def test_every_prompt_of_the_exam_is_held_out_and_asked_once(studio):
    prompts = exam_prompts(studio.planner, studio.captioner, each=3)
    assert len({prompt.text for prompt in prompts}) == 12
    assert all(shows_held_out(prompt.scene, studio.planner.vocabulary) for prompt in prompts)
    assert prompts == exam_prompts(studio.planner, studio.captioner, each=3)


def test_the_prompt_says_what_is_held_out(studio):
    for prompt in exam_prompts(studio.planner, studio.captioner, each=3):
        group = prompt.scene.groups[0]
        assert (group.tint is not None) == (prompt.kind in ("colour", "colour and place"))
        assert (group.count > 1) == (prompt.kind == "number")


def test_a_file_of_scenes_depends_on_its_number_only(studio):
    first, again, other = (plan_chunk(studio.planner, number) for number in (3, 3, 4))
    assert len(first) == CHUNK
    assert first == again != other
    assert {studio.planner.sheet.styles[group.style] for scene in first for group in scene.groups} == set(STYLES)


def test_tints_and_numbers_are_always_named(studio):
    rng = np.random.default_rng(2)
    for scene in plan_chunk(studio.planner, 0)[:200]:
        if len(scene.groups) == 1 and scene.groups[0].tint == "purple":
            said = describe(studio.captioner, scene, rng)
            assert any(word in said for word in ("purple", "violet", "lila", "morado", "pourpre")), said
