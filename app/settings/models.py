"""Settings of the networks: embedder, captioner, rewriter, generator."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_settings import SettingsConfigDict

from app.settings.addresses import check_endpoint
from app.settings.group import Group


class ModelSettings(Group):
    """Which network turns texts and pictures into vectors."""

    model_config = SettingsConfigDict(env_prefix="MODEL_")

    name: str = Field(
        "demo",
        validation_alias="MODEL",
        description="`demo`, or any Hugging Face dual encoder (CLIP, SigLIP, ...) by name or folder",
    )
    revision: str = Field("main", description="branch, tag or commit of a model taken from the hub by name")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where the model runs; auto: CUDA if present")
    runtime: Literal["auto", "openvino", "torch"] = Field(
        "auto", description="what runs the model; auto: PyTorch on CUDA, OpenVINO on the CPU if it can run the model"
    )
    precision: Literal["auto", "fp32", "bf16", "int8"] = Field(
        "auto",
        validation_alias="PRECISION",
        description="arithmetic of the model: `auto`, `fp32`, `bf16`, `int8`; auto: the fastest that keeps the quality",
    )
    cache: Path = Field(
        Path("~/.cache/image2search"),
        description="folder for models converted to OpenVINO, once each; share it between indexer and service",
    )
    threads: int = Field(0, ge=0, description="CPU threads of the model; 0: as many as there are cores")


class BatchSettings(Group):
    """How concurrent requests share the model."""

    model_config = SettingsConfigDict(env_prefix="BATCH_")

    max_size: int = Field(32, ge=1, description="most texts or pictures in one forward pass")
    max_queue: int = Field(256, ge=1, description="requests that may wait for the model; above it: 503 + Retry-After")
    max_wait_ms: float = Field(
        0, ge=0, le=1000, description="how long several requests wait for more to share a pass; a lone one never waits"
    )
    text_cache: int = Field(4096, ge=0, description="texts whose vectors are remembered; 0: none")


class CaptionSettings(Group):
    """Which network describes pictures in words, and how."""

    model_config = SettingsConfigDict(env_prefix="CAPTION_")

    model: str = Field(
        "",
        description="`demo`, or any Hugging Face image-to-text model (BLIP, BLIP-2, GIT, vision encoder-decoder) by "
        "name or folder; empty: pictures get no captions",
    )
    revision: str = Field("main", description="branch, tag or commit of a model taken from the hub by name")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where it runs; auto: CUDA if present")
    runtime: Literal["auto", "openvino", "torch"] = Field(
        "auto", description="what runs the captioner; auto: OpenVINO on the CPU where it gains, else PyTorch"
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="its arithmetic in OpenVINO; auto: bf16 where the CPU multiplies it, else fp32"
    )
    batch_size: int = Field(8, ge=1, description="pictures described together")
    max_tokens: int = Field(30, ge=1, le=500, description="longest caption, in the model's tokens")
    beams: int = Field(
        1, ge=1, le=16, description="captions that are followed at once to find the best; 1: the fastest"
    )


class RewriteSettings(Group):
    """Which language model makes one query of a search session's words and captions (docs/sessions.md)."""

    model_config = SettingsConfigDict(env_prefix="REWRITE_")

    model: str = Field(
        "",
        description="a Hugging Face causal or instruct model by name or folder, such as `Qwen/Qwen3-0.6B`, or the name "
        "of a model at `REWRITE_URL`; empty: no query is rewritten",
    )
    revision: str = Field("main", description="branch, tag or commit of a model taken from the hub by name")
    url: Annotated[str, AfterValidator(check_endpoint)] = Field(
        "",
        description="an API that answers as OpenAI's, such as `http://localhost:11434/v1`; empty: the model runs here",
    )
    key: str = Field("", description="sent to `REWRITE_URL` as `Authorization: Bearer`; empty: none")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where it runs; auto: CUDA if present")
    timeout_s: float = Field(
        10, gt=0, description="after this time without a rewritten query the words are searched as they are, seconds"
    )
    max_tokens: int = Field(80, ge=1, le=4000, description="longest answer, in the model's tokens")
    idle_s: float = Field(600, ge=0, description="the model is unloaded after this time without work, seconds")
    max_queue: int = Field(8, ge=1, description="queries that may wait for the model; above it they are not rewritten")


class GenerationSettings(Group):
    """Which network draws pictures from words, and how much of it callers may ask for."""

    model_config = SettingsConfigDict(env_prefix="GENERATION_")

    model: str = Field(
        "",
        description="`demo`, or any diffusers text-to-image pipeline (Stable Diffusion, SDXL, PixArt, ...) by name or "
        "folder; empty: no pictures are generated",
    )
    revision: str = Field("main", description="branch, tag or commit of a model taken from the hub by name")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where it runs; auto: CUDA if present")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="its arithmetic; auto: fp16 or bf16 on CUDA, fp32 on the CPU"
    )
    threads: int = Field(0, ge=0, description="CPU threads of the generator; 0: as many as there are cores")
    attention_slicing: bool = Field(False, description="less memory for a little time")
    offload: Literal["none", "model", "sequential"] = Field(
        "none", description="parts of the pipeline that wait in main memory, for GPUs that can't hold all of it"
    )
    idle_s: float = Field(600, ge=0, description="the model is unloaded after this time without work, seconds")
    max_queue: int = Field(32, ge=1, description="jobs that may wait; above it: 503 + Retry-After")
    max_pixels: int = Field(1 << 20, ge=1, description="largest picture, width x height")
    max_steps: int = Field(100, ge=1, description="most steps of one picture")
    max_count: int = Field(4, ge=1, le=16, description="most pictures of one job")
    max_prompt_chars: int = Field(1000, ge=1, description="longest prompt, characters")
    keep_days: float = Field(7, ge=0, description="how long results are kept that are not saved into a folder, days")
    blocklist: str = Field(
        "", description="a file with words and phrases, one a line, that no prompt may have; empty: none"
    )
