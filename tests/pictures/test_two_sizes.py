"""A file is read for two models: the first one's picture stays as it is, to the last bit."""

import pickle
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

from app.errors import ImageTooLarge, InvalidImage
from app.pictures.decoding import Picture, decode_image
from app.pictures.limits import Limits
from app.pictures.processes import InThisProcess
from app.pictures.resize import Resize
from app.pictures.two_sizes import TwoSizes, read_in_two_sizes
from app.settings import ImageSettings
from tests.support.pictures import encoded, smooth

LIMITS = ImageSettings()
PHOTOGRAPH = encoded(smooth(1600, 1200), "JPEG")
SMALL = encoded(smooth(60, 40))


def square(side: int) -> Resize:
    return Resize(shortest_edge=None, width=side, height=side, resample=3, crops=False)


def edge(side: int) -> Resize:
    return Resize(shortest_edge=side, width=None, height=None, resample=3, crops=True)


@pytest.mark.parametrize("data", [PHOTOGRAPH, SMALL, encoded(smooth(1600, 1200))], ids=["JPEG", "small", "PNG"])
@pytest.mark.parametrize("first", [edge(32), edge(224), square(384)])
@pytest.mark.parametrize("second", [square(24), edge(224), square(900)])
def test_both_get_their_size_and_the_first_its_own_bits(data: bytes, first: Resize, second: Resize) -> None:
    both = read_in_two_sizes(InThisProcess(), first, second, data, LIMITS)
    alone = first(data, LIMITS)
    assert (both.image.tobytes(), both.image.size) == (alone.image.tobytes(), alone.image.size)
    assert (both.width, both.height, both.facts) == (alone.width, alone.height, alone.facts)
    assert both.second is not None
    assert both.second.size == second.needed((both.width, both.height))


class CountingDecoders(InThisProcess):
    def __init__(self) -> None:
        self.runs = 0

    def run(self, work: Callable[[bytes, Limits], Any], data: bytes, limits: Limits) -> Any:
        self.runs += 1
        return work(data, limits)


def runs(first: Any, second: Resize | None, data: bytes) -> int:
    decoders = CountingDecoders()
    read_in_two_sizes(decoders, first, second, data, LIMITS)
    return decoders.runs


def opaque(data: bytes, limits: Limits) -> Picture:
    """A reader that is no Resize, as those of tests are."""
    return edge(32)(data, limits)


def test_a_file_is_decoded_again_only_where_the_first_decoding_has_too_few_pixels() -> None:
    assert runs(edge(224), None, PHOTOGRAPH) == 1
    assert runs(edge(224), square(224), PHOTOGRAPH) == 1
    assert runs(edge(32), square(384), PHOTOGRAPH) == 2
    assert runs(edge(32), square(384), SMALL) == 1
    assert runs(decode_image, square(384), PHOTOGRAPH) == 1
    assert runs(opaque, square(24), PHOTOGRAPH) == 2


def test_equal_sizes_share_one_picture() -> None:
    both = TwoSizes(edge(32), edge(32))(SMALL, LIMITS)
    assert both.second is both.image


def test_it_travels_to_other_processes() -> None:
    reader = pickle.loads(pickle.dumps(TwoSizes(edge(32), square(24))))
    assert reader(SMALL, LIMITS).second.size == (24, 24)


class FailingSecond(InThisProcess):
    def run(self, work: Callable[[bytes, Limits], Any], data: bytes, limits: Limits) -> Any:
        if not isinstance(work, TwoSizes):
            raise ImageTooLarge("too much memory")
        return work(data, limits)


def test_what_fails_for_the_second_alone_costs_the_first_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    both = read_in_two_sizes(FailingSecond(), edge(32), square(384), PHOTOGRAPH, LIMITS)
    assert both.second is None
    assert both.image.tobytes() == edge(32)(PHOTOGRAPH, LIMITS).image.tobytes()

    def no_memory(self: Resize, image: Image.Image) -> Image.Image:
        raise MemoryError

    def whole(data: bytes, limits: Limits) -> Picture:
        return decode_image(data, limits)

    monkeypatch.setattr(Resize, "shrink", no_memory)
    assert TwoSizes(whole, square(24))(SMALL, LIMITS).second is None


def test_what_is_no_picture_is_refused_as_ever() -> None:
    with pytest.raises(InvalidImage):
        read_in_two_sizes(InThisProcess(), edge(32), square(24), b"no picture", LIMITS)
