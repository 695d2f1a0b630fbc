"""Train the demo CLIP: `python -m scripts.train_demo_clip.train --sources DIR --minutes 100`.

The training has a fixed time: learning rate and curriculum depend on the share of it that has passed.
It writes a log line every 20 seconds and a checkpoint every 4 minutes; `--resume` continues from the last checkpoint.
"""

import argparse
import json
import math
import multiprocessing
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import CLIPModel, CLIPTokenizer

from scripts.train_demo_clip.batches import Batch, SceneStream, curriculum, load_batches
from scripts.train_demo_clip.captions import FULL, LOOSE, Captioner
from scripts.train_demo_clip.export import export_model
from scripts.train_demo_clip.initial import start_patches
from scripts.train_demo_clip.looks import describe_looks
from scripts.train_demo_clip.muon import Muon
from scripts.train_demo_clip.network import (
    PIXEL_MEAN,
    PIXEL_STD,
    SceneHeads,
    build_config,
    build_model,
    contrastive_loss,
    counterfactual_loss,
    encode_images,
)  # fmt: skip
from scripts.train_demo_clip.scenes import ScenePainter, ScenePlanner, find_own_colours
from scripts.train_demo_clip.sources import Sources
from scripts.train_demo_clip.sprites import load_sprites
from scripts.train_demo_clip.tokens import learn_tokenizer, load_tokenizer
from scripts.train_demo_clip.vocabulary import load_vocabulary

_WARM_UP = 0.03
_EMA = 0.999
_MUON_RATE = 1.5e-3
_HIGHEST_SCALE = math.log(60.0)


@dataclass(frozen=True)
class Plan:
    """The options of the command line."""

    sources: Path
    cache: Path
    out: Path
    minutes: float
    batch: int
    rate: float
    seed: int
    workers: int
    vocabulary: int
    resume: bool


def read_plan() -> Plan:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sources", type=Path, default=Path("demo-clip-sources"), help="folder of `npm install`")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "demo-clip", help="sprites, checkpoints")
    parser.add_argument("--out", type=Path, default=Path("models/demo-clip"))
    parser.add_argument("--minutes", type=float, default=100.0)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument(
        "--workers", type=int, default=1 if not torch.cuda.is_available() else max(2, (os.cpu_count() or 4) - 2)
    )
    parser.add_argument("--vocabulary", type=int, default=7500, help="number of pieces that the tokenizer learns")
    parser.add_argument("--resume", action="store_true", help="continue from the checkpoint in --cache")
    return Plan(**vars(parser.parse_args()))


