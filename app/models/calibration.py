"""The pictures and texts that 8-bit arithmetic is fitted to and compared on."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from PIL import Image

from app.pictures.decoding import ReadPicture
from app.settings import ImageSettings

SAMPLES: Final = Path(__file__).parents[2] / "samples"
"""The pictures that are part of the repository."""

MOST_PICTURES: Final = 256
"""Most pictures that one fitting uses."""

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
    """Pictures to fit 8-bit arithmetic to."""

    source: str
    """Where they come from, as people read it: "fitted to the sample pictures"."""
    own: bool
    """Whether they are the user's own pictures. A fitting to these replaces one to the sample pictures."""
    pictures: Callable[[ReadPicture], Iterable[Image.Image | None]]
    """Reads them as the model does when they are needed, at most MOST_PICTURES. Files that can't be read are left out.
    None comes while the next one is being read: time to check for a stop."""


def sample_calibration() -> Calibration | None:
    """The sample pictures of the repository. None when the program was installed without them."""
    paths = spread(sorted(SAMPLES.rglob("*.jpg")), MOST_PICTURES)
    if not paths:
        return None

    def pictures(read: ReadPicture) -> Iterator[Image.Image]:
        limits = ImageSettings()
        for path in paths:
            yield read(path.read_bytes(), limits).image

    return Calibration("the sample pictures", False, pictures)


def calibration_texts() -> list[str]:
    """144 short and long texts."""
    others = itertools.cycle(_THINGS[5:] + _THINGS[:5])
    return [
        wording.format(thing, other=other)
        for (wording, thing), other in zip(itertools.product(_WORDINGS, _THINGS), others, strict=False)
    ]


def spread(items: Sequence[Item], most: int) -> Sequence[Item]:
    """At most `most` items, evenly spaced over the whole list."""
    return [items[number * len(items) // most] for number in range(most)] if len(items) > most else items
