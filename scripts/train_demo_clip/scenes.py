"""A scene: up to three groups of objects on a background, planned first and then painted.

`ScenePlanner` decides the contents of the picture; `ScenePainter.paint` turns them into (96, 96, 3) uint8.
"""

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from scripts.train_demo_clip.backgrounds import BACKGROUNDS, DRAWN, HORIZON, PLAIN, draw_background
from scripts.train_demo_clip.colours import COLOUR_NAMES, own_colours, tint
from scripts.train_demo_clip.sources import HELD_OUT_STYLE, MONOCHROME_STYLES, STYLE_WEIGHTS
from scripts.train_demo_clip.sprites import SpriteSheet
from scripts.train_demo_clip.vocabulary import Vocabulary

IMAGE_PX = 96
MOST_OBJECTS = 6
_POOL_PX = 120
_DARK = frozenset({"night", "plain-black", "plain-brown", "plain-purple"})
# Tints that would be invisible on a background are not used there.
_CLASHES = {
    "grass": {"green"}, "snow": {"white", "grey"}, "night": {"black", "blue"}, "sky": {"blue"}, "sea": {"blue"},
    "sand": {"yellow", "orange"}, "sunset": {"orange", "purple"}, "room": {"brown"},
}  # fmt: skip


@dataclass(frozen=True)
class Group:
    """`count` copies of one glyph in one style; `tint` None keeps the drawing's own colours."""

    glyph: int
    style: int
    count: int = 1
    tint: str | None = None


@dataclass(frozen=True)
class Scene:
    groups: tuple[Group, ...]
    background: str

    @property
    def objects(self) -> int:
        return sum(group.count for group in self.groups)


@dataclass(frozen=True)
class Mix:
    """How varied the scenes are: shares of scenes with one group, of tinted groups, of groups of several objects ..."""

    single: float = 0.62
    tinted: float = 0.35
    several: float = 0.28
    plain: float = 0.3
    ease: float = 0.0  # 1: large upright objects, at the start of the curriculum; 0: every size and angle


