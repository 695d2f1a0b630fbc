"""Any text-to-image pipeline of diffusers, run by PyTorch on the CPU or on CUDA.

diffusers and PyTorch take seconds to import, so the functions import them.
"""

import inspect
import logging
from collections.abc import Mapping
from typing import Any, Final

from PIL import Image

from app.errors import ContentRefused, InvalidInput, ModelUnavailable, first_line
from app.models.generator.abilities import FEW_STEPS, abilities_of, draws_in_few_steps, pixels_of
from app.models.generator.base import Abilities, OnStep, Parameters
from app.models.generator.folder import PipelineFolder
from app.models.generator.limits import check_parameters, fitted
from app.models.generator.quiet import quiet_diffusers
from app.models.generator.schedulers import name_of, names_for, scheduler_named
from app.settings import GenerationSettings

logger = logging.getLogger(__name__)

USUAL_SIDE: Final = 512
"""Pixels, where a pipeline does not say with which size it was trained."""

USUAL_GUIDANCE: Final = 4.0
"""Where a pipeline's own call has no default."""

PREVIEW_LATENTS: Final = 24
"""The longer side of the latents that a preview decodes. That takes a small part of what the whole picture takes."""

BINNED: Final = frozenset({32, 64, 128, 256})
"""Sizes (latents) of transformers that draw in the nearest size of their training and scale the result."""

_CONTROLLED: Final = frozenset({"control_image", "controlnet_conditioning_scale"})
"""Arguments of pipelines that draw from a picture of edges, depths or poses besides the prompt."""


class DiffusersGenerator:
    """A `Generator` of any diffusers pipeline. Not thread-safe."""

    abilities: Abilities

    def __init__(self, folder: PipelineFolder, settings: GenerationSettings, device: str) -> None:
        """Raises ModelUnavailable."""
        self.name = folder.name
        self._settings, self._device = settings, device
        if settings.threads:
            import torch

            torch.set_num_threads(settings.threads)
        with quiet_diffusers():
            with folder.checkpoint.translating("it"):
                self._from_words = _load(folder, settings, device)
            self._check_kind(folder)
            self._from_picture = _from_picture(self._from_words)
            self._own_scheduler = getattr(self._from_words, "scheduler", None)
            with folder.checkpoint.translating("it"):
                self._place(self._from_words)
        self._placed = self._from_words
        self.abilities = _abilities(folder, self._from_words, takes_pictures=self._from_picture is not None)

    def generate(self, parameters: Parameters, first: Image.Image | None, on_step: OnStep) -> Image.Image:
        """As `Generator.generate`."""
        check_parameters(parameters, self.abilities, with_picture=first is not None)
        with quiet_diffusers():
            self._check_length(parameters.prompt, "prompt")
            self._check_length(parameters.negative_prompt, "negative prompt")
            pipeline = self._from_words if first is None else self._from_picture
            self._take_turn(pipeline)
            if self._own_scheduler is not None:
                pipeline.scheduler = scheduler_named(parameters.scheduler, self._own_scheduler)
            steps = _Steps(parameters, on_step, previews=self._settings.offload == "none")
            result = self._draw(pipeline, _arguments(pipeline, parameters, first) | steps.arguments(pipeline), steps)
        if any(_flags(result)):
            raise ContentRefused(f"The safety checker of {self.name} rejects this picture. Try another prompt or seed.")
        image: Image.Image = result.images[0]
        return image.convert("RGB")

    def _draw(self, pipeline: Any, arguments: Mapping[str, Any], steps: "_Steps") -> Any:
        import torch

        try:
            return pipeline(**arguments)
        except ValueError as error:
            if error is steps.raised:
                raise
            raise InvalidInput(f"{self.name} can't draw this: {first_line(error)}") from error
        except torch.OutOfMemoryError as error:
            raise InvalidInput(
                f"{self.name} has too little memory for this picture. Ask for a smaller one, or let the operator set"
                " GENERATION_ATTENTION_SLICING=true or GENERATION_OFFLOAD=model."
            ) from error
        finally:
            if hasattr(pipeline, "maybe_free_model_hooks"):
                pipeline.maybe_free_model_hooks()  # after an exception the pipeline itself does not

    def _check_kind(self, folder: PipelineFolder) -> None:
        """Raises ModelUnavailable for a pipeline that makes something else than one picture from words alone."""
        named = inspect.signature(self._from_words.__call__).parameters
        if "prompt" not in named or "num_frames" in named or _CONTROLLED & named.keys():
            raise folder.unavailable(
                f"it is a {type(self._from_words).__name__}, which does not draw one picture from words alone"
            )

    def _check_length(self, text: str, what: str) -> None:
        """Raises InvalidInput for a text of which the pipeline would leave out the end."""
        tokenizer, most = _reader_of(self._from_words)
        if tokenizer is None or not text:
            return
        count = len(tokenizer(text, truncation=False)["input_ids"])
        if count > most:
            raise InvalidInput(
                f"The {what} has {count} tokens (words and parts of words), and {self.name} reads {most}. Shorten it."
            )

    def _place(self, pipeline: Any) -> None:
        """Puts the pipeline's parts where they compute. Raises ModelUnavailable."""
        settings = self._settings
        pipeline.set_progress_bar_config(disable=True)
        if settings.attention_slicing:
            pipeline.enable_attention_slicing()
        if settings.offload == "none" or self._device == "cpu":
            if settings.offload != "none":
                logger.warning("GENERATION_OFFLOAD=%s has no effect on the CPU.", settings.offload)
            pipeline.to(self._device)
        elif settings.offload == "model":
            pipeline.enable_model_cpu_offload()
        else:
            pipeline.enable_sequential_cpu_offload()

    def _take_turn(self, pipeline: Any) -> None:
        """Both pipelines share their parts; where these are moved to and fro, hooks of one pipeline do it."""
        if pipeline is not self._placed:
            self._place(pipeline)
            self._placed = pipeline


