"""Captioners that cost nothing: what they say can be told from the picture."""

from collections.abc import Callable, Sequence

from PIL import Image

from app.models.captioner.lazy import LazyCaptioner
from app.pictures.resize import Resize

NAME = "fake/captioner@0123456789ab"
SIDE = 24
SQUARE = Resize(shortest_edge=None, width=SIDE, height=SIDE, resample=2, crops=False)


class FakeCaptioner:
    """Says the mean colour and the size of a picture, and notes how many it was shown in each batch."""

    runtime = "fake"
    resize = SQUARE

    def __init__(self, name: str = NAME, before_batch: Callable[[], object] = lambda: None) -> None:
        self.name = name
        self.batches: list[int] = []
        self.refused: set[str] = set()
        """Captions that it fails to say."""
        self._before_batch = before_batch

    @property
    def described(self) -> int:
        return sum(self.batches)

    def caption(self, images: Sequence[Image.Image]) -> list[str]:
        self._before_batch()
        self.batches.append(len(images))
        captions = [caption_of(image) for image in images]
        if not self.refused.isdisjoint(captions):
            raise RuntimeError("no words for it")
        return captions


def caption_of(image: Image.Image) -> str:
    """What a FakeCaptioner says of a picture in the size that it looks at."""
    red, green, blue = image.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))  # type: ignore[misc]
    return f"#{red:02x}{green:02x}{blue:02x} {image.width}x{image.height}"


def lazily(captioner: FakeCaptioner) -> LazyCaptioner:
    return LazyCaptioner(lambda: captioner.name, lambda: captioner.resize, lambda: captioner)
