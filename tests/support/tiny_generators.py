"""Tiny text-to-image pipelines in diffusers' folder format, built here in a moment: real classes, random weights.

As in `tests.support.tiny_models`: a seed decides the weights, and each pipeline is built once in a test run.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

from app.models.checkpoint import DEMO_FOLDER
from tests.support.tiny_models import Build, built_once

CONTEXT = 24
"""Tokens of a prompt, the marks for begin and end among them."""

FACTOR = 4
"""Pixels of one latent along a side."""

SIZE = 64
"""Pixels of a picture that names no size."""

_TEXT = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
_SCHEDULER = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def _built(build: Callable[[Path, int], Path]) -> Build:
    """As `built_once`, without diffusers' notices."""

    @wraps(build)
    def quietly(folder: Path, seed: int) -> Path:
        from app.models.generator.quiet import quiet_diffusers

        with quiet_diffusers():
            return build(folder, seed)

    return built_once(quietly)


@_built
def build_tiny_stable_diffusion(folder: Path, seed: int) -> Path:
    """A Stable Diffusion with v-prediction and DDIM, pictures of 64 px."""
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    scheduler = DDIMScheduler(**_SCHEDULER, prediction_type="v_prediction", timestep_spacing="trailing")
    with _seeded(seed):
        parts = {"unet": _unet(), "vae": _autoencoder(), "text_encoder": _clip_text()}
    pipeline = StableDiffusionPipeline(
        **parts, tokenizer=_tokenizer(), scheduler=scheduler, safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip
    return _save(pipeline, folder)


@_built
def build_tiny_tiny_autoencoder(folder: Path, seed: int) -> Path:
    """A Stable Diffusion with an AutoencoderTiny, noise prediction and DPM-Solver++."""
    from diffusers import AutoencoderTiny, DPMSolverMultistepScheduler, StableDiffusionPipeline

    with _seeded(seed):
        vae = AutoencoderTiny(
            encoder_block_out_channels=(8,) * 3, decoder_block_out_channels=(8,) * 3,
            num_encoder_blocks=(0, 1, 1), num_decoder_blocks=(1, 1, 1),
        )  # fmt: skip
        parts = {"unet": _unet(), "vae": vae, "text_encoder": _clip_text()}
    pipeline = StableDiffusionPipeline(
        **parts, tokenizer=_tokenizer(), scheduler=DPMSolverMultistepScheduler(**_SCHEDULER), safety_checker=None,
        feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    return _save(pipeline, folder)


@_built
def build_tiny_safe_diffusion(folder: Path, seed: int) -> Path:
    """A Stable Diffusion whose safety checker rejects every picture: each concept's threshold is below any cosine."""
    import torch
    from diffusers import PNDMScheduler, StableDiffusionPipeline
    from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
    from transformers import CLIPConfig, CLIPImageProcessorPil

    vision = {**_TEXT, "image_size": 32, "patch_size": 8}
    with _seeded(seed):
        parts = {"unet": _unet(), "vae": _autoencoder(), "text_encoder": _clip_text()}
        checker = StableDiffusionSafetyChecker(CLIPConfig(vision_config=vision, projection_dim=8))
    with torch.no_grad():
        checker.concept_embeds_weights.fill_(-2.0)
    processor = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    pipeline = StableDiffusionPipeline(
        **parts, tokenizer=_tokenizer(), scheduler=PNDMScheduler(**_SCHEDULER, skip_prk_steps=True),
        safety_checker=checker, feature_extractor=processor,
    )  # fmt: skip
    return _save(pipeline, folder)


@_built
def build_tiny_sdxl(folder: Path, seed: int) -> Path:
    """A Stable Diffusion XL, which has two text encoders and knows sizes and crops."""
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline
    from transformers import CLIPTextModelWithProjection

    with _seeded(seed):
        unet = _unet(
            cross_attention_dim=32, addition_embed_type="text_time", addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=6 * 8 + 16,
        )  # fmt: skip
        second = CLIPTextModelWithProjection(_clip_config(projection_dim=16))
        parts = {"unet": unet, "vae": _autoencoder(), "text_encoder": _clip_text(), "text_encoder_2": second}
    pipeline = StableDiffusionXLPipeline(
        **parts, tokenizer=_tokenizer(), tokenizer_2=_tokenizer(), scheduler=EulerDiscreteScheduler(**_SCHEDULER)
    )
    return _save(pipeline, folder)


@_built
def build_tiny_pixart(folder: Path, seed: int) -> Path:
    """A PixArt-Sigma: a diffusion transformer with a T5 text encoder."""
    from diffusers import DPMSolverMultistepScheduler, PixArtSigmaPipeline, PixArtTransformer2DModel

    with _seeded(seed):
        transformer = PixArtTransformer2DModel(
            num_attention_heads=2, attention_head_dim=8, in_channels=4, out_channels=8, num_layers=1,
            cross_attention_dim=16, sample_size=SIZE // FACTOR, patch_size=2, caption_channels=16, norm_num_groups=2,
            use_additional_conditions=False,
        )  # fmt: skip
        parts = {"transformer": transformer, "vae": _autoencoder(), "text_encoder": _t5()}
    pipeline = PixArtSigmaPipeline(**parts, tokenizer=_tokenizer(), scheduler=DPMSolverMultistepScheduler())
    return _save(pipeline, folder)


@_built
def build_tiny_flux(folder: Path, seed: int) -> Path:
    """A Flux: flow matching, packed latents, a CLIP and a T5."""
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel

    with _seeded(seed):
        transformer = FluxTransformer2DModel(
            in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
            joint_attention_dim=16, pooled_projection_dim=16, axes_dims_rope=(4, 4, 8), guidance_embeds=True,
        )  # fmt: skip
        vae = _autoencoder(shift_factor=0.1, use_quant_conv=False, use_post_quant_conv=False)
        parts = {"transformer": transformer, "vae": vae, "text_encoder": _clip_text(), "text_encoder_2": _t5()}
    pipeline = FluxPipeline(
        **parts, tokenizer=_tokenizer(), tokenizer_2=_tokenizer(), scheduler=FlowMatchEulerDiscreteScheduler()
    )
    return _save(pipeline, folder)


def write_defaults(folder: Path, **values: object) -> None:
    """What a pipeline's makers may say in its folder."""
    (folder / "image2search.json").write_text(json.dumps(values))


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Random weights from a seed, without a change of the process's own random numbers."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def _unet(**more: Any) -> Any:
    from diffusers import UNet2DConditionModel

    sizes: dict[str, Any] = {"cross_attention_dim": 16, "attention_head_dim": 4, **more}
    return UNet2DConditionModel(
        sample_size=SIZE // FACTOR, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4,
        mid_block_type=None,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        **sizes,
    )  # fmt: skip


def _autoencoder(**more: Any) -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(8, 8, 8), down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3, norm_num_groups=4, latent_channels=4, sample_size=SIZE, **more,
    )  # fmt: skip


def _clip_config(**more: Any) -> Any:
    from transformers import CLIPTextConfig

    tokenizer = _tokenizer()
    special = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    return CLIPTextConfig(**_TEXT, vocab_size=len(tokenizer), max_position_embeddings=CONTEXT, **special, **more)


def _clip_text() -> Any:
    from transformers import CLIPTextModel

    return CLIPTextModel(_clip_config())


def _t5() -> Any:
    from transformers import T5Config, T5EncoderModel

    return T5EncoderModel(
        T5Config(vocab_size=len(_tokenizer()), d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    )


def _tokenizer() -> Any:
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(DEMO_FOLDER, local_files_only=True)
    tokenizer.model_max_length = CONTEXT
    return tokenizer


def _save(pipeline: Any, folder: Path) -> Path:
    pipeline.save_pretrained(folder)
    return folder


@_built
def build_tiny_converted(folder: Path, seed: int) -> Path:
    """The Stable Diffusion of `build_tiny_stable_diffusion`, with its converted form."""
    from scripts.convert_model import convert

    build_tiny_stable_diffusion(folder, seed=seed)
    convert(folder)
    return folder
