"""What 8-bit arithmetic is fitted to and judged on: picture files, and texts as people type them."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

SAMPLES: Final = Path(__file__).parents[2] / "samples"
"""The pictures that a checkout ships with."""

MOST_PICTURES: Final = 256

Item = TypeVar("Item")

_THINGS: Final = (
    *("dog", "sailboat", "bowl of fruit", "city street", "woman with an umbrella", "striped shirt", "mountain", "bird"),
    *("old church", "running shoes", "birthday cake", "two children", "car", "wooden chair", "market", "bridge"),
)
_WORDINGS: Final = (
    *("{}", "a photo of a {}", "{} at night", "red {}", "an old picture of a {} in the rain", "the {} we saw"),
    *("{} on a white background", "a small {} next to a very large {other}, seen from above", "{} and {other}"),
)


@dataclass(frozen=True)
class Calibration:
    """`files` reads the pictures when they are needed, at most MOST_PICTURES of them."""

    source: str
    """Which they are, as in "fitted to ..."."""
    own: bool
    """Whether they are the user's own, which are worth more."""
    files: Callable[[], Iterable[bytes]]


def sample_calibration() -> Calibration | None:
    """On the pictures of the checkout; None where the program was installed without one."""
    paths = spread(sorted(SAMPLES.rglob("*.jpg")), MOST_PICTURES)
    return Calibration("the sample pictures", False, lambda: map(Path.read_bytes, paths)) if paths else None


def calibration_texts() -> list[str]:
    """Short and long ones, 144 of them."""
    others = itertools.cycle(_THINGS[5:] + _THINGS[:5])
    return [
        wording.format(thing, other=other)
        for (wording, thing), other in zip(itertools.product(_WORDINGS, _THINGS), others, strict=False)
    ]


def spread(items: Sequence[Item], most: int) -> Sequence[Item]:
    """At most so many of them, from everywhere in the list."""
    return [items[number * len(items) // most] for number in range(most)] if len(items) > most else items
