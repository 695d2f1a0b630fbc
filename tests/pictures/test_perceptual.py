"""Perceptual hashes: the bits of imagehash, near for copies of every kind, far for other pictures."""

from collections.abc import Callable

import imagehash
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps
from PIL.Image import Transpose

from app.pictures.decoding import decode_image
from app.pictures.perceptual import PART_BYTES, PARTS, perceptual_hash, read_hashes, turned
from app.settings import ImageSettings
from tests.support.pictures import encoded, quarters

NO_HASH = np.zeros((PARTS, PART_BYTES), np.uint8)


def photo(seed: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """Colours with large shapes and small ones, as photographs have."""
    rng = np.random.default_rng(seed)
    layers = [rng.normal(0, 90 / side**0.5, (side, side, 3)) for side in (2, 4, 8, 16, 32)]
    grown = [
        np.stack(
            [np.asarray(Image.fromarray(layer[..., band]).resize(size, Image.Resampling.BICUBIC)) for band in range(3)],
            -1,
        )
        for layer in layers
    ]
    return Image.fromarray(np.clip(np.sum(grown, axis=0) * 2 + 120, 0, 255).astype(np.uint8))


def bits_between(one: str, other: str) -> int:
    """The smallest distance of any two parts."""
    parts, others = (read_hashes([text])[0] for text in (one, other))
    return int(min(np.bitwise_count(a ^ b).sum() for a in parts for b in others))


@pytest.mark.parametrize("size", [(40, 30), (300, 224), (7, 300)])
@pytest.mark.parametrize("seed", range(3))
def test_the_bits_are_those_of_imagehash(size: tuple[int, int], seed: int) -> None:
    image = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8))
    assert perceptual_hash(image)[:64] == str(imagehash.phash(image, hash_size=16))


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image.resize((160, 120)),
        lambda image: decode_image(encoded(image, "JPEG", quality=20), ImageSettings()).image,
        lambda image: ImageEnhance.Brightness(image).enhance(1.3),
        lambda image: image.crop((16, 12, 304, 228)),
        lambda image: ImageOps.expand(image, 12, "white"),
        lambda image: ImageOps.expand(image, (40, 0), "black"),
        lambda image: decode_image(encoded(ImageOps.expand(image, 30, "navy"), "JPEG"), ImageSettings()).image,
    ],
    ids=["smaller", "recompressed", "brighter", "cropped", "framed", "letterboxed", "wide frame"],
)
def test_the_hash_of_a_copy_is_near(change: Callable[[Image.Image], Image.Image]) -> None:
    for seed in range(4):
        assert bits_between(perceptual_hash(photo(seed)), perceptual_hash(change(photo(seed)))) <= 40
        assert bits_between(perceptual_hash(photo(seed + 1)), perceptual_hash(change(photo(seed)))) > 72


def test_turned_and_flipped_copies_are_derived_from_the_bits() -> None:
    seen = turned(read_hashes([perceptual_hash(photo(1))])[:, 0])
    for kind in (None, *Transpose):
        copy = photo(1) if kind is None else photo(1).transpose(kind)
        part = read_hashes([perceptual_hash(copy)])[:, 0]
        near = [number for number, other in enumerate(seen) if np.bitwise_count(part ^ other).sum() <= 24]
        assert len(near) == 1
        seen[near[0]] = np.bitwise_not(part)  # each kind is another one of the eight
    assert len(seen) == len(Transpose) + 1


def test_only_a_frame_adds_a_part() -> None:
    assert len(perceptual_hash(photo(2))) == 128
    assert len(perceptual_hash(ImageOps.expand(photo(2), 9, "red"))) == 192
    assert len(perceptual_hash(Image.new("RGB", (60, 40), "red"))) == 128
    assert len(perceptual_hash(quarters(1, 1))) == 128


def test_a_flat_picture_has_no_bits_but_the_first() -> None:
    assert {perceptual_hash(Image.new("RGB", (60, 40), colour)) for colour in ("red", "white", "navy")} == {
        ("8" + "0" * 63) * 2
    }


def test_what_is_no_hash_is_read_as_zeros() -> None:
    good = "0f" * 32 + "1e" * 32
    read = read_hashes([good, "", "0f" * 8, "x" * 128, good + "2d" * 32, "é" * 192])
    assert read[0].tolist() == [[0x0F] * 32, [0x1E] * 32, [0x0F] * 32]
    assert read[4].tolist() == [[0x0F] * 32, [0x1E] * 32, [0x2D] * 32]
    assert all((read[place] == NO_HASH).all() for place in (1, 2, 3, 5))
    assert read_hashes([]).shape == (0, PARTS, PART_BYTES)
