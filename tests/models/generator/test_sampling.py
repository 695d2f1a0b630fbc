"""The NumPy samplers beside diffusers' own, step by step, with the same network outputs."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from app.models.generator.quiet import quiet_diffusers
from app.models.generator.sampling import NAMES, sampler_of

LATENT = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
CONFIGS: dict[str, dict[str, Any]] = {
    "stable diffusion 1.5": {**LATENT, "set_alpha_to_one": False, "prediction_type": "epsilon"},
    "v-prediction, zero snr": {
        **LATENT,
        "prediction_type": "v_prediction",
        "rescale_betas_zero_snr": True,
        "timestep_spacing": "trailing",
    },
    "cosine, sample": {
        "beta_schedule": "squaredcos_cap_v2",
        "prediction_type": "sample",
        "timestep_spacing": "leading",
    },
    "cosine, clipped": {
        "beta_schedule": "squaredcos_cap_v2",
        "prediction_type": "v_prediction",
        "timestep_spacing": "trailing",
        "lambda_min_clipped": -5.1,
    },
    "few levels, linspace": {
        "num_train_timesteps": 300,
        "timestep_spacing": "linspace",
        "final_sigmas_type": "sigma_min",
    },
    "first order": {**LATENT, "solver_order": 1, "euler_at_final": True},
    "trained": {"trained_betas": np.linspace(0.0001, 0.03, 200), "num_train_timesteps": 200},
}


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with quiet_diffusers():
        yield


@pytest.mark.parametrize("steps", [1, 7, 20])
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("class_name", NAMES)
def test_every_step_agrees_with_diffusers(class_name: str, config: dict[str, Any], steps: int) -> None:
    import diffusers
    import torch

    theirs = getattr(diffusers, class_name).from_config({**config, "steps_offset": 1, "clip_sample": False})
    theirs.set_timesteps(steps)
    ours = sampler_of(NAMES[class_name], config, steps)
    assert ours.timesteps == theirs.timesteps.tolist()
    random = np.random.default_rng(steps)
    sample, noise = random.standard_normal((2, 1, 4, 6, 5), np.float32)
    start = min(2, steps - 1)
    np.testing.assert_allclose(
        ours.add_noise(sample, noise, start),
        theirs.add_noise(
            torch.from_numpy(sample), torch.from_numpy(noise), theirs.timesteps[start : start + 1]
        ).numpy(),
        atol=1e-5,
    )
    for index, timestep in enumerate(theirs.timesteps):
        output = random.standard_normal(sample.shape, np.float32)
        expected = theirs.step(torch.from_numpy(output), timestep, torch.from_numpy(sample)).prev_sample.numpy()
        sample, clean = ours.step(index, output, sample)
        assert sample.dtype == clean.dtype == np.float32
        np.testing.assert_allclose(sample, expected, atol=2e-5 * max(1.0, float(np.abs(expected).max())))