class Trainer:
    """Model, optimiser and clock of one run."""

    def __init__(self, plan: Plan) -> None:
        torch.manual_seed(plan.seed)
        self.plan = plan
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        sources = Sources(plan.sources)
        vocabulary = load_vocabulary(sources.emojibase)
        sheet = load_sprites(sources, vocabulary, plan.cache)
        self.captioner = Captioner(vocabulary, find_own_colours(sheet))
        self.planner = ScenePlanner(vocabulary, sheet)
        self.painter, self.looks = ScenePainter(sheet, plan.seed), describe_looks(sheet)
        self.state = torch.load(self._checkpoint, weights_only=True) if plan.resume else None
        self.tokenizer = load_tokenizer(plan.cache / "tokenizer") if plan.resume else self._learn_tokenizer()
        self.model = build_model(build_config(self.tokenizer)).to(self.device)
        self.heads = SceneHeads(
            self.model.config.vision_config.hidden_size, self.model.config.projection_dim, len(vocabulary.glyphs)
        ).to(self.device)
        self.average = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        self.optimisers = self._build_optimisers()
        self.step, self.spent_s = 0, 0.0
        self.progress = multiprocessing.Value("d", 0.0)
        if self.state is not None:
            self._restore(self.state)

    @property
    def _checkpoint(self) -> Path:
        return self.plan.cache / "checkpoint.pt"

    @property
    def _log(self) -> Path:
        return self.plan.cache / "training_log.jsonl"

    def _learn_tokenizer(self) -> CLIPTokenizer:
        rng = np.random.default_rng(self.plan.seed)
        scenes = (self.planner.plan(rng, curriculum(1.0)) for _ in range(60_000))
        texts = (self.captioner.describe(scene, rng, FULL if rng.random() < 0.4 else LOOSE).text for scene in scenes)
        tokenizer = learn_tokenizer(texts, self.plan.vocabulary)
        tokenizer.save_pretrained(self.plan.cache / "tokenizer")
        return tokenizer

    def _build_optimisers(self) -> list[torch.optim.Optimizer]:
        """Muon for the matrices inside the towers, AdamW for all other weights."""
        named = [*self.model.named_parameters(), *self.heads.named_parameters()]
        inner = [value for name, value in named if value.ndim == 2 and ".layers." in name]
        taken = {id(value) for value in inner}
        rest = [value for _, value in named if id(value) not in taken]
        return [
            Muon(inner, lr=_MUON_RATE, weight_decay=0.05),
            torch.optim.AdamW(rest, lr=self.plan.rate, betas=(0.9, 0.98), weight_decay=0.0, fused=True),
        ]

    def _start_patches(self, stream: SceneStream) -> None:
        batch = stream.make(np.random.default_rng((self.plan.seed, 0)), 0.3)
        start_patches(self.model, self._pixels(batch))
        self.average = {name: value.detach().clone() for name, value in self.model.state_dict().items()}

    def _restore(self, state: dict) -> None:
        self.model.load_state_dict(state["model"])
        self.heads.load_state_dict(state["heads"])
        for optimiser, kept in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(kept)
        self.average, self.step, self.spent_s = state["average"], state["step"], state["spent_s"]

    def run(self) -> None:
        """Train until the time is over, then export the averaged model."""
        stream = SceneStream(
            self.planner, self.painter, self.captioner, self.tokenizer,
            self.looks, self.plan.batch, self.plan.seed, self.step, self.progress,
        )  # fmt: skip
        if self.step == 0:
            self._start_patches(stream)
        budget_s, last, said, saved = self.plan.minutes * 60, time.monotonic(), 0.0, self.spent_s
        losses: list[float] = []
        for batch in load_batches(stream, self.plan.workers):
            losses.append(self._train_step(batch, min(1.0, self.spent_s / budget_s)))
            now = time.monotonic()
            self.spent_s, last = self.spent_s + now - last, now
            self.progress.value = min(1.0, self.spent_s / budget_s)
            if self.spent_s - said > 20:
                self._report(losses)
                losses, said = [], self.spent_s
            if self.spent_s - saved > 240:
                self.save()
                saved = self.spent_s
            if self.spent_s >= budget_s:
                break
        self.save()
        export_model(self.averaged(), self.tokenizer, self.plan.out)

    def _train_step(self, batch: Batch, progress: float) -> float:
        for optimiser, peak in zip(self.optimisers, (_MUON_RATE, self.plan.rate), strict=True):
            for group in optimiser.param_groups:
                group["lr"] = peak * rate_at(progress)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=has_fast_bfloat16(self.device)):
            loss = self._loss(batch)
        for optimiser in self.optimisers:
            optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimiser in self.optimisers:
            optimiser.step()
        with torch.no_grad():
            self.model.logit_scale.clamp_(0, _HIGHEST_SCALE)
            self._average()
        self.step += 1
        return loss.item()

    def _loss(self, batch: Batch) -> torch.Tensor:
        features = encode_images(self.model, self._pixels(batch))
        images = self.model.visual_projection(features)
        facts = {name: value.to(self.device) for name, value in batch["facts"].items()}
        loss = 0.25 * self.heads.loss(features, facts) + 0.3 * self.heads.prototype_loss(images, facts["glyphs"])
        first, second = (self._encode_texts(tokens) for tokens in batch["tokens"])
        for texts, true in zip((first, second), batch["also_true"], strict=True):
            loss = loss + 0.5 * contrastive_loss(images, texts, true.to(self.device), self.model.logit_scale)
            loss = loss + 0.15 * self.heads.prototype_loss(texts, facts["glyphs"])
        if len(batch["counted"]):
            rows, wrong = batch["counted"].to(self.device), self._encode_texts(batch["miscounted"])
            loss = loss + counterfactual_loss(images[rows], first[rows], wrong, self.model.logit_scale)
        return loss

    def _encode_texts(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.model.text_projection(self.model.text_model(input_ids=tokens.to(self.device)).pooler_output)

    def _pixels(self, batch: Batch) -> torch.Tensor:
        return (batch["pixels"].to(self.device).float() / 255 - PIXEL_MEAN) / PIXEL_STD

    def _average(self) -> None:
        current = self.model.state_dict()
        names = [name for name, value in current.items() if value.is_floating_point()]
        decay = min(_EMA, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_([self.average[name] for name in names], [current[name] for name in names], 1 - decay)

    def _report(self, losses: list[float]) -> None:
        line = {
            "step": self.step,
            "images": self.step * self.plan.batch,
            "minutes": round(self.spent_s / 60, 2),
            "loss": round(float(np.mean(losses)), 4),
            "rate": round(self.optimisers[1].param_groups[0]["lr"], 6),
            "scale": round(self.model.logit_scale.exp().item(), 2),
        }
        with self._log.open("a") as log:
            log.write(json.dumps(line) + "\n")
        print(line, flush=True)

    def save(self) -> None:
        """Write a checkpoint, so an interrupted run loses only minutes. It gets its name when it is complete."""
        state = {
            "model": self.model.state_dict(), "heads": self.heads.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "average": self.average, "step": self.step, "spent_s": self.spent_s,
        }  # fmt: skip
        torch.save(state, self._checkpoint.with_suffix(".part"))
        self._checkpoint.with_suffix(".part").replace(self._checkpoint)

    def averaged(self) -> CLIPModel:
        model = CLIPModel(self.model.config)
        model.load_state_dict(self.average)
        return model


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether the processor has instructions for bfloat16. Emulated, it is eight times slower than float32."""
    able = torch.cpu.get_capabilities()
    return device.type == "cuda" or bool(able.get("avx512_bf16") or able.get("amx_bf16"))


def rate_at(progress: float) -> float:
    """The learning rate as a share of its peak: a warm-up, then a cosine down to 1 %."""
    if progress < _WARM_UP:
        return max(0.02, progress / _WARM_UP)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (progress - _WARM_UP) / (1 - _WARM_UP)))


def main() -> None:
    plan = read_plan()
    torch.set_num_threads(os.cpu_count() or 2)
    Trainer(plan).run()


if __name__ == "__main__":
    main()
