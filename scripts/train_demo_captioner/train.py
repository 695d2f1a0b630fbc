"""Train the demo captioner: `python -m scripts.train_demo_captioner.train --sources DIR`.

It learns from the scenes that the demo CLIP learns from (`--store`; they are painted if they are not there yet), each
time with another crop and other colours. It writes a log line every 20 seconds and a checkpoint every 2 minutes. The
same command continues a stopped run; with more `--pictures` it continues a finished one, too.
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info
from transformers import CLIPModel, GitForCausalLM, PreTrainedTokenizerFast

from scripts.train_demo_captioner.initial import start_decoder
from scripts.train_demo_captioner.network import Student, build_model, export_model
from scripts.train_demo_captioner.sentences import Writer, find_clear_colours
from scripts.train_demo_captioner.tokens import build_tokenizer
from scripts.train_demo_clip.augment import augment
from scripts.train_demo_clip.gallery import Gallery
from scripts.train_demo_clip.muon import Muon
from scripts.train_demo_clip.network import PIXEL_MEAN, PIXEL_STD
from scripts.train_demo_clip.scene_store import SceneStore, open_store
from scripts.train_demo_clip.scenes import ScenePlanner
from scripts.train_demo_clip.sources import Sources
from scripts.train_demo_clip.sprites import load_sprites
from scripts.train_demo_clip.tokens import load_tokenizer
from scripts.train_demo_clip.train import default_threads, default_workers, has_fast_bfloat16, rate_at
from scripts.train_demo_clip.vocabulary import load_vocabulary

LENGTH = 20  # tokens of a sentence in training; one in 300 is longer and loses its end
_EMA = 0.995
_FROZEN = 24_000  # pictures in which only the new decoder learns
_MUON_RATE = 2e-3
_STORE_SEED = 3  # of the demo CLIP's scenes

Batch = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Plan:
    """The options of the command line."""

    sources: Path
    store: Path
    cache: Path
    clip: Path
    out: Path
    pictures: int
    scenes: int
    batch: int
    rate: float
    vision_rate: float
    seed: int
    workers: int
    export_only: bool

    @property
    def steps(self) -> int:
        return self.pictures // self.batch

    @property
    def run(self) -> dict[str, object]:
        """What a checkpoint must agree with to be continued; with more pictures, a finished run goes on."""
        return {name: asdict(self)[name] for name in ("scenes", "batch", "rate", "seed")}


def read_plan(arguments: list[str] | None = None) -> Plan:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    home = Path.home() / ".cache"
    parser.add_argument("--sources", type=Path, default=Path("demo-clip-sources"), help="folder of `npm install`")
    parser.add_argument("--store", type=Path, default=home / "demo-clip", help="sprites and scenes of the demo CLIP")
    parser.add_argument("--cache", type=Path, default=home / "demo-captioner", help="checkpoint and log")
    parser.add_argument("--clip", type=Path, default=Path("models/demo-clip"), help="where the vision tower begins")
    parser.add_argument("--out", type=Path, default=Path("models/demo-captioner"))
    parser.add_argument("--pictures", type=int, default=3_200_000, help="how many pictures the model learns from")
    parser.add_argument("--scenes", type=int, default=400_000, help="how many scenes the store holds")
    parser.add_argument("--batch", type=int, default=512 if torch.cuda.is_available() else 128)
    parser.add_argument("--rate", type=float, default=1e-3, help="of the decoder")
    parser.add_argument("--vision-rate", type=float, default=7e-4, help="of the vision tower")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--workers", type=int, default=default_workers())
    parser.add_argument("--export-only", action="store_true", help="write the checkpoint's model without more training")
    return Plan(**vars(parser.parse_args(arguments)))


class SentenceStream(IterableDataset[Batch]):
    """Batches from number `first` to `last`: pixels (B, 3, 96, 96) uint8 and tokens (B, LENGTH).

    Without pixels: the rows (B,) of the store in their place.
    """

    def __init__(
        self, store: SceneStore, writer: Writer, tokenizer: PreTrainedTokenizerFast,
        size: int, seed: int, first: int, last: int, with_pixels: bool,
    ) -> None:  # fmt: skip
        self.with_pixels = with_pixels
        self.store, self.writer, self.tokenizer = store, writer, tokenizer
        self.size, self.seed, self.first, self.last = size, seed, first, last

    def __iter__(self) -> Iterator[Batch]:
        torch.set_num_threads(1)
        worker = get_worker_info()
        step = worker.num_workers if worker else 1
        for number in range(self.first + (worker.id if worker else 0), self.last, step):
            yield self.make(number)

    def make(self, number: int) -> Batch:
        """Batch `number`; it depends on the seed and the number only."""
        rng = np.random.default_rng((self.seed, number))
        rows = np.sort(rng.integers(len(self.store), size=self.size))
        sentences = [self.writer.describe(self.store.scene(row), rng) for row in rows]
        tokens = self.tokenizer(
            sentences, padding="max_length", truncation=True, max_length=LENGTH, return_tensors="pt"
        )["input_ids"]
        if not self.with_pixels:
            return torch.from_numpy(rows), tokens
        return self.pixels(rows, int(rng.integers(2**62))), tokens

    def pixels(self, rows: np.ndarray, seed: int) -> torch.Tensor:
        """(B, 3, 96, 96) uint8: these pictures, changed as the seed says."""
        pixels = torch.from_numpy(self.store.pixels[rows]).permute(0, 3, 1, 2).contiguous()
        return augment(pixels, torch.Generator().manual_seed(seed))


def as_pictures(pixels: torch.Tensor) -> torch.Tensor:
    """(B, 3, H, W) uint8 to what the model sees."""
    return (pixels.float() / 255 - PIXEL_MEAN) / PIXEL_STD


class Learner:
    """A model with its optimisers and the average of its weights."""

    def __init__(self, model: GitForCausalLM, plan: Plan, device: torch.device, gallery: Gallery | None = None) -> None:
        self.model, self.plan, self.device = model.to(device).train(), plan, device
        self.gallery = gallery
        self.student = Student(self.model)
        self.optimisers = self._build_optimisers()
        self.average = {name: value.detach().clone() for name, value in model.state_dict().items()}
        self.step = 0

    def _build_optimisers(self) -> list[torch.optim.Optimizer]:
        """Muon for the matrices of the new decoder, AdamW for all others; the vision tower learns more slowly."""
        matrices, others, tower = [], [], []
        for name, value in self.model.named_parameters():
            inner = value.ndim == 2 and ".encoder.layer." in name
            (tower if "image_encoder" in name else matrices if inner else others).append(value)
        groups = [
            {"params": others, "peak": self.plan.rate},
            {"params": tower, "peak": self.plan.vision_rate},
        ]
        kind = torch.bfloat16 if has_fast_bfloat16(self.device) else torch.float32
        return [
            Muon([{"params": matrices, "peak": _MUON_RATE}], lr=_MUON_RATE, weight_decay=0.05, dtype=kind),
            torch.optim.AdamW(groups, lr=self.plan.rate, betas=(0.9, 0.98), weight_decay=0.0, fused=True),
        ]

    def learn(self, batch: Batch) -> torch.Tensor:
        """One step; the loss before it."""
        progress = self.step / self.plan.steps
        for group in [group for optimiser in self.optimisers for group in optimiser.param_groups]:
            group["lr"] = group["peak"] * rate_at(progress)
        pixels, tokens = (part.to(self.device, non_blocking=True) for part in batch)
        if self.gallery is not None:
            pixels = self.gallery.take(pixels)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=has_fast_bfloat16(self.device)):
            loss = self.student(as_pictures(pixels), tokens, frozen=self.step * self.plan.batch < _FROZEN)
        for optimiser in self.optimisers:
            optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimiser in self.optimisers:
            optimiser.step()
        self._average()
        self.step += 1
        return loss.detach()

    @torch.no_grad()
    def _average(self) -> None:
        current = self.model.state_dict()
        decay = min(_EMA, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(list(self.average.values()), [current[name] for name in self.average], 1 - decay)

    def state(self) -> dict:
        optimisers = [optimiser.state_dict() for optimiser in self.optimisers]
        return {
            "model": self.model.state_dict(), "optimisers": optimisers, "average": self.average, "step": self.step,
        }  # fmt: skip

    def restore(self, state: dict) -> None:
        self.model.load_state_dict(state["model"])
        for optimiser, kept in zip(self.optimisers, state["optimisers"], strict=True):
            peaks = [group["peak"] for group in optimiser.param_groups]
            optimiser.load_state_dict(kept)
            for group, peak in zip(optimiser.param_groups, peaks, strict=True):
                group["peak"] = peak
        self.average, self.step = state["average"], state["step"]


class Run:
    """One training with its files: log, checkpoint, exported model."""

    def __init__(self, plan: Plan) -> None:
        torch.manual_seed(plan.seed)
        self.plan = plan
        plan.cache.mkdir(parents=True, exist_ok=True)
        sources = Sources(plan.sources)
        vocabulary = load_vocabulary(sources.emojibase)
        sheet = load_sprites(sources, vocabulary, plan.store)
        store = open_store(plan.store / "scenes", ScenePlanner(vocabulary, sheet), plan.scenes, _STORE_SEED)
        writer = Writer(vocabulary, find_clear_colours(sheet))
        self.tokenizer = build_tokenizer(writer.all_words())
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        clip = CLIPModel.from_pretrained(plan.clip)
        gallery = Gallery(store.pixels, plan.seed) if device.type == "cuda" else None
        stream = SentenceStream(
            store, writer, self.tokenizer, plan.batch, plan.seed, 0, plan.steps, with_pixels=gallery is None
        )
        model = build_model(clip, self.tokenizer)
        start_decoder(
            model, clip, self.tokenizer, load_tokenizer(plan.clip), writer.nouns,
            as_pictures(stream.pixels(np.linspace(0, len(store) - 1, plan.batch).astype(int), plan.seed)),
        )  # fmt: skip
        self.learner = Learner(model, plan, device, gallery)
        self.spent_s = 0.0
        self._continue()
        stream.first = self.learner.step
        self.batches = DataLoader(
            stream,
            batch_size=None,
            num_workers=plan.workers,
            prefetch_factor=4 if plan.workers else None,
            pin_memory=device.type == "cuda",
        )

    @property
    def _checkpoint(self) -> Path:
        return self.plan.cache / "checkpoint.pt"

    def _continue(self) -> None:
        """Go on from the checkpoint of the same run. Another run's checkpoint is not continued, and said so."""
        if not self._checkpoint.is_file():
            return
        state = torch.load(self._checkpoint, weights_only=True)
        if {name: state["run"].get(name) for name in self.plan.run} != self.plan.run:
            raise SystemExit(
                f"{self._checkpoint} is of another run ({state['run']}): finish that run, name another --cache, "
                "or delete the file"
            )
        self.learner.restore(state)
        self.spent_s = state["spent_s"]
        print(f"continuing at picture {self.learner.step * self.plan.batch:,}", flush=True)

    def train(self) -> None:
        """Train to the end."""
        if self.learner.device.type == "cpu":
            self.learner.student.compile_layers()
        last, said, saved = time.monotonic(), self.spent_s, self.spent_s
        losses: list[torch.Tensor] = []
        for batch in self.batches:
            losses.append(self.learner.learn(batch))
            now = time.monotonic()
            self.spent_s, last = self.spent_s + now - last, now
            if self.spent_s - said > 20:
                self._report(losses, self.spent_s - said)
                losses, said = [], self.spent_s
            if self.spent_s - saved > 120:
                self.save()
                saved = self.spent_s
        self.save()

    def _report(self, losses: list[torch.Tensor], seconds: float) -> None:
        line = {
            "step": self.learner.step, "images": self.learner.step * self.plan.batch,
            "minutes": round(self.spent_s / 60, 2), "images_s": round(self.plan.batch * len(losses) / seconds, 1),
            "loss": round(torch.stack(losses).mean().item(), 4),
            "rate": round(self.learner.optimisers[1].param_groups[0]["lr"], 6),
        }  # fmt: skip
        with (self.plan.cache / "training_log.jsonl").open("a") as log:
            log.write(json.dumps(line) + "\n")
        print(line, flush=True)

    def save(self) -> None:
        """Write a checkpoint; it gets its name when it is complete."""
        part = self._checkpoint.with_suffix(".part")
        torch.save({**self.learner.state(), "spent_s": self.spent_s, "run": self.plan.run}, part)
        part.replace(self._checkpoint)

    def export(self) -> None:
        """Write the averaged model."""
        model = GitForCausalLM(self.learner.model.config)
        model.load_state_dict(self.learner.average)
        export_model(model, self.tokenizer, self.plan.out)


def main() -> None:
    plan = read_plan()
    torch.set_num_threads(default_threads())
    run = Run(plan)
    if not plan.export_only:
        run.train()
    run.export()


if __name__ == "__main__":
    main()
