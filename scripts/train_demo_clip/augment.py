"""New crops, turns and colours for stored pictures, so that the same scene never comes twice."""

import math

import torch
from torch.nn import functional

_ZOOM = (0.84, 1.06)  # side of the crop as a share of the picture; above 1 the border is mirrored
_TURN = math.radians(8)
_STRETCH = 0.08
_LIGHT, _CONTRAST, _SATURATION = 0.14, 0.16, 0.25
_BEND = 0.05  # of the half side: how far a place moves at most, about, so that shapes differ as between styles
_BEND_CELLS = 4
_SHARPNESS = 0.8
_LUMA = torch.tensor([0.299, 0.587, 0.114])  # ITU-R BT.601


def augment(pixels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """(B, 3, H, W) uint8 to the same shape: cropped, turned, mirrored, bent; sharpness and colours changed.

    `generator` is on the pictures' device.
    """
    grid = functional.affine_grid(_affine(len(pixels), generator), list(pixels.shape), align_corners=False)
    grid = grid + _bends(pixels.shape, generator)
    moved = functional.grid_sample(pixels.float(), grid, padding_mode="reflection", align_corners=False)
    return _recolour(_sharpen(moved, generator), generator).clamp_(0, 255).to(torch.uint8)


def _bends(shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
    """(B, H, W, 2): a smooth random displacement, of another strength for each picture."""
    count, _, height, width = shape
    coarse = torch.randn(count, 2, _BEND_CELLS, _BEND_CELLS, generator=generator, device=generator.device)
    coarse = coarse * _between(count, 0, _BEND, generator)[:, None, None, None]
    return functional.interpolate(coarse, (height, width), mode="bilinear", align_corners=True).permute(0, 2, 3, 1)


def _sharpen(pixels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Blurred a little or sharpened."""
    smooth = functional.avg_pool2d(pixels, 3, stride=1, padding=1, count_include_pad=False)
    strength = _between(len(pixels), -_SHARPNESS, _SHARPNESS, generator)[:, None, None, None]
    return pixels + strength * (pixels - smooth)


def _affine(count: int, generator: torch.Generator) -> torch.Tensor:
    """(B, 2, 3): from places in the new picture to places in the old one."""
    zoom = _between(count, *_ZOOM, generator)
    stretch = 1 + _between(count, -_STRETCH, _STRETCH, generator)
    turn = _between(count, -_TURN, _TURN, generator)
    mirror = torch.where(_between(count, 0, 1, generator) < 0.5, -1.0, 1.0)
    room = (1 - zoom).clamp(min=0)
    shift = torch.stack([_between(count, -1, 1, generator) for _ in range(2)], 1)
    cosine, sine = turn.cos() * zoom, turn.sin() * zoom
    return torch.stack(
        [
            torch.stack([cosine * stretch * mirror, -sine, shift[:, 0] * room], 1),
            torch.stack([sine * mirror, cosine / stretch, shift[:, 1] * room], 1),
        ],
        1,
    )


def _recolour(pixels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """One 3 x 3 matrix and one offset for each picture. Hues stay: captions name colours."""
    count = len(pixels)
    saturation = 1 + _between(count, -_SATURATION, _SATURATION, generator)
    gain = (1 + _between(count, -_CONTRAST, _CONTRAST, generator))[:, None, None]
    light = 255 * _between(count, -_LIGHT, _LIGHT, generator)[:, None]
    grey = _LUMA.to(pixels.device).expand(3, 3)
    matrix = gain * (
        saturation[:, None, None] * torch.eye(3, device=pixels.device) + (1 - saturation)[:, None, None] * grey
    )
    offset = light + 128 * (1 - gain[:, 0])
    return (torch.bmm(matrix, pixels.flatten(2)) + offset[..., None]).view_as(pixels)


def _between(count: int, low: float, high: float, generator: torch.Generator) -> torch.Tensor:
    return low + (high - low) * torch.rand(count, generator=generator, device=generator.device)