class ScenePlanner:
    """Makes random scenes from the given styles; by default from all but the held-out style."""

    def __init__(self, vocabulary: Vocabulary, sheet: SpriteSheet, styles: tuple[str, ...] | None = None) -> None:
        weights = STYLE_WEIGHTS if styles is None else {style: STYLE_WEIGHTS.get(style, 1.0) for style in styles}
        assert styles is not None or HELD_OUT_STYLE not in weights
        self.vocabulary, self.sheet = vocabulary, sheet
        row = np.array([weights.get(style, 0.0) for style in sheet.styles])[:, None] * sheet.present
        self._style_odds = row / np.maximum(row.sum(0), 1e-9)
        self._glyphs = np.flatnonzero(row.sum(0) > 0)
        self._monochrome = np.array([style in MONOCHROME_STYLES for style in sheet.styles])
        self._siblings = self._find_siblings()

    def made_of(self) -> dict[str, list[str]]:
        """What decides which scenes come out, apart from the seed."""
        used = [style for style, odds in zip(self.sheet.styles, self._style_odds.sum(1), strict=True) if odds > 0]
        return {"styles": used, "glyphs": [glyph.hexcode for glyph in self.vocabulary.glyphs]}

    def plan(self, rng: np.random.Generator, mix: Mix, background: str | None = None) -> Scene:
        """One random scene, on `background` if it is given."""
        background = background or pick_background(rng, mix.plain)
        roll = rng.random()
        kinds = 1 if roll < mix.single else 2 if roll < mix.single + (1 - mix.single) * 0.7 else 3
        glyphs = rng.choice(self._glyphs, kinds, replace=False)
        groups: list[Group] = []
        for glyph in glyphs:
            room = MOST_OBJECTS - sum(group.count for group in groups) - (kinds - len(groups) - 1)
            count = min(room, 2 + int(rng.integers(0, 4))) if rng.random() < mix.several else 1
            groups.append(self._group(int(glyph), max(1, count), background, rng, mix.tinted))
        return Scene(tuple(groups), background)

    def vary(self, scene: Scene, rng: np.random.Generator, mix: Mix) -> Scene:
        """The same scene with one thing changed: colour, number, background or object."""
        place = int(rng.integers(len(scene.groups)))
        group, change = (
            scene.groups[place],
            rng.choice(["colour", "count", "background", "glyph"], p=[0.28, 0.47, 0.13, 0.12]),
        )
        if change == "background":
            return replace(scene, background=pick_background(rng, mix.plain))
        if change == "colour":
            group = replace(group, tint=pick_tint(scene.background, rng))
        elif change == "count":
            most = MOST_OBJECTS - scene.objects + group.count
            group = replace(group, count=int(rng.integers(1, most + 1)))
        else:
            glyph = int(rng.choice(self._siblings[group.glyph]))
            group = self._group(glyph, group.count, scene.background, rng, 0.0, group.tint)
        return replace(scene, groups=(*scene.groups[:place], group, *scene.groups[place + 1 :]))

    def miscount(self, scene: Scene, rng: np.random.Generator) -> Scene:
        """The same scene; one of its groups of several objects has another number, at least 2."""
        place = int(rng.choice([number for number, group in enumerate(scene.groups) if group.count > 1]))
        group = scene.groups[place]
        wrong = int(rng.choice([count for count in range(2, MOST_OBJECTS + 1) if count != group.count]))
        return replace(scene, groups=(*scene.groups[:place], replace(group, count=wrong), *scene.groups[place + 1 :]))

    def _group(
        self,
        glyph: int,
        count: int,
        background: str,
        rng: np.random.Generator,
        tinted: float,
        colour: str | None = None,
    ) -> Group:
        style = int(rng.choice(len(self.sheet.styles), p=self._style_odds[:, glyph]))
        if background in _DARK and self._monochrome[style]:
            odds = np.where(self._monochrome, 0, self._style_odds[:, glyph])
            style = int(rng.choice(len(odds), p=odds / odds.sum())) if odds.sum() > 0 else style
        if colour is None and rng.random() < tinted:
            colour = pick_tint(background, rng)
        return Group(glyph, style, count, colour)

    def _find_siblings(self) -> list[np.ndarray]:
        groups = np.array([glyph.subgroup for glyph in self.vocabulary.glyphs])
        kin = [self._glyphs[groups[self._glyphs] == own] for own in groups]
        return [row if len(row) > 1 else self._glyphs for row in kin]


def pick_background(rng: np.random.Generator, plain: float) -> str:
    if rng.random() < plain:
        return "plain-white" if rng.random() < 0.3 else str(rng.choice(PLAIN))
    return str(rng.choice(DRAWN))


def pick_tint(background: str, rng: np.random.Generator) -> str:
    clashes = _CLASHES.get(background, {background.removeprefix("plain-")})
    return str(rng.choice([name for name in COLOUR_NAMES if name not in clashes]))


