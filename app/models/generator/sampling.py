"""From noise to latents in NumPy: the samplers DDIM and DPM-Solver++(2M), as diffusers' classes of that name have them.

A pipeline's `scheduler_config.json` says how its network was trained: noise levels and what the network predicts.
The names: a noisy sample is x_t = alpha_t x_0 + sigma_t noise with alpha_t^2 + sigma_t^2 = 1, and alpha_bar_t =
alpha_t^2 (arXiv:2006.11239, equation 4).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Latents: TypeAlias = NDArray[np.float32]
"""(N, C, h, w) float32."""

Levels: TypeAlias = NDArray[np.float64]
"""(T,) float64, one number for each step of the training."""

Config: TypeAlias = Mapping[str, Any]
"""What `scheduler_config.json` holds."""

NAMES: Final = {"DDIMScheduler": "ddim", "DPMSolverMultistepScheduler": "dpm++"}
"""The samplers of this module by diffusers' class names."""

PREDICTIONS: Final = ("epsilon", "v_prediction", "sample")

_MUST_BE: Final[dict[str, tuple[Any, ...]]] = {
    "beta_schedule": ("linear", "scaled_linear", "squaredcos_cap_v2"),
    "prediction_type": PREDICTIONS,
    "timestep_spacing": ("leading", "trailing", "linspace"),
    "thresholding": (False, None),
    "use_karras_sigmas": (False, None),
    "use_exponential_sigmas": (False, None),
    "use_beta_sigmas": (False, None),
    "use_lu_lambdas": (False, None),
    "use_flow_sigmas": (False, None),
    "algorithm_type": ("dpmsolver++",),
    "solver_type": ("midpoint",),
    "solver_order": (1, 2),
    "variance_type": (None, "fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log"),
}
"""Values that the samplers of this module understand. A missing entry has its first value in diffusers."""

_TINY: Final = 2.0**-24
"""What DPM-Solver++ takes for an alpha_bar of zero, as diffusers does, so that its sigma stays finite."""


class Sampler(Protocol):
    """Takes latents from noise to a picture's latents. For one drawing."""

    timesteps: list[int]
    """Descending."""

    def add_noise(self, latents: Latents, noise: Latents, index: int) -> Latents:
        """Clean latents as they are at `timesteps[index]`."""
        ...

    def step(self, index: int, output: Latents, sample: Latents) -> tuple[Latents, Latents]:
        """The sample after `timesteps[index]`, and the clean latents that the network's `output` stands for.

        Called for ascending indices, one after the other.
        """
        ...


def problem_of(config: Config) -> str | None:
    """Why this module can't sample as the configuration says; None where it can."""
    for name, allowed in _MUST_BE.items():
        if config.get(name, allowed[0]) not in allowed:
            return f"its scheduler has {name}={config[name]}, which does not run without PyTorch"
    if config.get("rescale_betas_zero_snr") and config.get("prediction_type", "epsilon") == "epsilon":
        return "its network predicts noise (epsilon), of which nothing can be learned at a level without any picture"
    return None


def sampler_of(name: str, config: Config, steps: int) -> Sampler:
    """The sampler `ddim` or `dpm++` with noise levels and prediction of any scheduler's configuration."""
    return (_Ddim if name == "ddim" else _DpmSolver)(config, steps)


@dataclass(frozen=True)
class _Level:
    """How much of a sample is picture, and how much is noise."""

    alpha: float
    sigma: float

    @classmethod
    def of(cls, alpha_bar: float) -> "_Level":
        return cls(math.sqrt(alpha_bar), math.sqrt(1 - alpha_bar))

    @property
    def ratio(self) -> float:
        """sigma / alpha, which is exp(-lambda) of arXiv:2211.01095, section 2."""
        return self.sigma / self.alpha

    def mix(self, latents: Latents, noise: Latents) -> Latents:
        mixed: Latents = self.alpha * latents + self.sigma * noise
        return mixed

    def clean(self, output: Latents, sample: Latents, prediction: str) -> Latents:
        """The x_0 that the network's output stands for: equation 12 of arXiv:2010.02502 for `epsilon`, and appendix D
        of arXiv:2202.00512 for `v_prediction`."""
        clean = output
        if prediction == "epsilon":
            clean = np.multiply(1 / self.alpha, sample - self.sigma * output, dtype=np.float32)
        elif prediction == "v_prediction":
            clean = self.alpha * sample - self.sigma * output
        return clean

    def noise(self, output: Latents, sample: Latents, prediction: str) -> Latents:
        """The noise that the network's output stands for; equations as for `clean`."""
        noise = output
        if prediction == "v_prediction":
            noise = self.alpha * output + self.sigma * sample
        elif prediction == "sample":
            noise = np.multiply(1 / self.sigma, sample - self.alpha * output, dtype=np.float32)
        return noise


class _Ddim:
    """DDIM without added noise (eta = 0), arXiv:2010.02502, equation 12."""

    def __init__(self, config: Config, steps: int) -> None:
        self._prediction = str(config.get("prediction_type", "epsilon"))
        bars = alpha_bars(config)
        spacing = config.get("timestep_spacing", "leading")
        self.timesteps = _SPACINGS[spacing](len(bars), len(bars), steps, 0)
        stride = len(bars) // steps
        last = 1.0 if config.get("set_alpha_to_one", True) else float(bars[0])
        self._levels = [_Level.of(float(bars[t])) for t in self.timesteps]
        self._next = [_Level.of(float(bars[t - stride]) if t >= stride else last) for t in self.timesteps]

    def add_noise(self, latents: Latents, noise: Latents, index: int) -> Latents:
        return self._levels[index].mix(latents, noise)

    def step(self, index: int, output: Latents, sample: Latents) -> tuple[Latents, Latents]:
        level, asked = self._levels[index], (output, sample, self._prediction)
        clean = level.clean(*asked)
        return self._next[index].mix(clean, level.noise(*asked)), clean


