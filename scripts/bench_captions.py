"""Compares how fast pictures get captions: PyTorch, PyTorch with the vision part in OpenVINO, and OpenVINO alone.

    python -m scripts.bench_captions --model blip-base

All run in one process, in turn, over the same pictures. `--model` is a folder or a name as in CAPTION_MODEL, or an
architecture with random weights (blip-base, git-base), whose captions have full length and mean nothing.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from PIL import Image
from rich.console import Console

from app.models.agreement import sample_pictures
from app.models.captioner.base import Captioner
from app.models.captioner.converted import ConvertedCaptioner
from app.models.captioner.source import SourceCaptioner, find_captioner
from app.models.captioner.torch_captioner import TorchCaptioner
from app.models.captioner.tracing import write_captioner
from app.models.openvino.core import CORE, can_bfloat16, save_network
from app.models.openvino.tracing import trace
from app.settings import CaptionSettings
from scripts.bench.architectures import named
from scripts.bench.machine import machine

say = Console(stderr=True).print


class VisionInOpenVino(TorchCaptioner):
    """PyTorch finds the words, OpenVINO looks at the picture."""

    def __init__(self, source: SourceCaptioner, settings: CaptionSettings, workplace: Path, precision: str) -> None:
        super().__init__(source, "cpu", settings)
        parent, name = vision_of(self._network)
        pixels = self._images(sample_pictures()[:2])
        path = workplace / "vision.xml"
        if not path.exists():
            save_network(trace(_FirstOutput(getattr(parent, name)), pixels, "its vision part"), path)
        setattr(parent, name, _Compiled(path, precision))


class _FirstOutput(torch.nn.Module):
    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, pixel_values: Any) -> Any:
        return self.inner(pixel_values).last_hidden_state


class _Compiled(torch.nn.Module):
    def __init__(self, path: Path, precision: str) -> None:
        super().__init__()
        options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision}
        self.request = CORE.compile_model(path, "CPU", options).create_infer_request()

    def forward(self, pixel_values: Any, **_: object) -> Any:
        from transformers.modeling_outputs import BaseModelOutputWithPooling

        seen = np.array(self.request.infer({"pixel_values": pixel_values.numpy()})[0])
        return BaseModelOutputWithPooling(last_hidden_state=torch.from_numpy(seen))


def vision_of(network: Any) -> tuple[Any, str]:
    """The module that has the vision part, and its name there."""
    return (network.git, "image_encoder") if network.config.model_type == "git" else (network, "vision_model")


def runners(source: SourceCaptioner, settings: CaptionSettings, workplace: Path) -> dict[str, Callable[[], Captioner]]:
    """Each makes a captioner when its turn comes: two large ones need not fit into memory together."""
    name = source.checkpoint.name
    made: dict[str, Callable[[], Captioner]] = {
        "PyTorch fp32": lambda: TorchCaptioner(source, "cpu", settings),
        "PyTorch, vision in OpenVINO fp32": lambda: VisionInOpenVino(source, settings, workplace, "f32"),
        "OpenVINO fp32": lambda: ConvertedCaptioner(name, workplace, settings, "f32"),
    }
    if can_bfloat16():
        made["PyTorch, vision in OpenVINO bf16"] = lambda: VisionInOpenVino(source, settings, workplace, "bf16")
        made["OpenVINO bf16"] = lambda: ConvertedCaptioner(name, workplace, settings, "bf16")
    return made


def measure(make: Callable[[], Captioner], pictures: Sequence[Image.Image], rounds: int) -> tuple[float, list[str]]:
    """The median time for one picture, milliseconds, and the captions."""
    captioner, took = make(), []
    captions = captioner.caption(pictures)
    for _ in range(rounds):
        began = time.perf_counter()
        captioner.caption(pictures)
        took.append(1000 * (time.perf_counter() - began) / len(pictures))
    return statistics.median(took), captions


def main(
    model: Annotated[str, typer.Option(help="as CAPTION_MODEL, or an architecture")] = "blip-base",
    batch: Annotated[int, typer.Option(help="pictures together")] = 8,
    rounds: Annotated[int, typer.Option(help="measurements of each way")] = 3,
    max_tokens: Annotated[int, typer.Option(help="longest caption, tokens")] = 12,
    beams: Annotated[int, typer.Option()] = 1,
    threads: Annotated[int, typer.Option(help="of PyTorch; 0: as many as there are cores")] = 0,
) -> None:
    """Print a table: milliseconds for one picture, and how many captions are PyTorch's."""
    if threads:
        torch.set_num_threads(threads)
    settings = CaptionSettings(batch_size=batch, max_tokens=max_tokens, beams=beams)
    pictures = (sample_pictures() * (batch // 4 + 1))[:batch]
    print(machine("torch", "transformers", "openvino"))
    print("\n| | ms a picture | times as fast | the same captions |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        workplace = Path(folder)
        say(f"preparing {model}")
        name = named(model, workplace)
        source = SourceCaptioner(find_captioner(settings.model_copy(update={"model": name})))
        write_captioner(source, workplace)
        plain_ms, plain = 0.0, [""]
        for way, make in runners(source, settings, workplace).items():
            say(way)
            took_ms, captions = measure(make, pictures, rounds)
            plain_ms, plain = (plain_ms or took_ms), (plain if plain_ms else captions)
            same = sum(ours == theirs for ours, theirs in zip(captions, plain, strict=True))
            print(f"| {way} | {took_ms:,.0f} | {plain_ms / took_ms:.2f} | {same} of {len(pictures)} |", flush=True)


if __name__ == "__main__":
    typer.run(main)
