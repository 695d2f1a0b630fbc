"""The parts of the pipeline, all of diffusers' own classes, and their sizes.

Pictures (B, 3, 96, 96) in -1..1 <-> latents (B, 6, 12, 12) of about unit variance.
"""

from diffusers import AutoencoderTiny, DPMSolverMultistepScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

LATENT_PX = 12
LATENT_CHANNELS = 6
TIMES = 1000
# Ends at a signal-to-noise ratio near zero: otherwise plain white and black backgrounds turn grey (arXiv:2305.08891).
_NOISE = {"beta_start": 0.00085, "beta_end": 0.02, "beta_schedule": "scaled_linear", "prediction_type": "v_prediction"}


def build_autoencoder() -> AutoencoderTiny:
    """Few blocks at full resolution, where each costs 64 times as much as at 12 x 12."""
    return AutoencoderTiny(
        encoder_block_out_channels=(32,) * 4,
        decoder_block_out_channels=(32,) * 4,
        num_encoder_blocks=(0, 1, 2, 3),
        num_decoder_blocks=(4, 3, 1, 0),
        latent_channels=LATENT_CHANNELS,
    )


def build_denoiser(text_width: int = 128, widths: tuple[int, int, int] = (64, 128, 160)) -> UNet2DConditionModel:
    """Most weights at 6 x 6 and 3 x 3, where they cost least; words are looked at there only."""
    return UNet2DConditionModel(
        sample_size=LATENT_PX,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        mid_block_type=None,
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        block_out_channels=widths,
        layers_per_block=1,
        norm_num_groups=16,
        cross_attention_dim=text_width,
        attention_head_dim=2,  # the number of heads, in spite of its name,
        use_linear_projection=True,
    )


def build_scheduler() -> DPMSolverMultistepScheduler:
    return DPMSolverMultistepScheduler(num_train_timesteps=TIMES, timestep_spacing="trailing", steps_offset=1, **_NOISE)


def build_pipeline(
    autoencoder: AutoencoderTiny, text_encoder: CLIPTextModel, tokenizer: CLIPTokenizer, denoiser: UNet2DConditionModel
) -> StableDiffusionPipeline:
    """Without a safety checker: it can draw nothing but the scenes that it was trained on."""
    return StableDiffusionPipeline(
        vae=autoencoder,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=denoiser,
        scheduler=build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
