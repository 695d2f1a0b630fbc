"""Train the denoiser on latents: `python -m scripts.train_demo_generator.train --sources DIR`.

The same command continues a stopped run; with more `--pictures` it goes on from a finished one. Learning rate and
average depend on the pictures so far, not on their planned number, so each checkpoint is as good as the last of a run.
"""

import argparse
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers.models.attention_processor import AttnProcessor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info
from transformers import CLIPTextModel, CLIPTokenizer

from scripts.train_demo_clip.captions import Captioner
from scripts.train_demo_clip.muon import Muon
from scripts.train_demo_clip.scenes import Scene
from scripts.train_demo_clip.train import default_threads, has_fast_bfloat16
from scripts.train_demo_generator.latents import CHUNK, Studio, latent_file, open_studio, plan_chunk
from scripts.train_demo_generator.model import build_denoiser, build_scheduler
from scripts.train_demo_generator.prompts import describe

_MUON_RATE = 2e-3
_WARM_UP = 100  # steps
_REFRESH = 200  # steps, after which new latents are looked for
_FULL_RATE = 3000  # steps, after which the rates fall with the square root
_WITHOUT_WORDS = 0.1  # share of the captions that are dropped, for guidance (arXiv:2207.12598)
_LIGHT = 5.0  # signal-to-noise ratio from which a step counts less (arXiv:2303.09556)
_AVERAGE_POWER = 6.94  # the average spans about a tenth of the steps so far (arXiv:2312.02696, section 3.1)


@dataclass(frozen=True)
class Plan:
    sources: Path
    clip_cache: Path
    clip: Path
    cache: Path
    pictures: int
    batch: int
    rate: float
    seed: int
    threads: int
    workers: int


def read_plan(arguments: list[str] | None = None) -> Plan:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    home = Path.home() / ".cache"
    parser.add_argument("--sources", type=Path, default=Path("demo-clip-sources"), help="folder of `npm install`")
    parser.add_argument("--clip-cache", type=Path, default=home / "demo-clip", help="sprites")
    parser.add_argument("--clip", type=Path, default=Path("models/demo-clip"), help="its text tower reads the prompts")
    parser.add_argument("--cache", type=Path, default=home / "demo-generator", help="latents, checkpoints, logs")
    parser.add_argument("--pictures", type=int, default=4_000_000, help="how many pictures it learns from")
    parser.add_argument("--batch", type=int, default=96)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--threads", type=int, default=default_threads(), help="1 if other work uses the CPU too")
    on_gpu = torch.cuda.is_available()
    parser.add_argument("--workers", type=int, default=4 if on_gpu else 0, help="processes that prepare batches")
    return Plan(**vars(parser.parse_args(arguments)))


class Texts:
    """The demo CLIP's text tower as it was when the training began: a later one has other words and other states."""

    def __init__(self, clip: Path, cache: Path) -> None:
        folder = cache / "clip"
        if not folder.is_dir():
            shutil.copytree(clip, folder, ignore=shutil.ignore_patterns("openvino", "*.md", "training_*"))
        self.tokenizer = CLIPTokenizer.from_pretrained(folder)
        self.tower = CLIPTextModel.from_pretrained(folder, dtype=torch.float32).requires_grad_(False).eval()

    def to(self, device: torch.device) -> "Texts":
        self.tower.to(device)
        return self

    def tokens(self, texts: list[str]) -> torch.Tensor:
        """(N, 32)."""
        return self.tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt").input_ids

    def states(self, tokens: torch.Tensor) -> torch.Tensor:
        """(N, 32) -> (N, 32, 128), as the pipeline makes them."""
        with torch.no_grad():
            return self.tower(tokens)[0]


