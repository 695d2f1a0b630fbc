"""A Stable Diffusion that lies converted in its own folder: OpenVINO on the CPU, without PyTorch and diffusers.

Prompt -> tokens -> text states; noise -> sampler steps, in each of which the network predicts with and without the
prompt (classifier-free guidance) -> latents -> pixels. `app.models.generator.conversion` makes the graphs.
"""

from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tokenizers import Tokenizer

from app.errors import InvalidInput, ModelUnavailable
from app.models import artifacts
from app.models.generator.abilities import abilities_of, draws_in_few_steps, factor_of, pixels_of
from app.models.generator.base import Abilities, OnStep, Parameters
from app.models.generator.folder import PipelineFolder
from app.models.generator.limits import check_parameters, fitted, steps_with_picture
from app.models.generator.sampling import NAMES, Latents, Sampler, sampler_of
from app.models.inputs import TOKENIZER, TextTokenizer, clean
from app.models.openvino.core import CORE, can_bfloat16
from app.settings import GenerationSettings

TEXTS: Final = "text_encoder"
DENOISER: Final = "unet"
DECODER: Final = "vae_decoder"
ENCODER: Final = "vae_encoder"
"""Names of the graphs' files."""

USUAL_STEPS: Final = 20
"""Enough for both samplers: DPM-Solver++ needs 15 to 20 (arXiv:2211.01095, section 7)."""

USUAL_GUIDANCE: Final = 7.5
"""As Stable Diffusion's own pipeline."""

PREVIEW_LATENTS: Final = 24
"""The longer side of the latents that a preview decodes."""


