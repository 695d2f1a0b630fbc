"""Converts a Stable Diffusion to OpenVINO inside its own folder, so that machines without PyTorch can run it.

Four graphs: prompt tokens -> text states; noisy latents, timestep and text states -> what the network predicts;
latents -> pixels; pixels -> latents. Sizes and batch stay free. `ConvertedGenerator` runs them.
"""

import logging
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from app.models import artifacts
from app.models.generator.abilities import factor_of
from app.models.generator.converted_generator import DECODER, DENOISER, ENCODER, TEXTS, Graph
from app.models.generator.folder import PipelineFolder, find_pipeline
from app.models.generator.quiet import quiet_diffusers
from app.models.generator.sampling import problem_of
from app.models.hugging_face import TRICKY_TEXTS
from app.models.inputs import TextTokenizer
from app.models.openvino.core import NotConvertible, save_network
from app.models.openvino.tracing import trace
from app.settings import GenerationSettings

ALIKE: Final = 0.02
"""Largest difference between numbers of a graph and PyTorch's, as a part of the largest number. Weights in half
precision alone make up to about 0.003 of it, those in int8 about 0.012."""

_KIND: Final = "StableDiffusionPipeline"

Arrays = dict[str, NDArray[Any]]


def ship(folder: Path) -> Path:
    """Convert the pipeline in the folder, with the network's weights in int8 and all others in half precision.

    Returns the folder inside. Raises NotConvertible, ModelUnavailable, OSError.
    """
    pipeline = find_pipeline(GenerationSettings(model=str(folder)))
    if problem := _problem_with(pipeline):
        raise NotConvertible(problem)
    artifacts.make(pipeline.graphs, pipeline.converted_by(), partial(_write, pipeline))
    return pipeline.graphs


def _problem_with(folder: PipelineFolder) -> str | None:
    """Why the pipeline can't run without diffusers; None where it can."""
    if folder.kind != _KIND:
        return f"it is a {folder.kind}, and only a {_KIND} runs without diffusers"
    if "safety_checker" in folder.parts:
        return "it has a safety checker, which the converted form would lack"
    if "image_encoder" in folder.parts or folder.config("unet").get("time_cond_proj_dim"):
        return "its network takes more than a prompt"
    if folder.config("text_encoder").get("use_attention_mask"):
        return "its text encoder takes an attention mask"
    return problem_of(folder.config("scheduler"))


def _write(folder: PipelineFolder, target: Path) -> dict[str, Any]:
    """Raises NotConvertible, ModelUnavailable, OSError."""
    with quiet_diffusers():
        import diffusers

        kind: Any = diffusers.StableDiffusionPipeline
        with folder.checkpoint.translating("it"):
            pipeline = kind.from_pretrained(folder.path, local_files_only=True)
        texts = _tokenizer(pipeline.tokenizer)
        for name, module, inputs in _modules(folder, pipeline):
            network = trace(module, inputs, f"its {name}")
            save_network(_compressed(network) if name == DENOISER else network, target / f"{name}.xml", half=True)
            _compare(name, Graph(target / f"{name}.xml"), module, _others(inputs))
    return {"texts": texts.save(target)}


def _tokenizer(whole: Any) -> TextTokenizer:
    """The pipeline's tokenizer, reduced to the library below it. Raises NotConvertible where the tokens differ."""
    ask = partial(whole, padding="max_length", max_length=whole.model_max_length, truncation=True, return_tensors="np")
    ask(["a"])  # sets padding and truncation in the library
    ours = TextTokenizer(Tokenizer.from_str(whole.backend_tokenizer.to_str()), ["input_ids"], lowers=False)
    texts = [text.encode("utf-8", "replace").decode() for text in TRICKY_TEXTS]
    if not np.array_equal(ours(texts)["input_ids"], ask(texts)["input_ids"]):
        raise NotConvertible("its tokenizer needs transformers")
    return ours


def _compressed(network: Any) -> Any:
    """With the weights in int8, one scale for each channel: half of the space. Sums stay floating-point numbers."""
    import nncf  # takes seconds to import

    logging.getLogger("nncf").setLevel(logging.ERROR)
    return nncf.compress_weights(network, mode=nncf.CompressWeightsMode.INT8_SYM)


class _Texts(torch.nn.Module):
    """Tokens (N, T) int64 -> states (N, T, D)."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        states: torch.Tensor = self.encoder(input_ids)[0]
        return states


class _Denoiser(torch.nn.Module):
    """Latents (N, C, h, w), a timestep (1,) float32 and states (N, T, D) -> the prediction (N, C, h, w)."""

    def __init__(self, unet: Any) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, latents: torch.Tensor, timestep: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
        predicted: torch.Tensor = self.unet(latents, timestep, encoder_hidden_states=states, return_dict=False)[0]
        return predicted


class _Decoder(torch.nn.Module):
    """Latents (N, C, h, w) as the autoencoder has them -> pixels (N, 3, H, W) in -1..1."""

    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        pixels: torch.Tensor = self.vae.decode(latents, return_dict=False)[0]
        return pixels


class _Encoder(torch.nn.Module):
    """Pixels (N, 3, H, W) in -1..1 -> latents (N, C, h, w); of a distribution its mean."""

    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        encoded = self.vae.encode(pixels)
        latents: torch.Tensor = encoded.latent_dist.mode() if hasattr(encoded, "latent_dist") else encoded.latents
        return latents


def _modules(folder: PipelineFolder, pipeline: Any) -> list[tuple[str, torch.nn.Module, Arrays]]:
    """Each graph's name, module and inputs to trace with.

    The sizes are odd. So the network's own care for odd sizes becomes part of its graph.
    """
    random = np.random.default_rng(0)
    factor, channels = factor_of(folder.config("vae")), int(folder.config("unet")["in_channels"])
    tokens = _tokenizer(pipeline.tokenizer)(["a red car", ""])
    latents = random.standard_normal((2, channels, 9, 7), np.float32)
    with torch.no_grad():
        states = pipeline.text_encoder(torch.from_numpy(tokens["input_ids"]))[0].numpy()
    pixels = random.uniform(-1, 1, (1, 3, 9 * factor, 7 * factor)).astype(np.float32)
    timestep = np.array([321], np.float32)
    return [
        (TEXTS, _Texts(pipeline.text_encoder), tokens),
        (DENOISER, _Denoiser(pipeline.unet), {"latents": latents, "timestep": timestep, "states": states}),
        (DECODER, _Decoder(pipeline.vae), {"latents": latents}),
        (ENCODER, _Encoder(pipeline.vae), {"pixels": pixels}),
    ]


def _others(inputs: Arrays) -> list[Arrays]:
    """The inputs to trace with, and the first of each, where pictures and latents with sides of another evenness."""
    return [
        inputs,
        {
            name: np.ascontiguousarray(array[:1, :, :-1] if array.ndim == 4 else array[:1])
            for name, array in inputs.items()
        },
    ]


def _compare(name: str, graph: Graph, module: torch.nn.Module, batches: list[Arrays]) -> None:
    """Raises NotConvertible unless the graph gives the numbers of PyTorch."""
    for inputs in batches:
        with torch.no_grad():
            expected = module(*map(torch.from_numpy, inputs.values())).numpy()
        difference = np.abs(graph(**inputs) - expected).max() / max(np.abs(expected).max(), 1e-6)
        if not difference <= ALIKE:
            raise NotConvertible(
                f"its {name} gives other numbers there (they differ by {difference:.3f} of the largest)"
            )
