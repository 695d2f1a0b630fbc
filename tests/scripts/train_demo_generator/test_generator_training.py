"""Training lowers its losses, and a stopped training goes on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import CLIPModel

from scripts.train_demo_generator.latents import encode, latent_file
from scripts.train_demo_generator.model import (
    LATENT_CHANNELS,
    LATENT_PX,
    build_autoencoder,
    build_denoiser,
    build_scheduler,
)
from scripts.train_demo_generator.train import (
    Trainer,
    as_matrix,
    denoising_loss,
    inner_matrices,
    rate_at,
    read_plan,
    update_average,
)
from scripts.train_demo_generator.train_autoencoder import losses

_CLIP = Path("models/demo-clip")


def test_the_autoencoder_learns():
    torch.manual_seed(0)
    pictures = torch.tensor([-0.8, 0.8])[:, None, None, None].expand(2, 3, 96, 96)
    model, judge = build_autoencoder(), CLIPModel.from_pretrained(_CLIP).vision_model.requires_grad_(False)
    optimiser = torch.optim.AdamW(model.parameters(), lr=4e-3)
    errors = []
    for _ in range(8):
        terms = losses(model, judge, pictures)
        optimiser.zero_grad()
        sum(terms.values()).backward()
        optimiser.step()
        errors.append(terms["colours"].item())
    assert errors[-1] < 0.9 * errors[0]


def test_pictures_become_latents_of_the_size_that_the_denoiser_takes():
    latents = encode(build_autoencoder(), np.zeros((2, 96, 96, 3), np.uint8))
    assert latents.shape == (2, LATENT_CHANNELS, LATENT_PX, LATENT_PX)
    assert latents.dtype == np.float16


def test_the_denoiser_learns():
    torch.manual_seed(0)
    model = build_denoiser(text_width=16, widths=(16, 16, 32))
    latents, states = torch.ones(8, LATENT_CHANNELS, LATENT_PX, LATENT_PX), torch.zeros(8, 4, 16)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    errors = []
    for _ in range(20):
        loss = denoising_loss(model, latents, states, build_scheduler().alphas_cumprod)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        errors.append(loss.item())
    assert np.mean(errors[-3:]) < 0.6 * np.mean(errors[:3])


def test_the_matrices_of_muon_are_the_weights_themselves():
    model = build_denoiser(text_width=16, widths=(16, 16, 32)).to(memory_format=torch.channels_last)
    for weight, matrix in inner_matrices(model):
        matrix.zero_()
        assert not weight.any()
        assert as_matrix(torch.ones_like(weight)).shape == matrix.shape


def test_the_average_spans_about_a_tenth_of_the_steps():
    average = {"weight": torch.zeros(1)}
    for step in range(1, 1001):
        update_average(average, {"weight": torch.tensor([float(step)])}, step)
    assert 850 < average["weight"].item() < 950


def test_rates_rise_then_stay_then_fall():
    rates = [rate_at(step) for step in (0, 99, 3000, 12_000)]
    assert rates == pytest.approx([0.01, 1.0, 1.0, 0.5])


def test_a_stopped_training_goes_on(studio, tmp_path):
    latent_file(tmp_path, 0).parent.mkdir()
    rng = np.random.default_rng(0)
    np.save(latent_file(tmp_path, 0), rng.normal(size=(1000, LATENT_CHANNELS, LATENT_PX, LATENT_PX)).astype(np.float16))
    plan = replace(read_plan(["--batch", "2", "--pictures", "4"]), cache=tmp_path, clip=_CLIP)
    Trainer(plan, studio).run()
    longer = Trainer(replace(plan, pictures=6), studio)
    assert (longer.step, longer.seen) == (2, 4)
    longer.run()
    assert longer.seen == 6