class LatentStore:
    """All latents that are painted so far, with their scenes."""

    def __init__(self, cache: Path, studio: Studio) -> None:
        self.cache, self.studio = cache, studio
        self.chunks: list[np.ndarray] = []
        self.scenes: list[Scene] = []
        self.refresh()
        if not self.chunks:
            raise SystemExit(f"{cache / 'latents'} has no latents yet: run scripts.train_demo_generator.latents first")

    def refresh(self) -> None:
        """Read the next file, if it is there."""
        while (file := latent_file(self.cache, len(self.chunks))).is_file():
            self.scenes += plan_chunk(self.studio.planner, len(self.chunks))
            self.chunks.append(np.load(file))

    def __len__(self) -> int:
        return len(self.scenes)

    @property
    def scale(self) -> float:
        """What gives the latents unit variance; of the first file, so it stays when files come."""
        return scale_of(self.chunks[0])

    def rows(self, numbers: np.ndarray) -> torch.Tensor:
        picked = np.stack([self.chunks[number // CHUNK][number % CHUNK] for number in numbers])
        return torch.from_numpy(picked).float() * self.scale


Batch = tuple[torch.Tensor, torch.Tensor]


class LatentStream(IterableDataset[Batch]):
    """Batches from number `first` on: latents (B, 6, 12, 12) and the tokens (B, 32) of their captions."""

    def __init__(self, store: LatentStore, captioner: Captioner, texts: Texts, plan: Plan, first: int) -> None:
        self.store, self.captioner, self.texts, self.plan, self.first = store, captioner, texts, plan, first

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        if worker:
            torch.set_num_threads(1)
        number = self.first + (worker.id if worker else 0)
        while True:
            yield self.make(number)
            number += worker.num_workers if worker else 1
            if number % _REFRESH == 0:
                self.store.refresh()

    def make(self, number: int) -> Batch:
        """Batch `number`; it depends on the seed, the number and the latents that are there."""
        rng = np.random.default_rng((self.plan.seed, number))
        numbers = rng.integers(len(self.store), size=self.plan.batch)
        texts = [describe(self.captioner, self.store.scenes[number], rng) for number in numbers]
        said = ["" if rng.random() < _WITHOUT_WORDS else text for text in texts]
        return self.store.rows(numbers), self.texts.tokens(said)


def scale_of(latents: np.ndarray) -> float:
    return float(1 / latents.astype(np.float32).std())


class Trainer:
    def __init__(self, plan: Plan, studio: Studio) -> None:
        torch.manual_seed(plan.seed)
        self.plan = plan
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.captioner = studio.captioner
        self.store = LatentStore(plan.cache, studio)
        self.texts = Texts(plan.clip, plan.cache)
        self.signal = build_scheduler().alphas_cumprod.to(self.device)
        self.model = build_denoiser()
        self.model.set_attn_processor(AttnProcessor())  # faster than the fused kernel where tokens are few
        self.model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        self.inner = inner_matrices(self.model)
        self.optimisers = self._build_optimisers()
        self.step, self.seen, self.spent_s = 0, 0, 0.0
        if self.checkpoint.is_file():
            self._restore()

    @property
    def checkpoint(self) -> Path:
        return self.plan.cache / "denoiser.pt"

    def _build_optimisers(self) -> list[torch.optim.Optimizer]:
        """Muon for the matrices and filters inside, AdamW for all other weights."""
        taken = {id(weight) for weight, _ in self.inner}
        rest = [weight for weight in self.model.parameters() if id(weight) not in taken]
        kind = torch.bfloat16 if has_fast_bfloat16(self.device) else torch.float32
        return [
            Muon([matrix for _, matrix in self.inner], lr=_MUON_RATE, weight_decay=0.01, dtype=kind),
            torch.optim.AdamW(rest, lr=self.plan.rate, betas=(0.9, 0.99), weight_decay=0.0, fused=True),
        ]

    def _restore(self) -> None:
        state = torch.load(self.checkpoint, weights_only=True, map_location=self.device)
        self.model.load_state_dict(state["model"])
        for optimiser, kept in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(kept)
        self.average, self.step, self.seen = state["average"], state["step"], state["seen"]
        self.spent_s = state["spent_s"]
        print(f"continuing at picture {self.seen:,}", flush=True)

    def save(self) -> None:
        """It gets its name when it is complete."""
        state = {
            "model": self.model.state_dict(), "average": self.average,
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "step": self.step, "seen": self.seen, "spent_s": self.spent_s,
        }  # fmt: skip
        partial = self.checkpoint.with_suffix(".part")
        torch.save(state, partial)
        partial.replace(self.checkpoint)

    def run(self) -> None:
        began, said, saved = time.monotonic() - self.spent_s, self.spent_s, self.spent_s
        losses: list[torch.Tensor] = []
        stream = LatentStream(self.store, self.captioner, self.texts, self.plan, self.step)
        batches = iter(
            DataLoader(
                stream,
                batch_size=None,
                num_workers=self.plan.workers,
                prefetch_factor=8 if self.plan.workers else None,
                pin_memory=self.device.type == "cuda",
            )
        )
        self.texts.to(self.device)  # after the workers, which need the tokenizer only, have begun
        while self.seen < self.plan.pictures:
            losses.append(self.train_step(next(batches)))
            self.spent_s = time.monotonic() - began
            if self.spent_s - said > 20:
                self._report(losses, self.spent_s - said)
                losses, said = [], self.spent_s
            if self.spent_s - saved > 60:
                self.save()
                saved = self.spent_s
        self.save()

    def train_step(self, batch: Batch) -> torch.Tensor:
        for optimiser, peak in zip(self.optimisers, (_MUON_RATE, self.plan.rate), strict=True):
            for group in optimiser.param_groups:
                group["lr"] = peak * rate_at(self.step)
        latents, tokens = (part.to(self.device, non_blocking=True) for part in batch)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=has_fast_bfloat16(self.device)):
            loss = denoising_loss(self.model, latents, self.texts.states(tokens), self.signal)
        self.model.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for weight, matrix in self.inner:
            matrix.grad = None if weight.grad is None else as_matrix(weight.grad)
        for optimiser in self.optimisers:
            optimiser.step()
        self.step, self.seen = self.step + 1, self.seen + self.plan.batch
        update_average(self.average, self.model.state_dict(), self.step)
        return loss.detach()

    def _report(self, losses: list[torch.Tensor], seconds: float) -> None:
        line = {
            "step": self.step,
            "images": self.seen,
            "minutes": round(self.spent_s / 60, 2),
            "images_s": round(self.plan.batch * len(losses) / seconds, 1),
            "loss": round(torch.stack(losses).mean().item(), 4),
            "rate": round(self.optimisers[1].param_groups[0]["lr"], 6),
            "scenes": len(self.store),
        }
        with (self.plan.cache / "training_log.jsonl").open("a") as log:
            log.write(json.dumps(line) + "\n")
        print(line, flush=True)


def denoising_loss(
    model: torch.nn.Module, latents: torch.Tensor, states: torch.Tensor, signal: torch.Tensor
) -> torch.Tensor:
    """The error of the velocity (arXiv:2202.00512). `signal` (T,): the share of the latents' variance at each time."""
    batch = len(latents)
    places = torch.arange(batch, device=latents.device) + torch.rand(batch, device=latents.device)
    times = (places / batch * len(signal)).long()  # all noise levels in each batch
    share = signal[times][:, None, None, None]
    noise = torch.randn_like(latents)
    noisy = share.sqrt() * latents + (1 - share).sqrt() * noise
    velocity = share.sqrt() * noise - (1 - share).sqrt() * latents
    guess = model(noisy, times, states, return_dict=False)[0].float()
    weight = _LIGHT / (_LIGHT + share / (1 - share))
    return (weight * (guess - velocity).square()).mean()


def as_matrix(weight: torch.Tensor) -> torch.Tensor:
    """A view of a matrix or of filters as a matrix (out, rest)."""
    return weight if weight.ndim == 2 else weight.permute(0, 2, 3, 1).flatten(1)


def inner_matrices(model: torch.nn.Module) -> list[tuple[torch.nn.Parameter, torch.Tensor]]:
    """(weight, the same memory as a matrix) of all blocks; filters must lie in memory with their channels last."""
    named = [(name, weight) for name, weight in model.named_parameters() if "blocks." in name and weight.ndim in (2, 4)]
    return [(weight, as_matrix(weight.detach())) for _, weight in named]


def update_average(average: dict[str, torch.Tensor], current: dict[str, torch.Tensor], step: int) -> None:
    keep = (1 - 1 / step) ** (1 + _AVERAGE_POWER)
    torch._foreach_lerp_(list(average.values()), [current[name] for name in average], 1 - keep)


def rate_at(step: int) -> float:
    """The learning rate as a share of its peak."""
    return min(1.0, (step + 1) / _WARM_UP) * min(1.0, (_FULL_RATE / max(1, step)) ** 0.5)


def main() -> None:
    plan = read_plan()
    torch.set_num_threads(plan.threads)
    Trainer(plan, open_studio(plan.sources, plan.clip_cache)).run()


if __name__ == "__main__":
    main()