class _Steps:
    """Tells `on_step` of each step, by either of the two callbacks that pipelines have."""

    def __init__(self, parameters: Parameters, on_step: OnStep, *, previews: bool) -> None:
        self._parameters, self._on_step, self._previews = parameters, on_step, previews
        self.raised: Exception | None = None
        """What `on_step` raised."""

    def arguments(self, pipeline: Any) -> dict[str, Any]:
        """What the pipeline's call gets. Older classes have `callback` alone."""
        named = inspect.signature(pipeline.__call__).parameters
        if "callback_on_step_end" in named:

            def at_end(pipeline: Any, index: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
                self._tell(pipeline, index, getattr(pipeline, "num_timesteps", None), tensors.get("latents"))
                return tensors

            return {"callback_on_step_end": at_end}
        if "callback" in named:
            return {"callback": lambda index, timestep, latents: self._tell(pipeline, index, None, latents)}
        return {}

    def _tell(self, pipeline: Any, index: int, count: int | None, latents: Any) -> None:
        total = max(count or self._parameters.steps, index + 1)

        def preview() -> Image.Image | None:
            return _preview(pipeline, latents, self._parameters) if self._previews else None

        try:
            self._on_step(index + 1, total, preview)
        except Exception as error:
            self.raised = error
            raise


def _load(folder: PipelineFolder, settings: GenerationSettings, device: str) -> Any:
    """The pipeline on the CPU. Raises what diffusers raises."""
    from diffusers import AutoPipelineForText2Image, DiffusionPipeline
    from diffusers.pipelines.auto_pipeline import AUTO_TEXT2IMAGE_PIPELINES_MAPPING

    known = {kind.__name__ for kind in AUTO_TEXT2IMAGE_PIPELINES_MAPPING.values()}
    # The automatic class turns a pipeline for another task into the one for this task.
    loader: Any = AutoPipelineForText2Image if _task_free(folder.kind) in known else DiffusionPipeline
    return loader.from_pretrained(
        folder.path,
        dtype=_dtype(folder, settings, device),
        variant=folder.variant,
        local_files_only=True,
        trust_remote_code=False,
    )


def _task_free(kind: str) -> str:
    """`StableDiffusionPipeline` for `StableDiffusionImg2ImgPipeline` too."""
    return kind.replace("Img2Img", "").replace("Inpaint", "")


def _dtype(folder: PipelineFolder, settings: GenerationSettings, device: str) -> Any:
    """The arithmetic. Raises ModelUnavailable for one that the device lacks.

    `auto` on CUDA: float16 for convolutional networks, which were trained in it, and bfloat16 for transformers, whose
    numbers can exceed float16.
    """
    import torch

    wanted = settings.precision
    if wanted == "auto":
        if device == "cpu":
            return torch.float32
        able = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if "transformer" in folder.parts and able else torch.float16
    if wanted == "fp16" and device == "cpu":
        raise ModelUnavailable("GENERATION_PRECISION=fp16 needs a GPU. Set GENERATION_PRECISION=auto.")
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[wanted]


def _from_picture(pipeline: Any) -> Any:
    """The pipeline of the same parts that begins from a picture; None where its family has none."""
    from diffusers import AutoPipelineForImage2Image

    try:
        found = AutoPipelineForImage2Image.from_pipe(pipeline)
    except ValueError:
        return None
    return found if "strength" in inspect.signature(found.__call__).parameters else None


def _abilities(folder: PipelineFolder, pipeline: Any, *, takes_pictures: bool) -> Abilities:
    named = {name: each.default for name, each in inspect.signature(pipeline.__call__).parameters.items()}
    scheduler = getattr(pipeline, "scheduler", None)
    config = dict(scheduler.config) | {"_class_name": type(scheduler).__name__} if scheduler else {}
    few = draws_in_few_steps(folder, config) or _config_of(pipeline, "transformer").get("guidance_embeds") is False
    factor = int(getattr(pipeline, "vae_scale_factor", 8))
    guidance = named.get("true_cfg_scale" if _has_true_guidance(named) else "guidance_scale")
    return abilities_of(
        folder,
        _size(pipeline, named, factor),
        multiple=factor * (max(2, int(_config_of(pipeline, "transformer").get("patch_size") or 1)))
        if hasattr(pipeline, "transformer")
        else factor,
        steps=FEW_STEPS if few else int(named.get("num_inference_steps") or 50),
        guidance=0.0 if few else float(USUAL_GUIDANCE if guidance is None else guidance),
        scheduler=name_of(scheduler),
        schedulers=names_for(scheduler),
        training_steps=int(config.get("num_train_timesteps") or 1000),
        takes_negative_prompts="negative_prompt" in named
        and not ("true_cfg_scale" in named and not _has_true_guidance(named)),
        takes_pictures=takes_pictures,
    )


def _config_of(pipeline: Any, part: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = getattr(getattr(pipeline, part, None), "config", {})
    return found


def _size(pipeline: Any, named: Mapping[str, Any], factor: int) -> tuple[int, int]:
    """Width and height that the pipeline was trained with, in pixels."""
    if isinstance(named.get("width"), int) and isinstance(named.get("height"), int):
        return named["width"], named["height"]
    sizes = (
        getattr(pipeline, "default_sample_size", None),
        _config_of(pipeline, "unet").get("sample_size"),
        _config_of(pipeline, "transformer").get("sample_size"),
    )
    found = (pixels_of(size, factor) for size in sizes)
    return next((size for size in found if size), (USUAL_SIDE, USUAL_SIDE))


def _has_true_guidance(named: Mapping[str, Any]) -> bool:
    """Whether `true_cfg_scale` is the pipeline's guidance: it has that, and no default for a learned guidance."""
    return "true_cfg_scale" in named and named.get("guidance_scale") is None


def _arguments(pipeline: Any, parameters: Parameters, first: Image.Image | None) -> dict[str, Any]:
    """What the pipeline's call gets: of all that the parameters say, what it has names for."""
    import torch

    named = {name: each.default for name, each in inspect.signature(pipeline.__call__).parameters.items()}
    true_guidance = _has_true_guidance(named)
    given = {
        "prompt": parameters.prompt,
        # Where true guidance is on, a missing negative prompt would turn it off.
        "negative_prompt": parameters.negative_prompt or (" " if true_guidance else ""),
        "width": parameters.width,
        "height": parameters.height,
        "num_inference_steps": parameters.steps,
        "true_cfg_scale" if true_guidance else "guidance_scale": parameters.guidance,
        "prior_guidance_scale": parameters.guidance,
        # Networks of these sizes know tables of sizes that they were trained with; for others it is an error.
        "use_resolution_binning": _config_of(pipeline, "transformer").get("sample_size") in BINNED,
        # On the CPU also where a GPU draws: then the noise is the same on every device.
        "generator": torch.Generator("cpu").manual_seed(parameters.seed),
    }
    if first is not None:
        given |= {"image": fitted(first, parameters), "strength": parameters.strength}
    return {name: value for name, value in given.items() if name in named}


def _flags(result: Any) -> list[bool]:
    """For each picture, whether the pipeline's safety checker rejects it. Its classes have two names for that."""
    found = getattr(result, "nsfw_content_detected", None) or getattr(result, "nsfw_detected", None)
    return [bool(each) for each in found] if isinstance(found, list) else []


def _reader_of(pipeline: Any) -> tuple[Any, int]:
    """The tokenizer that reads the most of a prompt, and how many tokens; (None, 0) without a tokenizer."""
    named = inspect.signature(pipeline.__call__).parameters
    asked = named["max_sequence_length"].default if "max_sequence_length" in named else None
    tokenizers = [
        tokenizer
        for name, tokenizer in pipeline.components.items()
        if name.startswith("tokenizer") and hasattr(tokenizer, "model_max_length")
    ]
    if not tokenizers:
        return None, 0
    longest = max(tokenizers, key=lambda each: each.model_max_length)
    most = longest.model_max_length
    return longest, int(min(most, asked) if asked else most)


def _preview(pipeline: Any, latents: Any, parameters: Parameters) -> Image.Image | None:
    """A small picture of the latents; None for latents that this pipeline keeps in an order of its own."""
    import torch

    vae = getattr(pipeline, "vae", None)
    if latents is None or vae is None:
        return None
    if latents.ndim == 3 and hasattr(pipeline, "_unpack_latents"):
        wanted = inspect.signature(pipeline._unpack_latents).parameters
        if list(wanted) == ["latents", "height", "width", "vae_scale_factor"]:
            latents = pipeline._unpack_latents(latents, parameters.height, parameters.width, pipeline.vae_scale_factor)
    config = vae.config
    if latents.ndim != 4 or latents.shape[1] != config.get("latent_channels"):
        return None
    with torch.no_grad():
        shrink = PREVIEW_LATENTS / max(latents.shape[-2:])
        if shrink < 1:
            latents = torch.nn.functional.interpolate(latents.float(), scale_factor=shrink, mode="area")
        latents = latents[:1] / config.get("scaling_factor", 1.0) + (config.get("shift_factor") or 0.0)
        return _decoded(pipeline, vae, latents)


def _decoded(pipeline: Any, vae: Any, latents: Any) -> Image.Image:
    """Autoencoders whose numbers exceed float16 compute in float32 meanwhile, as the pipelines let them at the end."""
    import torch

    kept = vae.dtype
    needs_float32 = kept == torch.float16 and vae.config.get("force_upcast")
    if needs_float32:
        vae.to(torch.float32)
    try:
        pixels = vae.decode(latents.to(vae.dtype), return_dict=False)[0]
    finally:
        if needs_float32:
            vae.to(kept)
    pictures: list[Image.Image] = pipeline.image_processor.postprocess(pixels.float(), output_type="pil")
    return pictures[0]