class _DpmSolver:
    """DPM-Solver++(2M), arXiv:2211.01095, algorithm 2; the first step and the last one are of first order."""

    def __init__(self, config: Config, steps: int) -> None:
        self._prediction = str(config.get("prediction_type", "epsilon"))
        self._order = int(config.get("solver_order", 2))
        bars = alpha_bars(config)
        if config.get("rescale_betas_zero_snr"):
            bars[-1] = _TINY
        spacing = config.get("timestep_spacing", "linspace")
        self.timesteps = _SPACINGS[spacing](_usable(bars, config), len(bars), steps, 1)
        last = _Level(1.0, 0.0) if config.get("final_sigmas_type", "zero") == "zero" else _Level.of(float(bars[0]))
        self._levels = [*(_Level.of(float(bars[t])) for t in self.timesteps), last]
        ends_in_first_order = (
            config.get("euler_at_final") or last.sigma == 0 or (config.get("lower_order_final", True) and steps < 15)
        )
        self._last_of_second_order = len(self.timesteps) - (2 if ends_in_first_order else 1)
        self._before: Latents | None = None

    def add_noise(self, latents: Latents, noise: Latents, index: int) -> Latents:
        return self._levels[index].mix(latents, noise)

    def step(self, index: int, output: Latents, sample: Latents) -> tuple[Latents, Latents]:
        level, following = self._levels[index], self._levels[index + 1]
        clean = level.clean(output, sample, self._prediction)
        direction = clean
        if self._order == 2 and self._before is not None and index <= self._last_of_second_order:
            h = math.log(level.ratio / following.ratio)
            h_before = math.log(self._levels[index - 1].ratio / level.ratio)
            direction = clean + (h / (2 * h_before)) * (clean - self._before)  # D_i of algorithm 2, with r = h_before/h
        self._before = clean
        shrink = following.ratio / level.ratio  # exp(-h)
        return (following.sigma / level.sigma) * sample - following.alpha * (shrink - 1) * direction, clean


def alpha_bars(config: Config) -> Levels:
    """(T,) alpha_bar_t, descending."""
    bars = np.cumprod(1 - _betas(config), dtype=np.float64)
    return _to_zero_snr(bars) if config.get("rescale_betas_zero_snr") else bars


def _betas(config: Config) -> Levels:
    """(T,) beta_t by the schedules of DDPM, Stable Diffusion and arXiv:2102.09672, equation 17."""
    if (given := config.get("trained_betas")) is not None:
        return np.array(given, np.float64)
    count = int(config.get("num_train_timesteps", 1000))
    start, end = float(config.get("beta_start", 0.0001)), float(config.get("beta_end", 0.02))
    schedule = config.get("beta_schedule", "linear")
    if schedule == "scaled_linear":
        scaled: Levels = np.linspace(start**0.5, end**0.5, count) ** 2
        return scaled
    if schedule == "squaredcos_cap_v2":
        bars = np.cos((np.arange(count + 1) / count + 0.008) / 1.008 * np.pi / 2) ** 2
        capped: Levels = np.minimum(1 - bars[1:] / bars[:-1], 0.999)
        return capped
    return np.linspace(start, end, count)


def _to_zero_snr(bars: Levels) -> Levels:
    """Noise levels shifted and scaled so that the last one is noise alone: arXiv:2305.08891, algorithm 1."""
    roots = np.sqrt(bars)
    scaled: Levels = ((roots - roots[-1]) * (roots[0] / (roots[0] - roots[-1]))) ** 2
    return scaled


def _usable(bars: Levels, config: Config) -> int:
    """How many noise levels DPM-Solver++ uses: those whose lambda is at least `lambda_min_clipped`."""
    lambdas = np.log(bars / (1 - bars)) / 2
    return int((lambdas >= float(config.get("lambda_min_clipped", -math.inf))).sum())


def _leading(usable: int, count: int, steps: int, extra: int) -> list[int]:
    """Timesteps are counted from 1 as in Stable Diffusion's own pipeline, for any `steps_offset`."""
    stride = usable // (steps + extra)
    return [number * stride + 1 for number in range(extra, steps + extra)][::-1]


def _trailing(usable: int, count: int, steps: int, extra: int) -> list[int]:
    """Never more than the steps: rounding errors would add a last one, as they do in diffusers for 61 of 1000."""
    return [int(t) - 1 for t in np.arange(usable, 0, -count / steps)[:steps].round()]


def _linspace(usable: int, count: int, steps: int, extra: int) -> list[int]:
    return [int(t) for t in np.linspace(0, usable - 1, steps + extra).round()[extra:][::-1]]


_SPACINGS: Final[dict[str, Callable[[int, int, int, int], list[int]]]] = {
    "leading": _leading,
    "trailing": _trailing,
    "linspace": _linspace,
}
"""Table 2 of arXiv:2305.08891, for the noise levels that are usable, all of them, and the steps. DPM-Solver++ divides
the range into one part more than it takes steps (`extra`)."""
