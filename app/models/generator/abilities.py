"""What a pipeline can draw, and what suits it where a request says nothing."""

import math
import re
from collections.abc import Mapping
from typing import Any, Final

from app.models.generator.base import Abilities
from app.models.generator.folder import PipelineFolder

FEW_STEPS: Final = 4
"""Of networks that were distilled to draw in one to eight steps without guidance: SD-Turbo, SDXL-Lightning, LCM."""

_FAST_NAMES: Final = re.compile(r"(?<![a-z])(turbo|lightning|schnell|hyper-sd)(?![a-z])", re.IGNORECASE)
_FAST_SCHEDULERS: Final = frozenset({"TCDScheduler"})
_EULERS: Final = frozenset({"EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler"})
_EVEN: Final = 8
"""diffusers refuses sizes that are no multiples of 8, also where the autoencoder's factor is smaller."""

_LARGEST: Final = 4
"""How many times the side that the network was trained with is drawn at most. Far above it pictures fall apart."""


def abilities_of(
    folder: PipelineFolder,
    size: tuple[int, int],
    *,
    multiple: int,
    steps: int,
    guidance: float,
    scheduler: str,
    schedulers: tuple[str, ...],
    training_steps: int,
    takes_negative_prompts: bool = True,
    takes_pictures: bool = True,
) -> Abilities:
    """The abilities, with what the pipeline's makers say in its folder instead of the general defaults.

    `size` is width and height of the pictures that the network was trained with; `multiple` is the pixels of its
    smallest unit along a side.
    """
    width, height = size
    multiple = math.lcm(multiple, _EVEN)
    own = folder.defaults
    named = own.get("scheduler")
    return Abilities(
        width=_rounded(width, multiple),
        height=_rounded(height, multiple),
        size_multiple=multiple,
        min_side=multiple * max(1, -(-min(size) // (4 * multiple))),
        max_side=multiple * (_LARGEST * max(size) // multiple),
        steps=int(own.get("steps", steps)),
        guidance=float(own.get("guidance", guidance)),
        scheduler=str(named) if named in schedulers else scheduler,
        schedulers=schedulers,
        max_steps=max(1, training_steps // 2),
        takes_negative_prompts=takes_negative_prompts,
        takes_pictures=takes_pictures,
    )


def draws_in_few_steps(folder: PipelineFolder, scheduler: Mapping[str, Any]) -> bool:
    """Whether the network was distilled to draw in few steps without guidance, by its name and its scheduler.

    SD-Turbo and its likes have an Euler scheduler that begins at the very last noise level ("trailing").
    """
    kind = scheduler.get("_class_name")
    trailing = scheduler.get("timestep_spacing") == "trailing" and scheduler.get("prediction_type") == "epsilon"
    return bool(_FAST_NAMES.search(folder.name)) or kind in _FAST_SCHEDULERS or (kind in _EULERS and trailing)


def pixels_of(sample_size: object, factor: int) -> tuple[int, int] | None:
    """Width and height from a network's `sample_size` (latents), which may be (height, width); None without one."""
    if isinstance(sample_size, int):
        return sample_size * factor, sample_size * factor
    if isinstance(sample_size, list | tuple) and len(sample_size) == 2:
        return int(sample_size[1]) * factor, int(sample_size[0]) * factor
    return None


def factor_of(autoencoder: Mapping[str, Any]) -> int:
    """Pixels of one latent along a side, from an autoencoder's configuration: each block but one halves the picture."""
    blocks = autoencoder.get("block_out_channels") or autoencoder.get("decoder_block_out_channels") or (0,) * 4
    return int(2 ** (len(blocks) - 1))


def _rounded(side: int, multiple: int) -> int:
    return multiple * max(1, side // multiple)
