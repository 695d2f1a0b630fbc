"""diffusers' schedulers by the short names under which people know them."""

import copy
from typing import Any, Final

CLASSES: Final = {
    "ddim": "DDIMScheduler",
    "ddpm": "DDPMScheduler",
    "deis": "DEISMultistepScheduler",
    "dpm++": "DPMSolverMultistepScheduler",
    "euler": "EulerDiscreteScheduler",
    "euler_a": "EulerAncestralDiscreteScheduler",
    "heun": "HeunDiscreteScheduler",
    "lcm": "LCMScheduler",
    "pndm": "PNDMScheduler",
    "tcd": "TCDScheduler",
    "unipc": "UniPCMultistepScheduler",
    "flow_euler": "FlowMatchEulerDiscreteScheduler",
    "flow_heun": "FlowMatchHeunDiscreteScheduler",
    "flow_lcm": "FlowMatchLCMScheduler",
}

_NAMES: Final = {class_name: name for name, class_name in CLASSES.items()}

_FOR_LATENTS: Final = {"clip_sample": False, "skip_prk_steps": True}
"""As Stable Diffusion has them, where a pipeline's own scheduler does not say: clipped latents are damaged ones, and
PNDM begins with nine steps more unless it skips those of Runge and Kutta."""

_CORRECTED: Final = ("clip_sample", "steps_offset")
"""Entries that Stable Diffusion's pipelines correct in the scheduler that they get."""


def name_of(scheduler: Any) -> str:
    """The short name; `own` for a scheduler that has none here."""
    return _NAMES.get(type(scheduler).__name__, "own")


def names_for(scheduler: Any) -> tuple[str, ...]:
    """The short names of schedulers that can stand in for a pipeline's own, which comes first.

    diffusers lists them. Networks that were trained by flow matching keep their own.
    """
    own = name_of(scheduler)
    if not own.startswith("flow") and not _is_flow(scheduler):
        compatible = {kind.__name__ for kind in getattr(scheduler, "compatibles", ())}
        return (own, *(name for name, kind in CLASSES.items() if kind in compatible and name != own))
    return (own,)


def scheduler_named(name: str, own: Any) -> Any:
    """A fresh scheduler with the noise levels and the prediction of a pipeline's own one."""
    if name == name_of(own):
        return copy.deepcopy(own)
    import diffusers

    corrected = {entry: own.config[entry] for entry in _CORRECTED if entry in own.config}
    return getattr(diffusers, CLASSES[name]).from_config(own.config, **(_FOR_LATENTS | corrected))


def _is_flow(scheduler: Any) -> bool:
    return bool(scheduler.config.get("use_flow_sigmas")) or scheduler.config.get("prediction_type") == "flow_prediction"