class ScenePainter:
    """Paints scenes: sprites on a background from a pool."""

    def __init__(self, sheet: SpriteSheet, seed: int, pool: int = 48) -> None:
        rng = np.random.default_rng(seed)
        self.sheet = sheet
        self._pool = {kind: [draw_background(kind, _POOL_PX, rng) for _ in range(pool)] for kind in BACKGROUNDS}

    def paint(self, scene: Scene, rng: np.random.Generator, plain_style: bool = False, ease: float = 0.0) -> np.ndarray:
        """(96, 96, 3) uint8; `plain_style` leaves out the augmentations for training; `ease` as in `Mix`."""
        canvas = self._backdrop(scene.background, rng)
        sizes = self._sizes(scene, rng, ease)
        centres = place(sizes, scene.background, rng)
        members = [group for group in scene.groups for _ in range(group.count)]
        for group, size, centre in zip(members, sizes, centres, strict=True):
            sprite = self._sprite(group, size, rng, ease)
            canvas.paste(sprite, (round(centre[0] - sprite.width / 2), round(centre[1] - sprite.height / 2)), sprite)
        return np.asarray(canvas if plain_style else degrade(canvas, rng))

    def _backdrop(self, kind: str, rng: np.random.Generator) -> Image.Image:
        whole = self._pool[kind][rng.integers(len(self._pool[kind]))]
        side = int(rng.integers(IMAGE_PX, _POOL_PX + 1))
        x, y = rng.integers(0, _POOL_PX - side + 1, 2)
        crop = whole.resize(
            (IMAGE_PX, IMAGE_PX), Image.Resampling.BILINEAR, (int(x), int(y), int(x) + side, int(y) + side)
        )
        return crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else crop

    def _sizes(self, scene: Scene, rng: np.random.Generator, ease: float) -> list[float]:
        low, high = _SIZE_RANGES[min(scene.objects, len(_SIZE_RANGES)) - 1]
        low += 0.75 * ease * (high - low)
        sizes = []
        for group in scene.groups:
            size = rng.uniform(low, high) * IMAGE_PX
            sizes += [size * rng.uniform(0.88, 1.12) for _ in range(group.count)]
        return sizes

    def _sprite(self, group: Group, size: float, rng: np.random.Generator, ease: float) -> Image.Image:
        stretch = rng.uniform(0.88, 1.13) ** (1 - ease)
        width, height = max(8, round(size * stretch)), max(8, round(size / stretch))
        sprite = Image.fromarray(self.sheet.pixels[group.style, group.glyph]).resize(
            (width, height), Image.Resampling.BILINEAR
        )
        if rng.random() < 0.5 - 0.4 * ease:
            sprite = sprite.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if group.tint is not None:
            sprite = Image.fromarray(tint(np.asarray(sprite), group.tint))
        elif rng.random() < 0.3:
            alpha = sprite.getchannel("A")
            sprite = ImageEnhance.Color(sprite.convert("RGB")).enhance(rng.uniform(0.6, 1.3))
            sprite.putalpha(alpha)
        angle = rng.uniform(-45, 45) if rng.random() < 0.15 else rng.normal(0, 9)
        turned = rng.random() < 0.7 * (1 - ease)
        return sprite.rotate(angle, Image.Resampling.BILINEAR, expand=True) if turned else sprite


# Side of an object as a share of the picture, by the number of objects.
_SIZE_RANGES = ((0.36, 0.92), (0.3, 0.52), (0.27, 0.42), (0.25, 0.36), (0.22, 0.32), (0.2, 0.3))


def place(sizes: list[float], background: str, rng: np.random.Generator) -> list[tuple[float, float]]:
    """Centres with little overlap, the best of a few tries; if there is a ground, on it in half of the scenes."""
    grounded = background in HORIZON and rng.random() < 0.5
    done: list[tuple[float, float, float]] = []
    for size in sizes:
        best: tuple[float, float, float] | None = None
        lowest = float("inf")
        for _ in range(14):
            x, y = _spot(size, grounded, rng)
            crowding = sum(max(0.0, (size + other) * 0.5 - max(abs(x - px), abs(y - py))) for px, py, other in done)
            if crowding < lowest:
                best, lowest = (x, y, size), crowding
            if crowding == 0:
                break
        assert best is not None
        done.append(best)
    return [(x, y) for x, y, _ in done]


def _spot(size: float, grounded: bool, rng: np.random.Generator) -> tuple[float, float]:
    half = size * 0.47
    low, high = half, max(half + 1, IMAGE_PX - half)
    top = min(high - 1, max(low, IMAGE_PX * 0.5)) if grounded else low
    return rng.uniform(low, high), rng.uniform(top, high)


def degrade(canvas: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Change light, contrast and sharpness, as cameras and thumbnails do."""
    if rng.random() < 0.3:
        canvas = ImageEnhance.Brightness(canvas).enhance(rng.uniform(0.8, 1.2))
    if rng.random() < 0.3:
        canvas = ImageEnhance.Contrast(canvas).enhance(rng.uniform(0.8, 1.2))
    if rng.random() < 0.12:
        canvas = canvas.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 0.9)))
    return canvas


def find_own_colours(sheet: SpriteSheet) -> np.ndarray:
    """(S, G, 11) bool: the colours of each drawing without a tint; none for line drawings."""
    table = np.zeros((*sheet.present.shape, len(COLOUR_NAMES)), bool)
    for style, glyph in zip(*np.nonzero(sheet.present), strict=True):
        if sheet.styles[style] not in MONOCHROME_STYLES:
            table[style, glyph] = own_colours(sheet.pixels[style, glyph, ::3, ::3])
    return table
