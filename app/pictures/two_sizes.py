"""One file for two models that look at the same picture in different sizes, such as an embedder and a captioner."""

import logging
from dataclasses import dataclass, replace

from PIL import Image

from app.errors import first_line
from app.pictures.decoding import Picture, ReadPicture, decode_image
from app.pictures.limits import Limits
from app.pictures.processes import Decoders
from app.pictures.resize import Resize

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TwoSizes:
    """A `ReadPicture` that decodes a file once for both models. It can be pickled."""

    first: ReadPicture
    """What it reads stays the same to the last bit."""
    second: Resize

    def __call__(self, data: bytes, limits: Limits, /) -> Picture:
        """As `first`, with `Picture.second` where the file need not be decoded again for it."""
        if not isinstance(self.first, Resize):
            picture = self.first(data, limits)
            is_whole = picture.image.size == (picture.width, picture.height)
            return replace(picture, second=self._second(picture) if is_whole else None)
        decoded = decode_image(data, limits, self.first.needed)
        image = self.first.shrink(decoded.image)
        return replace(decoded, image=image, second=image if self.second == self.first else self._second(decoded))

    def _second(self, decoded: Picture) -> Image.Image | None:
        """None where it was decoded in fewer pixels than the second model looks at, although the file has more."""
        whole, have = (decoded.width, decoded.height), decoded.image.size
        size = self.second.needed(whole) or whole
        try:
            enough = have == whole or (have[0] >= size[0] and have[1] >= size[1])
            return self.second.shrink(decoded.image) if enough else None
        except MemoryError:
            return None


def read_in_two_sizes(
    decoders: Decoders, first: ReadPicture, second: Resize | None, data: bytes, limits: Limits
) -> Picture:
    """The picture in a file as `first` reads it, and in the size of the second model, if there is one.

    Raises as `Decoders.run` for the first. What goes wrong for the second alone leaves `Picture.second` empty.
    """
    if second is None:
        return decoders.run(first, data, limits)
    picture = decoders.run(TwoSizes(first, second), data, limits)
    if picture.second is not None:
        return picture
    try:
        return replace(picture, second=decoders.run(second, data, limits).image)
    except Exception as error:  # noqa: BLE001 - the picture is not lost with its second size
        log.debug("A picture can't be decoded in a second size: %s", first_line(error))
        return picture
