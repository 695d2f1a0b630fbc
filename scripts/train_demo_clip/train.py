"""Train the demo CLIP: `python -m scripts.train_demo_clip.train --sources DIR`.

The scenes are painted once into a store; then the model learns from a fixed number of pictures. Learning rate and
curriculum depend on the share of them that it has seen, so the seed decides the result, not the clock.
It writes a log line every 20 seconds and a checkpoint every 2 minutes. The same command continues a stopped run.
"""

import argparse
import json
import math
import os
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch
from transformers import CLIPModel, CLIPTokenizer

from scripts.train_demo_clip.batches import Batch, Recipe, SceneStream, load_batches
from scripts.train_demo_clip.captions import BARE, FULL, LOOSE, Captioner
from scripts.train_demo_clip.export import export_model
from scripts.train_demo_clip.gallery import Gallery
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
from scripts.train_demo_clip.scene_store import open_store, variety
from scripts.train_demo_clip.scenes import ScenePlanner, find_own_colours
from scripts.train_demo_clip.sources import STYLE_WEIGHTS, Sources
from scripts.train_demo_clip.sprites import load_sprites
from scripts.train_demo_clip.tokens import learn_tokenizer, load_tokenizer
from scripts.train_demo_clip.vocabulary import load_vocabulary

_WARM_UP = 0.02
_EMA = 0.999
_MUON_RATE = 1.5e-3
_HIGHEST_SCALE = math.log(60.0)
_BUCKETS = 4
_WHOLE_PICTURES_FROM = 0.9  # share of the training after which no patch is dropped (FLIP, arXiv:2212.00794, section 3)


@dataclass(frozen=True)
class Plan:
    """The options of the command line."""

    sources: Path
    cache: Path
    out: Path
    pictures: int
    scenes: int
    batch: int
    rate: float
    keep: float
    seed: int
    workers: int
    vocabulary: int
    leave_out: str | None
    without: list[str]

    @property
    def steps(self) -> int:
        return self.pictures // self.batch

    @property
    def run(self) -> dict[str, object]:
        """What a checkpoint must agree with to be continued."""
        kept = ("pictures", "scenes", "batch", "rate", "keep", "seed", "vocabulary", "leave_out", "without")
        return {name: value for name, value in asdict(self).items() if name in kept}


def read_plan(arguments: list[str] | None = None) -> Plan:
    on_gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sources", type=Path, default=Path("demo-clip-sources"), help="folder of `npm install`")
    parser.add_argument(
        "--cache", type=Path, default=Path.home() / ".cache" / "demo-clip", help="sprites, scenes, checkpoints"
    )
    parser.add_argument("--out", type=Path, default=Path("models/demo-clip"))
    parser.add_argument("--pictures", type=int, default=3_200_000, help="how many pictures the model learns from")
    parser.add_argument("--scenes", type=int, default=400_000, help="how many of them are painted (28 kB each)")
    parser.add_argument("--batch", type=int, default=768 if on_gpu else 128)
    parser.add_argument("--rate", type=float, default=1.5e-3 if on_gpu else 1e-3)
    parser.add_argument("--keep", type=float, default=1.0, help="share of the patches that the vision tower sees")
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--workers", type=int, default=default_workers())
    parser.add_argument("--vocabulary", type=int, default=7500, help="number of pieces that the tokenizer learns")
    parser.add_argument("--leave-out", choices=sorted(STYLE_WEIGHTS), help="a style to choose settings by")
    parser.add_argument("--without", nargs="*", default=[], choices=[field.name for field in fields(Recipe)])
    return Plan(**vars(parser.parse_args(arguments)))


