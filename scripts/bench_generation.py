"""What generation costs: searches over HTTP while a picture is drawn against without, and seconds for a picture.

    python -m scripts.bench_generation                          # the demo models
    GENERATION_MODEL=FOLDER python -m scripts.bench_generation  # another generator

The installed service runs in its own process over a folder with `--count` made-up vectors. Text searches from one
client are measured by turns, in the same run, while nothing else happens and while the service draws pictures one after
the other. The numbers are medians over the rounds. A ratio above 1 says how much longer searches take while it draws.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any

import httpx2
import typer

from app.models.checkpoint import DEMO_MODEL
from app.settings import load_settings
from scripts.bench.machine import machine
from scripts.bench_service import SEARCH, Way, in_precision, over_http, publish, say, services, texts

PATH = "/api/v1/generations"
PROMPT = "a red car at night"
DRAWN_S = 600
"""Longest time to wait for one picture."""


class Painter:
    """Asks the service for pictures, and waits for them."""

    def __init__(self, address: str, steps: int) -> None:
        self._client = httpx2.Client(base_url=address, timeout=60)
        self._steps = steps

    def start(self, count: int = 1) -> str:
        """The path of a new job."""
        body: dict[str, Any] = {"prompt": PROMPT, "n": count, "seed": 1} | (
            {"steps": self._steps} if self._steps else {}
        )
        answer = self._client.post(PATH, json=body)
        answer.raise_for_status()
        return str(answer.headers["location"])

    def state(self, job: str) -> str:
        answer = self._client.get(job)
        answer.raise_for_status()
        found = answer.json()
        if found["state"] == "failed":
            raise RuntimeError(found["error"])
        return str(found["state"])

    def wait(self, job: str, *states: str) -> None:
        until = time.monotonic() + DRAWN_S
        while self.state(job) not in states:
            if time.monotonic() > until:
                raise RuntimeError("the picture takes too long")
            time.sleep(0.05)

    def picture_s(self) -> float:
        """Seconds from the request to the finished picture, with nothing else to do."""
        began = time.perf_counter()
        self.wait(self.start(), "succeeded")
        return time.perf_counter() - began

    @contextmanager
    def drawing(self, most: int) -> Iterator[None]:
        """While at most this many pictures are drawn. What is not finished at the end is cancelled."""
        job = self.start(most)
        self.wait(job, "running", "succeeded")
        try:
            yield
            if self.state(job) != "running":
                raise RuntimeError("the drawing ended before the measurement did: take fewer --seconds or more --steps")
        finally:
            self._client.delete(job)
            self.wait(job, "cancelled", "succeeded")


def table(alone: Way, beside: Way) -> str:
    """The medians as a Markdown table."""
    lines = ["| text search, one client | answers/s | p50, ms | p99, ms |", "|---|---|---|---|"]
    for way in (alone, beside):
        per_s = statistics.median(way.per_s)
        lines.append(f"| {way.name} | {per_s:.0f} | {way.p(0.5):.2f} | {way.p(0.99):.2f} |")
    ratios = [beside.p(share) / alone.p(share) for share in (0.5, 0.99)]
    lines.append(f"| ratio | | {ratios[0]:.2f} | {ratios[1]:.2f} |")
    return "\n".join(lines)


def main(
    count: Annotated[int, typer.Option(min=1, help="vectors in the index")] = 10_000,
    rounds: Annotated[int, typer.Option(min=1)] = 5,
    seconds: Annotated[float, typer.Option(min=0.1, help="for each way, in each round")] = 4.0,
    steps: Annotated[int, typer.Option(min=0, help="steps of each picture; 0: the model's own number")] = 100,
    pictures: Annotated[int, typer.Option(min=1, max=16, help="pictures of a job that is drawn meanwhile")] = 4,
) -> None:
    """Measure searches beside generation."""
    with ExitStack() as stack:
        bucket = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="image2search-bench-"))) / "bucket"
        bucket.mkdir()
        environment = {
            "STORAGE_URL": f"file://{bucket}",
            "GENERATION_MODEL": os.environ.get("GENERATION_MODEL") or DEMO_MODEL,
            "GENERATION_MAX_COUNT": str(pictures),
        }
        os.environ.update(environment)
        settings = load_settings()
        publish(settings, in_precision(settings, "auto"), count)
        (service,) = stack.enter_context(services(environment))
        painter, queries = Painter(service.address, steps), texts()
        say("loading the generator")
        painter.picture_s()
        times = [painter.picture_s() for _ in range(rounds)]
        ask = over_http(service.address, SEARCH, queries, 1)
        alone, beside = Way("nothing else", "", 1, ask), Way("while it draws", "", 1, ask)
        ask(1.0)
        for number in range(rounds):
            say(f"round {number + 1} of {rounds}")
            _measure(alone, seconds)
            with painter.drawing(pictures):
                _measure(beside, seconds)
    print(machine("openvino", "diffusers", "torch", "fastapi", "uvicorn"))
    print(f"{environment['GENERATION_MODEL']}, {count:,} vectors\n")
    print(table(alone, beside))
    print(f"\nA picture alone: {statistics.median(times):.2f} s (median of {rounds}).")


def _measure(way: Way, seconds: float) -> None:
    per_s, times = way.ask(seconds)
    way.per_s.append(per_s)
    way.ms.append(times)


if __name__ == "__main__":
    typer.run(main)
