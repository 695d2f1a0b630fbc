"""Train the autoencoder on painted scenes: `python -m scripts.train_demo_generator.train_autoencoder`.

The same command continues a stopped run; with more `--pictures` it goes on from a finished one.
The pictures are the store that `scripts.train_demo_clip.train` paints.
"""

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny
from torch.nn.functional import avg_pool2d, cosine_similarity
from transformers import CLIPModel

from scripts.train_demo_clip.gallery import Gallery
from scripts.train_demo_clip.train import default_threads, has_fast_bfloat16, rate_at
from scripts.train_demo_generator.model import build_autoencoder

_JUDGED = 4  # one of so many pictures of each batch: the judge costs more than the autoencoder
_NOISE = 0.3  # most noise on the latents, so that the decoder forgives the denoiser's small errors


@dataclass(frozen=True)
class Plan:
    pixels: Path
    clip: Path
    cache: Path
    pictures: int
    batch: int
    rate: float
    seed: int
    threads: int


def read_plan(arguments: list[str] | None = None) -> Plan:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    home = Path.home() / ".cache"
    parser.add_argument("--pixels", type=Path, default=home / "demo-clip" / "scenes" / "pixels.npy", help="the store")
    parser.add_argument("--clip", type=Path, default=Path("models/demo-clip"), help="judges what a picture shows")
    parser.add_argument("--cache", type=Path, default=home / "demo-generator", help="checkpoints and logs")
    parser.add_argument("--pictures", type=int, default=72_000, help="how many pictures it learns from")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--threads", type=int, default=default_threads(), help="1 if other work uses the CPU too")
    return Plan(**vars(parser.parse_args(arguments)))


class Trainer:
    def __init__(self, plan: Plan) -> None:
        torch.manual_seed(plan.seed)
        self.plan = plan
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        plan.cache.mkdir(parents=True, exist_ok=True)
        self.store = np.load(plan.pixels, mmap_mode="r")
        self.gallery = Gallery(self.store, plan.seed) if self.device.type == "cuda" else None
        self.model = build_autoencoder().to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.judge = CLIPModel.from_pretrained(plan.clip).vision_model.requires_grad_(False).to(self.device)
        self.optimiser = torch.optim.AdamW(self.model.parameters(), lr=plan.rate, betas=(0.9, 0.99), weight_decay=0)
        self.step, self.spent_s = 0, 0.0
        if self.checkpoint.is_file():
            self._restore()

    @property
    def checkpoint(self) -> Path:
        return self.plan.cache / "autoencoder.pt"

    def _restore(self) -> None:
        state = torch.load(self.checkpoint, weights_only=True, map_location=self.device)
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.spent_s = state["step"], state["spent_s"]
        print(f"continuing at picture {self.step * self.plan.batch:,}", flush=True)

    def save(self) -> None:
        state = {"model": self.model.state_dict(), "optimiser": self.optimiser.state_dict()}
        partial = self.checkpoint.with_suffix(".part")
        torch.save(state | {"step": self.step, "spent_s": self.spent_s}, partial)
        partial.replace(self.checkpoint)

    def run(self) -> None:
        began, said, saved = time.monotonic() - self.spent_s, self.spent_s, self.spent_s
        rows: list[dict[str, torch.Tensor]] = []
        while self.step * self.plan.batch < self.plan.pictures:
            rows.append(self.train_step())
            self.spent_s = time.monotonic() - began
            if self.spent_s - said > 20:
                self._report(rows, self.spent_s - said)
                rows, said = [], self.spent_s
            if self.spent_s - saved > 120:
                self.save()
                saved = self.spent_s
        self.save()

    def train_step(self) -> dict[str, torch.Tensor]:
        for group in self.optimiser.param_groups:
            group["lr"] = self.plan.rate * rate_at(self.step * self.plan.batch / self.plan.pictures)
        rng = np.random.default_rng((self.plan.seed, self.step))
        picked = self._pixels(np.sort(rng.integers(len(self.store), size=self.plan.batch)))
        pictures = (picked.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=has_fast_bfloat16(self.device)):
            terms = losses(self.model, self.judge, pictures)
        self.optimiser.zero_grad(set_to_none=True)
        sum(terms.values()).backward()  # type: ignore[union-attr]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        return {name: value.detach() for name, value in terms.items()}

    def _pixels(self, rows: np.ndarray) -> torch.Tensor:
        """(B, 3, 96, 96) uint8."""
        if self.gallery is not None:
            return self.gallery.take(torch.from_numpy(rows), jitter=False)
        return torch.from_numpy(self.store[rows]).permute(0, 3, 1, 2)

    def _report(self, rows: list[dict[str, torch.Tensor]], seconds: float) -> None:
        line: dict[str, float] = {"images": self.step * self.plan.batch, "minutes": round(self.spent_s / 60, 2)}
        line["images_s"] = round(len(rows) * self.plan.batch / seconds, 1)
        line |= {name: round(torch.stack([row[name] for row in rows]).mean().item(), 4) for name in rows[0]}
        line["loss"] = round(sum(float(line[name]) for name in rows[0]), 4)
        with (self.plan.cache / "autoencoder_log.jsonl").open("a") as log:
            log.write(json.dumps(line) + "\n")
        print(line, flush=True)


def losses(model: AutoencoderTiny, judge: torch.nn.Module, pictures: torch.Tensor) -> dict[str, torch.Tensor]:
    """Colours, edges, what the demo CLIP sees, and latents of mean 0 and variance 1 in each channel."""
    latents = model.encoder(pictures).float()
    noise = torch.rand(len(latents), 1, 1, 1, device=latents.device) * _NOISE * torch.randn_like(latents)
    made = model.decoder(latents + noise).float()
    judged = slice(None, None, _JUDGED)
    fake = judge(pixel_values=made[judged]).last_hidden_state.float()
    with torch.no_grad():
        real = judge(pixel_values=pictures[judged]).last_hidden_state.float()
    spread = latents.var(dim=(0, 2, 3))
    return {
        "colours": (made - pictures).abs().mean(),
        "coarse colours": 2 * avg_pool2d(made - pictures, 8).abs().mean(),  # the edges alone would cost the colours
        "edges": sum((_edges(made, dim) - _edges(pictures, dim)).abs().mean() for dim in (2, 3)),
        "looks": 0.2 * (1 - cosine_similarity(fake, real, dim=-1)).mean(),
        "latents": 0.01 * (latents.mean(dim=(0, 2, 3)).square() + spread - 1 - spread.log()).mean(),
    }  # type: ignore[dict-item]


def _edges(pictures: torch.Tensor, dim: int) -> torch.Tensor:
    return pictures.diff(dim=dim)


def main() -> None:
    plan = read_plan()
    torch.set_num_threads(plan.threads)
    Trainer(plan).run()


if __name__ == "__main__":
    main()
