"""The folders of the emoji sets after the documented install, and how each set names a glyph's picture.

`Sources(root)` is the folder in which `npm install` was run; the Noto font comes from the distribution.
Each style is a function glyph -> SVG text or the bytes of a picture, or None if the set does not have the glyph.
"""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

from scripts.train_demo_clip.vocabulary import Glyph, slugify

NOTO_FONT = "NotoColorEmoji.ttf"
NOTO = "noto"
HELD_OUT_STYLE = "twemoji"
SAMPLE_STYLE = "fluent-modern"

# How often a training scene uses a style; line drawings without colour are rarer.
STYLE_WEIGHTS = {
    "noto": 1.0,
    "openmoji": 1.0,
    "fluent-flat": 0.7,
    "fluent-modern": 1.2,
    "noto-v1": 1.0,
    "fxemoji": 0.9,
    "emojione": 1.0,
    "emojione-v1": 0.9,
    "openmoji-black": 0.35,
    "fluent-contrast": 0.3,
    "streamline-emojis": 1.0,
    "game-icons": 0.3,
    "fluent-3d": 1.0,
    "emojione-monotone": 0.3,
}
MONOCHROME_STYLES = frozenset({"openmoji-black", "fluent-contrast", "game-icons", "emojione-monotone"})
_ICONIFY_STYLES = (
    "noto-v1", "fxemoji", "emojione", "emojione-v1", "streamline-emojis", "game-icons", "emojione-monotone",
)  # fmt: skip
GlyphReader = Callable[[Glyph], str | bytes | None]


class Sources:
    """The installed emoji sets below `root/node_modules`."""

    def __init__(self, root: Path) -> None:
        self.modules = root / "node_modules"
        if not self.emojibase.is_dir():
            raise FileNotFoundError(f"no emoji sets in {root}: see scripts/train_demo_clip/README.md, 'Install'")

    @property
    def emojibase(self) -> Path:
        return self.modules / "emojibase-data"

    def styles(self) -> dict[str, GlyphReader]:
        """All styles but Noto, which is a font of bitmaps."""
        fluent = self.modules / "fluentui-emoji" / "icons"
        iconify = self.modules / "@iconify-json"
        return {
            HELD_OUT_STYLE: _by_code(self.modules / "@twemoji" / "svg", str.lower),
            "openmoji": _by_code(self.modules / "openmoji" / "color" / "svg", str.upper),
            "openmoji-black": _by_code(self.modules / "openmoji" / "black" / "svg", str.upper),
            "fluent-flat": _by_slug(fluent / "flat"),
            "fluent-modern": _by_slug(fluent / "modern"),
            "fluent-contrast": _by_slug(fluent / "high-contrast"),
            **{name: _by_icon(iconify / name) for name in _ICONIFY_STYLES},
            "fluent-3d": _by_picture(self.modules / "@lobehub" / "fluent-emoji-3d" / "assets"),
        }


def find_noto_font() -> Path:
    """The font of Debian's `fonts-noto-color-emoji` below /usr/share/fonts, or a user's own copy."""
    for folder in (Path("/usr/share/fonts"), Path.home() / ".fonts", Path.home() / ".local/share/fonts"):
        for path in folder.rglob(NOTO_FONT):
            return path
    raise FileNotFoundError(f"{NOTO_FONT}: install the package fonts-noto-color-emoji")


def _by_code(folder: Path, case: Callable[[str], str]) -> GlyphReader:
    def read(glyph: Glyph) -> str | None:
        bare = glyph.hexcode.replace("-FE0F", "")
        paths = (folder / f"{case(code)}.svg" for code in (glyph.hexcode, bare))
        return next((path.read_text("utf-8") for path in paths if path.is_file()), None)

    return read


def _by_picture(folder: Path) -> GlyphReader:
    def read(glyph: Glyph) -> bytes | None:
        code = glyph.hexcode.lower()
        paths = (folder / f"{name}.webp" for name in (code, code.replace("-fe0f", "")))
        return next((path.read_bytes() for path in paths if path.is_file()), None)

    return read


def _by_slug(folder: Path) -> GlyphReader:
    def read(glyph: Glyph) -> str | None:
        paths = (folder / f"{slug}{tail}.svg" for slug in _slugs(glyph) for tail in ("", "-default"))
        return next((path.read_text("utf-8") for path in paths if path.is_file()), None)

    return read


# Some sets number several drawings of a thing, or have only its face.
_ICON_TAILS = ("", "-1", "-face", "-face-1")


def _by_icon(folder: Path) -> GlyphReader:
    @cache
    def icons() -> dict:
        return json.loads((folder / "icons.json").read_text("utf-8"))

    @cache
    def names() -> dict[str, str]:
        found = {name.replace("-", ""): name for name in icons()["icons"]}
        aliases = icons().get("aliases", {})
        found.update(
            {alias.replace("-", ""): row["parent"] for alias, row in aliases.items() if set(row) == {"parent"}}
        )
        return found

    def read(glyph: Glyph) -> str | None:
        for slug in (f"{slug}{tail}" for tail in _ICON_TAILS for slug in _slugs(glyph)):
            icon = icons()["icons"].get(names().get(slug.replace("-", ""), ""))
            if icon is not None:
                side = {key: icon.get(key, icons().get(key, 16)) for key in ("left", "top", "width", "height")}
                box = f"{icon.get('left', 0)} {icon.get('top', 0)} {side['width']} {side['height']}"
                return (
                    '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
                    f'viewBox="{box}">{icon["body"]}</svg>'
                )
        return None

    return read


def _slugs(glyph: Glyph) -> list[str]:
    """The label's slug, then older names of the glyph that icon sets still use."""
    older = [slugify(name) for name in _OLDER_NAMES.get(glyph.label, ())]
    return [glyph.slug, *older, glyph.slug.replace("person-", "man-"), glyph.slug.removesuffix("-fruit")]


_OLDER_NAMES: dict[str, tuple[str, ...]] = {
    "automobile": ("car",),
    "racing car": ("race car",),
    "sun": ("sun with rays", "black sun with rays"),
    "closed umbrella": ("umbrella",),
    "glowing star": ("star 2",),
    "ear of corn": ("corn", "maize"),
    "eggplant": ("aubergine",),
    "lady beetle": ("ladybug",),
    "spouting whale": ("whale spouting",),
    "hot beverage": ("coffee",),
    "american football": ("football",),
    "high-speed train": ("highspeed train",),
    "racing bicycle": ("bike",),
    "billed cap": ("cap",),
    "graduation cap": ("mortarboard",),
    "french fries": ("fries",),
    "poultry leg": ("chicken leg",),
    "hamburger": ("burger",),
    "peanuts": ("peanut",),
    "salt": ("salt shaker",),
    "rock": ("stone",),
    "mobile phone": ("cell phone", "mobile"),
    "headphone": ("headphones",),
    "television": ("tv",),
    "laptop": ("laptop computer",),
    "thong sandal": ("flip flops",),
    "red apple": ("apple",),
    "pool 8 ball": ("billiards",),
    "bullseye": ("direct hit",),
    "soccer ball": ("football soccer",),
    "ring buoy": ("lifebuoy",),
    "running shirt": ("running shirt with sash",),
    "flat shoe": ("womans flat shoe",),
    "gloves": ("glove",),
}
