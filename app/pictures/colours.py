"""Pixels to 8-bit sRGB as a person would see them: profiles, deep samples, transparency.

A large picture is converted in strips, so that only its pixels as they were decoded are in memory as a whole.
"""

import io
import math
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from PIL import Image, ImageChops, ImageCms

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Convert: TypeAlias = Callable[[Image.Image], Image.Image]

STRIP_PIXELS: Final = 1_000_000
"""Pixels that are converted at a time."""

SRGB: Final = ImageCms.createProfile("sRGB")

NEAR: Final = 2
"""A profile whose colours differ from sRGB by at most this (of 255) is taken for sRGB."""

_SPACES: Final = {"RGB": "RGB", "CMYK": "CMYK", "GRAY": "L"}
"""Pillow's modes for the colour spaces of profiles."""

SAMPLE_SIDE: Final = 256
"""Side of the small copy that decides about a picture's background."""

LIGHT: Final = 230
"""Values above this (of 255) can't be told from white."""

_WHITES: Final = (255.0, 1023.0, 4095.0, 16383.0, 65535.0)
"""The values of white in 8, 10, 12, 14 and 16 bits."""


def has_alpha(image: Image.Image) -> bool:
    return image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info


def is_deep(image: Image.Image) -> bool:
    """Whether the samples are grey values of more than 8 bits."""
    return image.mode.startswith("I") or image.mode == "F"


def to_srgb(image: Image.Image, factor: int = 1) -> Image.Image:
    """The picture in RGB, smaller by a whole `factor`: each new pixel is the mean of `factor` x `factor` old ones."""
    convert = _conversion(image, factor)
    if image.width * image.height <= STRIP_PIXELS:
        return convert(image)
    whole = Image.new("RGB", (math.ceil(image.width / factor), math.ceil(image.height / factor)))
    for top, strip in _strips(image, factor):
        whole.paste(convert(strip), (0, top // factor))
    return whole


def _strips(image: Image.Image, factor: int = 1) -> Iterator[tuple[int, Image.Image]]:
    """(top, rows of the picture from there), a multiple of `factor` rows each."""
    rows = max(1, STRIP_PIXELS // image.width // factor) * factor
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(image.height, top + rows)))


def _conversion(image: Image.Image, factor: int) -> Convert:
    """What is done to each strip."""
    flatten = _flattening(image)
    transform = _transform_of(image)

    def convert(strip: Image.Image) -> Image.Image:
        flat = flatten(strip) if flatten else strip
        if factor > 1:
            flat = (flat if flat.mode in ("L", "RGB", "CMYK") else flat.convert("RGB")).reduce(factor)
        if transform and flat.mode == transform.input_mode:
            return transform.apply(flat)
        return flat.convert("RGB")  # a copy also of RGB: what a decoder returns belongs to its file

    return convert


def needs_transform(image: Image.Image) -> bool:
    """Whether the picture has a profile that is not sRGB."""
    return _transform_of(image) is not None


def _transform_of(image: Image.Image) -> ImageCms.ImageCmsTransform | None:
    profile = image.info.get("icc_profile")
    return _transform(profile, _mode_after(image)) if isinstance(profile, bytes) and profile else None


def _mode_after(image: Image.Image) -> str:
    """The mode of the picture when deep samples and transparency are gone."""
    if is_deep(image):
        return "L"
    if has_alpha(image) or image.mode == "P":
        return "RGB"
    return image.mode


def _flattening(image: Image.Image) -> Convert | None:
    """How deep samples become 8 bits, or transparent parts a background; None where there are neither."""
    if is_deep(image):
        low, high = _value_range(image)
        return lambda strip: _to_8_bit(strip, low, high)
    if has_alpha(image):
        background = _background(image)
        return lambda strip: _on(background, strip)
    return (lambda strip: strip.convert("RGB")) if image.mode == "P" else None


@lru_cache(maxsize=8)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From the profile to sRGB; None where the profile is sRGB, is damaged, or is not of the picture's mode."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if _SPACES.get(source.profile.xcolor_space.strip()) != mode:
            return None
        transform = ImageCms.buildTransform(
            source,
            SRGB,
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        return None if mode != "CMYK" and _changes_little(transform, mode) else transform
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError, AttributeError):
        return None


def _changes_little(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Tried on colours from all over the cube."""
    steps = range(0, 256, 51)
    colours = Image.new("RGB", (216, 1))
    colours.putdata([(red, green, blue) for red in steps for green in steps for blue in steps])
    before = colours.convert(mode)
    after = transform.apply(before).tobytes()
    return max(abs(a - b) for a, b in zip(before.convert("RGB").tobytes(), after, strict=True)) <= NEAR


def _on(background: str, image: Image.Image) -> Image.Image:
    rgba = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, background), rgba).convert("RGB")


def _background(image: Image.Image) -> str:
    """White, or black where nearly all that can be seen is as light as white and would vanish."""
    side = (min(image.width, SAMPLE_SIDE), min(image.height, SAMPLE_SIDE))
    sample = image.resize(side, Image.Resampling.NEAREST)
    red, green, blue, alpha = (sample.convert("LA") if sample.mode == "La" else sample).convert("RGBA").split()
    lightness = ImageChops.darker(ImageChops.darker(red, green), blue)
    seen = _total(alpha)
    light = _total(ImageChops.multiply(alpha, lightness.point(lambda value: 255 * (value > LIGHT))))
    has_gaps = sum(alpha.histogram()[:128]) > 0.05 * side[0] * side[1]
    return "black" if seen and has_gaps and light > 0.9 * seen else "white"


def _total(band: Image.Image) -> int:
    return sum(value * count for value, count in enumerate(band.histogram()))


def _to_8_bit(image: Image.Image, low: float, high: float) -> Image.Image:
    """Grey values of 16 or 32 bits or floats, scaled to 0 to 255."""
    import numpy as np

    values = np.asarray(image)
    if values.dtype.itemsize == 2:
        table = np.arange(1 << 16, dtype=np.float64)
        return Image.fromarray(_scaled(table, low, high)[values])
    return Image.fromarray(_scaled(np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0), low, high))


def _scaled(values: "NDArray[Any]", low: float, high: float) -> "NDArray[np.uint8]":
    import numpy as np

    return np.rint(np.clip((values.astype(np.float64) - low) * (255.0 / (high - low)), 0, 255)).astype(np.uint8)


def _value_range(image: Image.Image) -> tuple[float, float]:
    """The values of black and white, guessed from the smallest convention that holds all values of the picture."""
    import numpy as np

    lowest, highest = 0.0, 0.0
    for _, strip in _strips(image):
        values = np.asarray(strip)
        if image.mode == "F":
            values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
        lowest, highest = min(lowest, float(values.min())), max(highest, float(values.max()))
    if lowest < 0:
        return lowest, max(highest, lowest + 1)
    conventions = (1.0, *_WHITES) if image.mode == "F" else _WHITES
    return 0.0, next((white for white in conventions if highest <= white), highest)
