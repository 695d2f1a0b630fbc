"""Which scenes the generator learns, how they are described, and the prompts of the exam that training never shows."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from zlib import crc32

import numpy as np

from scripts.train_demo_clip.captions import Captioner, Wording
from scripts.train_demo_clip.colours import COLOUR_NAMES
from scripts.train_demo_clip.scenes import Group, Mix, Scene, ScenePlanner, pick_background, pick_tint
from scripts.train_demo_clip.vocabulary import LANGUAGES, Vocabulary

# One shape of each thing, under a licence (MIT) that asks for little; the samples are drawn in it, too.
STYLES = ("fluent-flat", "fluent-modern")
_HELD_OUT_SHARE = 20  # one of this many pairs of a thing with a colour, a place or a number
# A tint and a number are always named where there is one, so "a fox" means one fox in its own colours.
WORDING = Wording(keyword=0.2, background=0.8, prefix=0.03, article=0.85)
LANGUAGE_ODDS = {"en": 0.76, "de": 0.08, "fr": 0.08, "es": 0.08}
EXAM_SEED = 770_000


def mix_of(chunk: int) -> Mix:
    """Large single things first; from the 60th thousand on, half of the scenes are more varied."""
    if chunk < 60 or chunk % 2 == 0:
        return Mix(single=0.95, tinted=0.3, several=0.15, plain=0.6, ease=1.0)
    return Mix(single=0.75, tinted=0.35, several=0.35, plain=0.5, ease=0.7)


def plan_scenes(planner: ScenePlanner, rng: np.random.Generator, mix: Mix) -> Iterator[Scene]:
    """Endless scenes without the pairs that are held out."""
    while True:
        scene = planner.plan(rng, mix, pick_background(rng, mix.plain))
        if not shows_held_out(scene, planner.vocabulary):
            yield scene


def describe(captioner: Captioner, scene: Scene, rng: np.random.Generator) -> str:
    language = str(rng.choice(LANGUAGES, p=[LANGUAGE_ODDS[name] for name in LANGUAGES]))
    return captioner.describe(scene, rng, WORDING, language).text


def is_held_out(vocabulary: Vocabulary, glyph: int, value: str | int | None) -> bool:
    """Whether training never shows this thing with this colour, place or number."""
    return crc32(f"{vocabulary.glyphs[glyph].hexcode} {value}".encode()) % _HELD_OUT_SHARE == 0


def shows_held_out(scene: Scene, vocabulary: Vocabulary) -> bool:
    return any(
        is_held_out(vocabulary, group.glyph, value)
        for group in scene.groups
        for value in (group.tint, scene.background, group.count)
        if value not in (None, 1)
    )


@dataclass(frozen=True)
class Prompt:
    """`kind` says what is held out about it; `scene` is what a picture of it shows."""

    kind: str
    text: str
    scene: Scene


def exam_prompts(planner: ScenePlanner, captioner: Captioner, each: int = 50) -> list[Prompt]:
    """`each` prompts of four kinds: a colour, a place, a number of a thing, and a coloured thing in a place."""
    rng = np.random.default_rng(EXAM_SEED)
    prompts: dict[str, Prompt] = {}
    for kind in _KINDS:
        wanted = len(prompts) + each
        while len(prompts) < wanted:
            found = _find(kind, planner, captioner, rng)
            prompts.setdefault(found.text, found)
    return [list(prompts.values())[place] for place in rng.permutation(len(prompts))]


def bare_prompts(planner: ScenePlanner, captioner: Captioner) -> list[Prompt]:
    """ "a fox": each thing alone, in random order. Training shows them, so they are no part of the exam's figure."""
    rng = np.random.default_rng(EXAM_SEED + 1)
    glyphs = [int(glyph) for glyph in rng.permutation(len(planner.vocabulary.glyphs))]
    scenes = [Scene((_group(planner, glyph, rng),), "plain-white") for glyph in glyphs]
    return [Prompt("bare", _words(captioner, scene, rng, place=False), scene) for scene in scenes]


def _group(planner: ScenePlanner, glyph: int, rng: np.random.Generator) -> Group:
    styles = np.flatnonzero(planner.sheet.present[:, glyph] & np.isin(planner.sheet.styles, STYLES))
    return Group(glyph, int(rng.choice(styles)))


def _find(kind: str, planner: ScenePlanner, captioner: Captioner, rng: np.random.Generator) -> Prompt:
    """The first random scene of this kind that is held out."""
    named, make = _KINDS[kind]
    while True:
        glyph = int(rng.integers(len(planner.vocabulary.glyphs)))
        group = _group(planner, glyph, rng)
        background = pick_background(rng, 0.3 if named else 1.0)
        scene = make(group, background, rng)
        own = captioner.own_colours[group.style, glyph]
        own_tint = scene.groups[0].tint is not None and own[COLOUR_NAMES.index(scene.groups[0].tint)]
        if shows_held_out(scene, planner.vocabulary) and not own_tint and _only(kind, scene, planner.vocabulary):
            return Prompt(kind, _words(captioner, scene, rng, place=named), scene)


def _only(kind: str, scene: Scene, vocabulary: Vocabulary) -> bool:
    """What is held out is said in the prompt."""
    place_held_out = is_held_out(vocabulary, scene.groups[0].glyph, scene.background)
    return place_held_out if kind == "place" else kind == "colour and place" or not place_held_out


def _words(captioner: Captioner, scene: Scene, rng: np.random.Generator, place: bool) -> str:
    wording = Wording(keyword=0.0, background=float(place), prefix=0.0)
    return captioner.describe(scene, rng, wording, "en").text


def _tinted(group: Group, background: str, rng: np.random.Generator) -> Scene:
    return Scene((Group(group.glyph, group.style, 1, pick_tint(background, rng)),), background)


def _several(group: Group, background: str, rng: np.random.Generator) -> Scene:
    return Scene((Group(group.glyph, group.style, int(rng.integers(2, 6))),), background)


def _alone(group: Group, background: str, _: np.random.Generator) -> Scene:
    return Scene((group,), background)


# kind -> (whether the place is named, how the scene is made)
_KINDS: dict[str, tuple[bool, Callable[[Group, str, np.random.Generator], Scene]]] = {
    "colour": (False, _tinted),
    "place": (True, _alone),
    "number": (False, _several),
    "colour and place": (True, _tinted),
}