class Graph:
    """One network, compiled for this CPU."""

    def __init__(self, path: Path, options: dict[str, str] | None = None) -> None:
        network = CORE.compile_model(
            path, "CPU", {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"} | (options or {})
        )
        self._request = network.create_infer_request()

    def __call__(self, **inputs: NDArray[Any]) -> NDArray[np.float32]:
        self._request.infer(inputs, share_inputs=True)
        return np.array(self._request.get_output_tensor(0).data, np.float32)


class ConvertedGenerator:
    """A `Generator` of a converted pipeline. Not thread-safe."""

    def __init__(self, folder: PipelineFolder, settings: GenerationSettings) -> None:
        """Raises ModelUnavailable when the converted form is missing, damaged or made from other files."""
        manifest = artifacts.find(folder.graphs, folder.converted_by())
        if manifest is None:
            raise folder.unavailable(f"its converted form in {folder.graphs} is missing, damaged or of other weights")
        self.name, self.abilities = folder.name, converted_abilities(folder)
        self._open = partial(_open, folder, _options(settings))
        self._texts, self._denoiser, self._decoder = map(self._open, (TEXTS, DENOISER, DECODER))
        self._tokenize = TextTokenizer.load(folder.graphs, manifest["texts"])
        self._whole = Tokenizer.from_file(str(folder.graphs / TOKENIZER))
        self._whole.no_truncation()
        self._whole.no_padding()
        self._config = folder.config("scheduler")
        self._channels = int(folder.config(DENOISER)["in_channels"])
        self._factor = factor_of(folder.config("vae"))
        self._scale = float(folder.config("vae").get("scaling_factor", 1.0))

    def generate(self, parameters: Parameters, first: Image.Image | None, on_step: OnStep) -> Image.Image:
        """As `Generator.generate`."""
        check_parameters(parameters, self.abilities, with_picture=first is not None)
        states = self._states_of(parameters)
        sampler = sampler_of(parameters.scheduler, self._config, parameters.steps)
        start, latents = self._begin(parameters, first, sampler)
        total = len(sampler.timesteps) - start
        for index in range(start, len(sampler.timesteps)):
            predicted = self._predict(latents, sampler.timesteps[index], states, parameters.guidance)
            latents, clean_latents = sampler.step(index, predicted, latents)
            on_step(index - start + 1, total, lambda shown=clean_latents: self._preview(shown))  # type: ignore[misc]
        return self._decode(latents)

    @cached_property
    def _encoder(self) -> Graph:
        """Most drawings begin from noise, and do not need it."""
        return self._open(ENCODER)

    def _states_of(self, parameters: Parameters) -> NDArray[np.float32]:
        """(1, T, D) of the prompt; with guidance (2, T, D), of the negative prompt first. Raises InvalidInput."""
        wanted = {"negative prompt": parameters.negative_prompt, "prompt": parameters.prompt}
        texts = list(wanted.values()) if parameters.guidance > 1 else [parameters.prompt]
        tokens = self._tokenize(texts)
        most = tokens["input_ids"].shape[1]
        for what, text in wanted.items():
            count = len(self._whole.encode(clean(text, lowers=False)).ids)
            if count > most:
                raise InvalidInput(
                    f"The {what} has {count} tokens (words and parts of words), and {self.name} reads {most}."
                    " Shorten it."
                )
        return self._texts(**tokens)

    def _begin(self, parameters: Parameters, first: Image.Image | None, sampler: Sampler) -> tuple[int, Latents]:
        """The index of the first step, and the latents that it takes."""
        height, width = parameters.height // self._factor, parameters.width // self._factor
        noise = _noise(parameters.seed, (1, self._channels, height, width))
        if first is None:
            return 0, noise
        start = parameters.steps - steps_with_picture(parameters.steps, parameters.strength)
        pixels = np.asarray(fitted(first, parameters), np.float32).transpose(2, 0, 1)[None] / 127.5 - 1
        latents = self._scale * self._encoder(pixels=np.ascontiguousarray(pixels))
        return start, sampler.add_noise(latents, noise, start)

    def _predict(self, latents: Latents, timestep: int, states: NDArray[np.float32], guidance: float) -> Latents:
        """Equation 6 of arXiv:2207.12598, with the weight w = guidance - 1."""
        batch = np.repeat(latents, len(states), axis=0)
        found = self._denoiser(latents=batch, timestep=np.array([timestep], np.float32), states=states)
        if len(states) == 1:
            return found
        without, with_prompt = found[:1], found[1:]
        return without + guidance * (with_prompt - without)

    def _decode(self, latents: Latents) -> Image.Image:
        pixels = self._decoder(latents=latents / self._scale)[0].transpose(1, 2, 0)
        return Image.fromarray((pixels * 127.5 + 127.5).round().clip(0, 255).astype(np.uint8))

    def _preview(self, latents: Latents) -> Image.Image:
        stride = -(-max(latents.shape[2:]) // PREVIEW_LATENTS)
        return self._decode(np.ascontiguousarray(latents[:, :, ::stride, ::stride]))


def converted_abilities(folder: PipelineFolder) -> Abilities:
    """Read from the pipeline's small files."""
    factor, scheduler = factor_of(folder.config("vae")), folder.config("scheduler")
    few = draws_in_few_steps(folder, {"prediction_type": "epsilon"} | scheduler)
    return abilities_of(
        folder,
        pixels_of(folder.config(DENOISER).get("sample_size"), factor) or (512, 512),
        multiple=factor,
        steps=4 if few else USUAL_STEPS,
        guidance=1.0 if few else USUAL_GUIDANCE,
        scheduler=NAMES.get(str(scheduler.get("_class_name")), "dpm++"),
        schedulers=tuple(sorted(NAMES.values())),
        training_steps=int(scheduler.get("num_train_timesteps", 1000)),
    )


def _open(folder: PipelineFolder, options: dict[str, str], name: str) -> Graph:
    return Graph(folder.graphs / f"{name}.xml", options)


def _options(settings: GenerationSettings) -> dict[str, str]:
    """Raises ModelUnavailable for an arithmetic that the CPU lacks."""
    options = {}
    if settings.precision == "fp16" or (settings.precision == "bf16" and not can_bfloat16()):
        raise ModelUnavailable(
            f"GENERATION_PRECISION={settings.precision}, which this CPU does not compute in. Set"
            " GENERATION_PRECISION=auto."
        )
    if settings.precision == "bf16":
        options["INFERENCE_PRECISION_HINT"] = "bf16"
    if settings.threads:
        options["INFERENCE_NUM_THREADS"] = str(settings.threads)
    return options


def _noise(seed: int, shape: tuple[int, ...]) -> Latents:
    """Normal noise. NumPy keeps this older generator's numbers the same in all its versions, unlike `default_rng`'s."""
    return np.random.RandomState(seed).standard_normal(shape).astype(np.float32)
