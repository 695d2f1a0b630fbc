"""A generator without a network, for the real worker process. Its prompts say how it behaves.

It writes a line for each step into the file that FAKE_GENERATOR_LOG names, and waits where a prompt says so until the
gate, a file beside it, is there. The processes of the tests see and steer it so.
"""

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

from app.errors import ContentRefused, ModelUnavailable
from app.generation.device import ROOT
from app.generation.worker import main
from app.models.generator.base import Abilities, OnStep, Parameters
from app.models.generator.limits import check_parameters
from app.settings import GenerationSettings

PROGRAM = "import sys; from tests.support.fake_generator import serve; serve(int(sys.argv[1]))"
COMMAND = (sys.executable, "-P", "-c", PROGRAM)
LOG = "FAKE_GENERATOR_LOG"
DEADLINE_S = 90.0

ABILITIES = Abilities(
    width=32, height=32, size_multiple=8, min_side=8, max_side=256, steps=3, guidance=5.0,
    scheduler="ddim", schedulers=("ddim", "euler"), max_steps=50,
)  # fmt: skip


def environment(log: Path) -> dict[str, str]:
    """For `Device`."""
    return {LOG: str(log), "PYTHONPATH": str(ROOT), "GENERATION_MODEL": "fake"}


def gate(log: Path, name: str) -> Path:
    """The file that a drawing whose prompt says `waits <name>` waits for."""
    return log.parent / f"gate-{name}"


class FakeGenerator:
    name = "fake-generator"
    abilities = ABILITIES

    def __init__(self, log: Path) -> None:
        self._log = log

    def generate(self, parameters: Parameters, first: Image.Image | None, on_step: OnStep) -> Image.Image:
        check_parameters(parameters, self.abilities, with_picture=first is not None)
        picture = drawn(parameters, first)
        for step in range(1, parameters.steps + 1):
            with self._log.open("a") as log:
                log.write(f"{parameters.prompt} {parameters.seed} step {step}\n")
            self._behave(parameters.prompt, step)
            on_step(step, parameters.steps, lambda: picture)
        return picture

    def _behave(self, prompt: str, step: int) -> None:
        words = prompt.split()
        if step == 2 and "waits" in words:
            wait_for(gate(self._log, words[words.index("waits") + 1]))
        if step == 2 and "crashes" in words:
            os.kill(os.getpid(), signal.SIGKILL)
        if "dawdles" in words:
            time.sleep(0.02)
        if "explodes" in words:
            raise RuntimeError("a secret path: /srv/models")
        if "swells" in words:
            raise MemoryError
        if "offends" in words:
            raise ContentRefused("The model's safety checker rejects the picture.")


def drawn(parameters: Parameters, first: Image.Image | None = None) -> Image.Image:
    """A picture that only these parameters have."""
    noise = np.random.default_rng([parameters.seed, len(parameters.prompt), parameters.steps])
    pixels = noise.integers(0, 255, (parameters.height, parameters.width, 3), np.uint8)
    picture = Image.fromarray(pixels)
    return Image.blend(picture, first.resize(picture.size), 1 - parameters.strength) if first else picture


def wait_for(file: Path) -> None:
    ends = time.monotonic() + DEADLINE_S
    while not file.exists():
        assert time.monotonic() < ends, f"{file} did not come"
        time.sleep(0.005)


def serve(handle: int) -> None:
    """The worker process."""
    log = Path(os.environ[LOG])

    def load(settings: GenerationSettings) -> FakeGenerator:
        if settings.model == "broken":
            raise ModelUnavailable("There is no /srv/models.")
        with log.open("a") as file:
            file.write(f"loaded {os.getpid()}\n")
        return FakeGenerator(log)

    main(handle, load)
