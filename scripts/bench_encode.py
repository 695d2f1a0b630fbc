"""Compares how fast pictures and texts become vectors: our towers, PyTorch and ONNX Runtime, in one process, in turn.

    pip install -e '.[bench]'
    python -m scripts.bench_encode --model vit-b-32

Every runner gets the same preprocessed pictures, the same tokens and the same number of threads. `--model` is a folder
or a name as in MODEL, or an architecture with random weights (vit-b-32, vit-b-16).
"""

import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console

from app.models.agreement import cosines, sample_pictures
from app.models.base import ModelInputs, Towers
from app.models.calibration import sample_calibration
from app.models.checkpoint import Checkpoint, find_checkpoint
from app.models.hugging_face import SourceModel
from app.models.openvino.conversion import Converter
from app.models.openvino.core import can_bfloat16
from app.models.openvino.quantization import NotQuantizable, quantize
from app.models.openvino.towers import OpenVinoTowers
from app.models.torch_towers import TorchTowers
from app.settings import ModelSettings
from app.types import Vectors
from scripts.bench.architectures import named
from scripts.bench.machine import machine

WORDS = "two red sailboats next to an old lighthouse at night"

say = Console(stderr=True).print


class OnnxTowers:
    """`Towers` run by ONNX Runtime in float32, from PyTorch's own export."""

    runtime, precision, agreement = "onnxruntime-cpu", "fp32", None

    def __init__(self, network: Any, folder: Path, texts: ModelInputs, images: ModelInputs, threads: int) -> None:
        import onnx  # noqa: F401 - PyTorch's exporter needs it, and this fails early when it is missing
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._sessions = {}
        for kind, inputs in (("text", texts), ("image", images)):
            path = folder / f"{kind}.onnx"
            export_onnx(network, kind, inputs, path)
            self._sessions[kind] = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def encode_texts(self, inputs: ModelInputs) -> Vectors:
        return self._run("text", inputs)

    def encode_images(self, inputs: ModelInputs) -> Vectors:
        return self._run("image", inputs)

    def _run(self, kind: str, inputs: ModelInputs) -> Vectors:
        rows: Vectors = self._sessions[kind].run(None, inputs)[0]
        return rows


class _Tower(torch.nn.Module):
    def __init__(self, network: Any, kind: str, names: Sequence[str]) -> None:
        super().__init__()
        self.network, self.kind, self.names = network, kind, names

    def forward(self, *arrays: torch.Tensor) -> torch.Tensor:
        output = getattr(self.network, f"get_{self.kind}_features")(**dict(zip(self.names, arrays, strict=True)))
        return output if isinstance(output, torch.Tensor) else output.pooler_output


def export_onnx(network: Any, kind: str, inputs: ModelInputs, path: Path) -> None:
    names = list(inputs)
    axes = {name: {0: "batch", **({1: "length"} if kind == "text" else {})} for name in names}
    with torch.no_grad(), warnings.catch_warnings(action="ignore"):
        torch.onnx.export(
            _Tower(network, kind, names).eval(),
            tuple(torch.from_numpy(array) for array in inputs.values()),
            path,
            input_names=names,
            output_names=["vectors"],
            dynamic_axes={**axes, "vectors": {0: "batch"}},
            opset_version=17,
            dynamo=False,
        )


@dataclass
class Runner:
    """One way of encoding, and its measurements."""

    name: str
    towers: Towers
    per_s: list[float] = field(default_factory=list)
    text_ms: list[float] = field(default_factory=list)
    cosine: float = 0.0

    def measure(self, images: ModelInputs, text: ModelInputs, seconds: float) -> None:
        """One round: pictures for `seconds`, then texts for half as long."""
        size = len(next(iter(images.values())))
        self.per_s.append(size / _median_s(lambda: self.towers.encode_images(images), seconds))
        self.text_ms.append(1000 * _median_s(lambda: self.towers.encode_texts(text), seconds / 2))


def _median_s(act: Callable[[], object], seconds: float) -> float:
    took, until = [], time.perf_counter() + seconds
    while len(took) < 2 or time.perf_counter() < until:
        began = time.perf_counter()
        act()
        took.append(time.perf_counter() - began)
    return statistics.median(took)