class Trainer:
    """Model, optimiser and clock of one run."""

    def __init__(self, plan: Plan) -> None:
        torch.manual_seed(plan.seed)
        self.plan = plan
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        plan.cache.mkdir(parents=True, exist_ok=True)
        sources = Sources(plan.sources)
        vocabulary = load_vocabulary(sources.emojibase)
        sheet = load_sprites(sources, vocabulary, plan.cache)
        styles = tuple(style for style in STYLE_WEIGHTS if style != plan.leave_out)
        self.captioner = Captioner(vocabulary, find_own_colours(sheet))
        self.planner = ScenePlanner(vocabulary, sheet, styles)
        name = f"scenes-without-{plan.leave_out}" if plan.leave_out else "scenes"
        self.store = open_store(plan.cache / name, self.planner, plan.scenes, plan.seed)
        self.looks = describe_looks(sheet)
        self.state = self._find_checkpoint()
        self.tokenizer = load_tokenizer(plan.cache / "tokenizer") if self.state else self._learn_tokenizer()
        self.model = build_model(build_config(self.tokenizer)).to(self.device)
        if self.device.type == "cpu":
            for layer in self.model.vision_model.encoder.layers:
                layer.compile()  # a third less time; texts have too many shapes for it
        self.heads = SceneHeads(
            self.model.config.vision_config.hidden_size, self.model.config.projection_dim, len(vocabulary.glyphs)
        ).to(self.device)
        self.average = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        self.optimisers = self._build_optimisers()
        self.step, self.spent_s = 0, 0.0
        if self.state is not None:
            self._restore(self.state)
            torch.manual_seed(plan.seed + self.step)  # of the dropped patches
        on_gpu = self.device.type == "cuda"
        self.gallery = Gallery(self.store.pixels, plan.seed + self.step) if on_gpu else None

    def _find_checkpoint(self) -> dict | None:
        """The checkpoint of the same run. Another run's checkpoint is not continued, and said so."""
        if not self._checkpoint.is_file():
            return None
        state = torch.load(self._checkpoint, weights_only=True)
        if state["run"] == self.plan.run:
            print(f"continuing at picture {state['step'] * self.plan.batch:,}", flush=True)
            return state
        raise SystemExit(
            f"{self._checkpoint} is of another run ({state['run']}): finish that run, name another --cache, "
            "or delete the file"
        )

    @property
    def _checkpoint(self) -> Path:
        return self.plan.cache / "checkpoint.pt"

    @property
    def _log(self) -> Path:
        return self.plan.cache / "training_log.jsonl"

    def _learn_tokenizer(self) -> CLIPTokenizer:
        rng = np.random.default_rng(self.plan.seed)
        scenes = (self.planner.plan(rng, variety(1.0)) for _ in range(60_000))
        wordings = (FULL, FULL, LOOSE, LOOSE, BARE)
        texts = (self.captioner.describe(scene, rng, wordings[rng.integers(len(wordings))]).text for scene in scenes)
        tokenizer = learn_tokenizer(texts, self.plan.vocabulary)
        tokenizer.save_pretrained(self.plan.cache / "tokenizer")
        return tokenizer

    def _build_optimisers(self) -> list[torch.optim.Optimizer]:
        """Muon for the matrices inside the towers, AdamW for all other weights."""
        named = [*self.model.named_parameters(), *self.heads.named_parameters()]
        inner = [value for name, value in named if value.ndim == 2 and ".layers." in name]
        taken = {id(value) for value in inner}
        rest = [value for _, value in named if id(value) not in taken]
        kind = torch.bfloat16 if has_fast_bfloat16(self.device) else torch.float32
        return [
            Muon(inner, lr=_MUON_RATE, weight_decay=0.05, dtype=kind),
            torch.optim.AdamW(rest, lr=self.plan.rate, betas=(0.9, 0.98), weight_decay=0.0, fused=True),
        ]

    def _start_patches(self, stream: SceneStream) -> None:
        batch = stream.make(round(0.1 * self.plan.steps))
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
        recipe = Recipe(**dict.fromkeys(self.plan.without, False))
        stream = SceneStream(
            self.store, self.planner, self.captioner, self.tokenizer, self.looks,
            self.plan.batch, self.plan.seed, self.step, self.plan.steps, recipe, with_pixels=self.gallery is None,
        )  # fmt: skip
        if self.step == 0:
            self._start_patches(stream)
        last, said, saved = time.monotonic(), self.spent_s, self.spent_s
        losses: list[torch.Tensor] = []
        for batch in load_batches(stream, self.plan.workers):
            losses.append(self._train_step(batch, self.step / self.plan.steps))
            now = time.monotonic()
            self.spent_s, last = self.spent_s + now - last, now
            if self.spent_s - said > 20:
                self._report(losses)
                losses, said = [], self.spent_s
            if self.spent_s - saved > 120:
                self.save()
                saved = self.spent_s
        self.save()
        export_model(self.averaged(), self.tokenizer, self.plan.out)

    def _train_step(self, batch: Batch, progress: float) -> torch.Tensor:
        for optimiser, peak in zip(self.optimisers, (_MUON_RATE, self.plan.rate), strict=True):
            for group in optimiser.param_groups:
                group["lr"] = peak * rate_at(progress)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=has_fast_bfloat16(self.device)):
            loss = self._loss(batch, self.plan.keep if progress < _WHOLE_PICTURES_FROM else 1.0)
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
        return loss.detach()

    def _loss(self, batch: Batch, keep: float) -> torch.Tensor:
        features = encode_images(self.model, self._pixels(batch), keep)
        images = self.model.visual_projection(features)
        facts = {name: value.to(self.device) for name, value in batch["facts"].items()}
        loss = 0.25 * self.heads.loss(features, facts) + 0.3 * self.heads.prototype_loss(images, facts["glyphs"])
        first, second, wrong, words = self._encode_texts(*batch["tokens"], batch["miscounted"], batch["words"])
        for texts, true, named in zip((first, second), batch["also_true"], batch["named"], strict=True):
            loss = loss + 0.5 * contrastive_loss(images, texts, true.to(self.device), self.model.logit_scale)
            loss = loss + 0.15 * self._prototype_loss(texts, named)
        if len(batch["counted"]):
            rows = batch["counted"].to(self.device)
            loss = loss + counterfactual_loss(images[rows], first[rows], wrong, self.model.logit_scale)
        if len(batch["words"]):
            loss = loss + 0.3 * self._prototype_loss(words, batch["meant"])
        return loss

    def _prototype_loss(self, texts: torch.Tensor, glyphs: torch.Tensor) -> torch.Tensor:
        """Captions of a place name no glyph: they have no part in it."""
        named = glyphs.sum(1) > 0
        return self.heads.prototype_loss(texts[named], glyphs[named].to(self.device))

    def _encode_texts(self, *groups: torch.Tensor) -> list[torch.Tensor]:
        """(N, L) token ids to (N, D) for each group. All texts of about one length go through the tower together."""
        longest, padding = max(group.shape[1] for group in groups), self.tokenizer.pad_token_id
        tokens = torch.cat(
            [torch.nn.functional.pad(group, (0, longest - group.shape[1]), value=padding) for group in groups]
        )
        if self.device.type == "cuda":  # many small steps would take longer there than the padding
            encoded = self._encode_bucket(tokens.to(self.device, non_blocking=True))
            return list(encoded.split([len(group) for group in groups]))
        lengths = (tokens != self.tokenizer.pad_token_id).sum(1) + 1  # the end mark is the padding, too
        order = lengths.argsort()
        rows = [self._encode_bucket(tokens[bucket, : lengths[bucket].max()]) for bucket in order.chunk(_BUCKETS)]
        encoded = torch.cat(rows)[order.argsort()]
        return list(encoded.split([len(group) for group in groups]))

    def _encode_bucket(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.model.text_projection(self.model.text_model(input_ids=tokens).pooler_output)

    def _pixels(self, batch: Batch) -> torch.Tensor:
        pixels = batch["pixels"]
        if pixels is None:
            assert self.gallery is not None
            pixels = self.gallery.take(batch["rows"], jitter="jitter" not in self.plan.without)
        return (pixels.float() / 255 - PIXEL_MEAN) / PIXEL_STD

    def _average(self) -> None:
        current = self.model.state_dict()
        names = [name for name, value in current.items() if value.is_floating_point()]
        decay = min(_EMA, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_([self.average[name] for name in names], [current[name] for name in names], 1 - decay)

    def _report(self, losses: list[torch.Tensor]) -> None:
        line = {
            "step": self.step,
            "images": self.step * self.plan.batch,
            "minutes": round(self.spent_s / 60, 2),
            "images_s": round(self.plan.batch * len(losses) / 20, 1),
            "loss": round(torch.stack(losses).mean().item(), 4),
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
            "average": self.average, "step": self.step, "spent_s": self.spent_s, "run": self.plan.run,
        }  # fmt: skip
        torch.save(state, self._checkpoint.with_suffix(".part"))
        self._checkpoint.with_suffix(".part").replace(self._checkpoint)

    def averaged(self) -> CLIPModel:
        model = CLIPModel(self.model.config)
        model.load_state_dict(self.average)
        return model


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether the processor has instructions for bfloat16. Emulated, it is eight times slower than float32."""
    if device.type == "cuda":
        return True
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


def default_workers() -> int:
    """Processes that prepare batches: a GPU waits for them."""
    return max(2, (os.cpu_count() or 4) - 2) if torch.cuda.is_available() else 1


def default_threads() -> int:
    """Beside a GPU, all cores prepare batches."""
    return 1 if torch.cuda.is_available() else os.cpu_count() or 2


def rate_at(progress: float) -> float:
    """The learning rate as a share of its peak: a warm-up, then a cosine down to 1 %."""
    if progress < _WARM_UP:
        return max(0.02, progress / _WARM_UP)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (progress - _WARM_UP) / (1 - _WARM_UP)))


def main() -> None:
    plan = read_plan()
    torch.set_num_threads(default_threads())
    Trainer(plan).run()


if __name__ == "__main__":
    main()
