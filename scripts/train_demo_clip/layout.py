"""The places of the objects in a sample picture: on the ground, in the water, in the air, in one or two rows.

All lengths are shares of the square's side; `arrange` returns (x, y of the foot or middle, size) per object.
"""

from dataclasses import dataclass

import numpy as np

AIRBORNE = frozenset(
    {
        *(
            "sun",
            "cloud",
            "cloud with rain",
            "rainbow",
            "star",
            "crescent moon",
            "full moon",
            "ringed planet",
            "tornado",
        ),
        *("airplane", "helicopter", "rocket", "flying saucer", "parachute", "kite", "snowflake", "maple leaf"),
        *("eagle", "dove", "bat", "owl", "butterfly", "dragon"),
    }
)
GROUNDED = frozenset({"grass", "sand", "snow", "room", "sunset-land", "night"})


@dataclass(frozen=True)
class Item:
    """One object to draw: label, tint (None: its own colours), relative size."""

    label: str
    tint: str | None
    scale: float


@dataclass(frozen=True)
class Spot:
    x: float
    y: float
    size: float
    stands: bool  # y is the foot on the ground, else the middle


def arrange(items: list[Item], background: str, rng: np.random.Generator) -> list[Spot]:
    """One spot for each item, from back to front."""
    if all(item.label in AIRBORNE for item in items) or background.startswith("plain") or background == "sky":
        return _float(items, background, rng)
    base = {"sea": 0.7, "sunset-sea": 0.84, "night": 0.9, "sunset-land": 0.9}.get(background, 0.84)
    return _stand(items, base, rng)


_SIZES = {1: 0.5, 2: 0.38, 3: 0.28, 4: 0.22}


def _stand(items: list[Item], base: float, rng: np.random.Generator) -> list[Spot]:
    """Side by side, with small steps in depth, so that a row does not look mechanical."""
    size = _SIZES[min(len(items), 4)]
    widths = np.array([item.scale * size for item in items])
    gap = 0.03 if len(items) > 1 else 0.0
    left = 0.5 - (widths.sum() + gap * (len(items) - 1)) / 2
    spots = []
    for place, (item, width) in enumerate(zip(items, widths, strict=True)):
        step = 0.045 * (place % 2) * (1 if len(items) > 2 else -0.4)
        foot = base - step + (0.03 if item.scale > 1.15 else 0.0) + rng.uniform(-0.012, 0.012)
        airborne = item.label in AIRBORNE
        spots.append(Spot(left + width / 2, 0.3 if airborne else foot, width, not airborne))
        left += width + gap
    return spots


def _float(items: list[Item], background: str, rng: np.random.Generator) -> list[Spot]:
    """In the air, or spread out on a plain background."""
    middle = 0.5 if background.startswith("plain") or background == "sky" else 0.4
    size = {1: 0.58, 2: 0.42, 3: 0.36, 4: 0.34}[min(len(items), 4)]
    if background not in ("sky",) and not background.startswith("plain"):
        size *= 0.86
    return [
        Spot(x, middle + dy, size * item.scale, stands=False)
        for item, (x, dy) in zip(items, _pattern(len(items), rng), strict=True)
    ]


def _pattern(count: int, rng: np.random.Generator) -> list[tuple[float, float]]:
    wobble = rng.uniform(-0.015, 0.015)
    return {
        1: [(0.5 + wobble, wobble)],
        2: [(0.27, 0.05), (0.73, -0.05)],
        3: [(0.27, 0.16), (0.5, -0.2), (0.73, 0.16)],
    }.get(count, [(0.28, -0.21), (0.72, -0.21), (0.28, 0.21), (0.72, 0.21)])