def runners(
    checkpoint: Checkpoint, source: SourceModel, workplace: Path, images: ModelInputs, threads: int
) -> list[Runner]:
    """All runners that work on this machine, the plain loop first."""
    network, prepare = source.load_network().eval(), source.prepare
    found = [Runner("transformers, PyTorch fp32", TorchTowers(network, "cpu", "fp32"))]
    if can_bfloat16():
        found.append(Runner("PyTorch bf16 (autocast)", TorchTowers(network, "cpu", "bf16")))
    try:
        found.append(
            Runner("ONNX Runtime fp32", OnnxTowers(network, workplace, prepare.texts([WORDS] * 2), images, threads))
        )
    except ImportError:
        say("onnx and onnxruntime are not installed: left out")
    say("converting to OpenVINO")
    converted = Converter(checkpoint, source).find_or_convert(workplace)
    found.append(
        Runner("ours, OpenVINO fp32", OpenVinoTowers.load(converted.folder, "fp32", threads=threads, for_batches=True))
    )
    if can_bfloat16():
        found.append(
            Runner(
                "ours, OpenVINO bf16", OpenVinoTowers.load(converted.folder, "bf16", threads=threads, for_batches=True)
            )
        )
    say("fitting 8-bit arithmetic to the sample pictures")
    try:
        calibration = sample_calibration()
        if calibration is None:
            raise NotQuantizable("the sample pictures are not installed")
        quantized = quantize(converted, calibration, against="fp32", threads=threads)
        found.append(
            Runner(
                "ours, OpenVINO int8", OpenVinoTowers.load(quantized.folder, "int8", threads=threads, for_batches=True)
            )
        )
    except NotQuantizable as error:
        say(f"int8 is left out: {error}")
    return found


def table(found: Sequence[Runner]) -> str:
    """A Markdown table: medians over the rounds, and ratios to the plain loop and to ONNX Runtime."""
    onnx = next((each for each in found if each.name.startswith("ONNX")), None)
    lines = [
        "| | images/s | x plain | x ONNX Runtime | one text, ms | x plain | cosine to fp32, lowest |",
        "|---|---|---|---|---|---|---|",
    ]
    plain_s, plain_ms = statistics.median(found[0].per_s), statistics.median(found[0].text_ms)
    for each in found:
        per_s, text_ms = statistics.median(each.per_s), statistics.median(each.text_ms)
        to_onnx = f"{per_s / statistics.median(onnx.per_s):.2f}" if onnx else ""
        lines.append(
            f"| {each.name} | {per_s:.1f} | {per_s / plain_s:.2f} | {to_onnx} | {text_ms:.2f}"
            f" | {plain_ms / text_ms:.2f} | {each.cosine:.5f} |"
        )
    return "\n".join(lines)


def main(
    model: Annotated[str, typer.Option(help="name or folder, or vit-b-32, vit-b-16 with random weights")] = "vit-b-32",
    batch: Annotated[int, typer.Option(min=1, help="pictures in one pass")] = 16,
    rounds: Annotated[int, typer.Option(min=1, help="turns of each runner")] = 5,
    seconds: Annotated[float, typer.Option(min=0.0, help="seconds of encoding pictures, in each turn")] = 3.0,
    threads: Annotated[int, typer.Option(min=0, help="0: one for each core")] = 0,
) -> None:
    """Compare runtimes and arithmetics for one model."""
    threads = threads or os.cpu_count() or 1
    torch.set_num_threads(threads)
    with ExitStack() as stack:
        workplace = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="image2search-bench-")))
        name = named(model, workplace)
        checkpoint = find_checkpoint(ModelSettings(name=name))
        source = SourceModel(checkpoint)
        prepare = source.prepare
        pictures = (sample_pictures() * batch)[:batch]
        images, text = prepare.images(pictures), prepare.texts([WORDS])
        found = runners(checkpoint, source, workplace, images, threads)
        truth = found[0].towers.encode_images(images)
        for each in found:
            each.cosine = float(cosines(each.towers.encode_images(images), truth).min())
        for number in range(rounds):
            for each in found:
                say(f"round {number + 1} of {rounds}: {each.name}")
                each.measure(images, text, seconds)
    print(machine("torch", "transformers", "openvino", "onnxruntime"))
    print(f"{model}, batches of {batch}, one text of {text['input_ids'].shape[1]} tokens, {threads} threads\n")
    print(table(found))


if __name__ == "__main__":
    typer.run(main)
