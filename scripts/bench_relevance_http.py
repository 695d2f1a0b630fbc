"""What the relevance costs a plain text search over HTTP.

    python -m scripts.bench_relevance_http --count 100000

Two services run over the same made-up pictures, one with SEARCH_RELEVANCE=true and one with false. They are asked by
turns, and every query is a new text. The ratio is the median over the rounds; the issue allows 1.10 at 100,000.
"""

import os
import statistics
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Final

import httpx2
import typer

from app.bootstrap import load_embedder
from app.settings import load_settings
from scripts.bench.architectures import named
from scripts.bench.machine import machine
from scripts.bench_service import READY_S, SEARCH, WARM_UP_S, Service, Way, over_http, publish, say, services, texts

FLAGS: Final = ("false", "true")


def main(
    model: Annotated[str, typer.Option(help="as in bench_service")] = "vit-b-32",
    count: Annotated[int, typer.Option(min=1, help="vectors in the index")] = 100_000,
    clients: Annotated[int, typer.Option(min=2, help="clients at the same time")] = 32,
    rounds: Annotated[int, typer.Option(min=1)] = 15,
    seconds: Annotated[float, typer.Option(min=0.1, help="for each service, in each round")] = 2.0,
) -> None:
    """Print a table in Markdown."""
    with ExitStack() as stack:
        workplace = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="image2search-bench-")))
        (workplace / "bucket").mkdir()
        environment = {"STORAGE_URL": f"file://{workplace / 'bucket'}", "MODEL": named(model, workplace)}
        environment["BATCH_MAX_QUEUE"] = "1000"
        os.environ.update(environment)
        settings = load_settings()
        say("loading the model, publishing the index")
        publish(settings, load_embedder(settings.model), count)
        ours = stack.enter_context(services(*(environment | {"SEARCH_RELEVANCE": flag} for flag in FLAGS)))
        wait_for_relevance(ours[1])
        fresh = texts()
        ways = [
            Way("search", f"SEARCH_RELEVANCE={flag}", number, over_http(service.address, SEARCH, fresh, number))
            for number in (1, clients)
            for flag, service in zip(FLAGS, ours, strict=True)
        ]
        measure(ways, rounds, seconds)
    print(f"{machine('openvino', 'faiss-cpu', 'fastapi', 'uvicorn')}\n{model}, {count:,} pictures, {rounds} rounds\n")
    print(table(ways))


def wait_for_relevance(service: Service) -> None:
    """Until the bank is there and answers say how relevant pictures are."""
    until = time.monotonic() + READY_S
    ask = partial(httpx2.post, f"{service.address}{SEARCH.path}", json=SEARCH.body("a cat"))
    while ask().json()["good_match"] is None:
        if time.monotonic() > until:
            raise RuntimeError("the service does not measure relevance")
        time.sleep(0.1)


def measure(ways: list[Way], rounds: int, seconds: float) -> None:
    """Ask by turns; every other round in the opposite order."""
    for way in ways:
        way.ask(min(WARM_UP_S, seconds))
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}")
        for way in ways[:: -1 if number % 2 else 1]:
            per_s, times = way.ask(seconds)
            way.per_s.append(per_s)
            way.ms.append(times)


def table(ways: list[Way]) -> str:
    """`ratio`: of the median times with one client, and of the times per answer with several."""
    lines = ["| | clients | answers/s | p50, ms | ratio |", "|---|---|---|---|---|"]
    for before, each in pairwise([None, *ways]):
        assert each is not None
        ratio = ""
        if before and before.clients == each.clients:
            ratio = f"{ratio_of(before, each):.3f}"
        lines.append(
            f"| {each.precision} | {each.clients} | {statistics.median(each.per_s):.0f} | {each.p(0.5):.2f} | {ratio} |"
        )
    return "\n".join(lines)


def ratio_of(base: Way, other: Way) -> float:
    """How much longer an answer takes: the median over the rounds."""
    if base.clients == 1:
        medians = ([statistics.median(times) for times in way.ms] for way in (base, other))
        return statistics.median(theirs / ours for ours, theirs in zip(*medians, strict=True))
    return statistics.median(base / other for base, other in zip(base.per_s, other.per_s, strict=True))


if __name__ == "__main__":
    typer.run(main)
