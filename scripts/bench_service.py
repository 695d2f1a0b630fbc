"""How fast the service answers: text searches over HTTP, from one client and from many.

    python -m scripts.bench_service --model vit-b-32 --count 100000

The installed service runs in its own process over a folder with `--count` made-up vectors, once in each arithmetic that
this processor has instructions for (`--precision`). 8 bits are fitted to the sample pictures first, where that was not
done before. Every query is a new text, except in the row `asked before`. `batching off` is the service in the last
arithmetic with one text a pass (BATCH_MAX_SIZE=1). `in process` is the least that a search needs: tokens, model, vector
search. `hybrid` searches words too; `composed` has a term and a minus term, both new texts; `explained` adds each
term's part of each score. All run at the same time and are measured by turns, with texts of the same kind.
`--infinity` is the address of an infinity server: it embeds with the same model and does no search. For random weights,
make the model's folder first and give it to both:

    python -m scripts.bench.architectures vit-b-32 FOLDER
    infinity_emb v2 --model-id FOLDER --engine torch --device cpu
    python -m scripts.bench_service --model FOLDER --infinity http://127.0.0.1:7997
"""

import asyncio
import json
import operator
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count as counting
from pathlib import Path
from typing import Annotated, Any

import httpx2
import numpy as np
import typer
from rich.console import Console

from app.bootstrap import load_embedder, open_catalog, open_store
from app.catalog.changes import Changes
from app.models.bank import load_bank
from app.models.base import Embedder
from app.models.checkpoint import find_checkpoint
from app.models.hardware import has_int8_dot
from app.models.openvino.core import can_bfloat16
from app.settings import Settings, load_settings
from scripts.bench.architectures import named
from scripts.bench.machine import machine
from scripts.bench.workload import Clusters
from scripts.bench_catalog import record

READY_S = 180
WARM_UP_S = 0.5
WORDS = ("cat", "dog", "boat", "house", "tree", "car", "bird", "fish", "horse", "bridge", "tower", "child", "lamp")
COLOURS = ("red", "green", "blue", "yellow", "black", "white", "grey", "brown", "orange", "purple", "pink")
PLACES = ("on the grass", "at night", "in the snow", "by the sea", "in a room", "under the trees", "in the rain")

say = Console(stderr=True).print


@dataclass
class Way:
    """One way of asking, and its measurements, one entry a round."""

    name: str
    precision: str
    clients: int
    ask: Callable[[float], tuple[float, list[float]]]
    """Takes the seconds to go on for; returns the answers per second and the milliseconds of each answer."""
    per_s: list[float] = field(default_factory=list)
    ms: list[list[float]] = field(default_factory=list)

    def p(self, share: float) -> float:
        """The median over the rounds of this quantile, in milliseconds."""
        return statistics.median(float(np.quantile(times, share)) for times in self.ms)


def texts() -> Iterator[str]:
    """Short and long texts by turns, of four to twenty tokens, about twelve on average; no text comes twice."""
    for number in counting():
        first, second, colour = (list_[number * step % len(list_)] for list_, step in
                                 ((WORDS, 1), (WORDS, 7), (COLOURS, 3)))  # fmt: skip
        place = PLACES[number % len(PLACES)]
        yield (
            f"{number} {first}s",
            f"{number} {colour} {first}s {place}",
            f"{number} {colour} {first}s next to a small {second} {place}",
        )[number % 3]


def publish(settings: Settings, embedder: Embedder, count: int) -> None:
    """Publish an index of `count` made-up pictures for the model. The records say what the bank says of them, as an
    indexer writes them; else each search would measure the pictures that it finds."""
    model = embedder.identity
    bank = load_bank(settings.model.cache.expanduser(), embedder)
    vectors = Clusters(model.dimension, seed=0).draw(count, np.random.default_rng(1))[0]
    records = bank.measured([record(number) for number in range(count)], vectors)
    open_catalog(settings, open_store(settings.storage)).publish(Changes(records, vectors), model)


@dataclass(frozen=True)
class Service:
    """A running service."""

    address: str
    pid: int

    def memory_mb(self) -> tuple[float, float]:
        """(own memory, pages of mapped files) of the process. The system can take mapped pages back."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        own, mapped = (int(status.partition(f"{name}:")[2].split()[0]) / 1024 for name in ("RssAnon", "RssFile"))
        return own, mapped


@contextmanager
def services(*environments: dict[str, str]) -> Iterator[list[Service]]:
    """Services that start together, each with its environment. They are stopped at the end."""
    with ExitStack() as stack:
        processes = [stack.enter_context(_started(environment)) for environment in environments]
        yield [Service(_ready(process), process.pid) for process in processes]


@contextmanager
def _started(environment: dict[str, str]) -> Iterator["subprocess.Popen[str]"]:
    command = [str(Path(sys.executable).with_name("image2search")), "serve"]
    with subprocess.Popen(command, env=os.environ | environment | {"PORT": "0", "HOST": "127.0.0.1"}, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.terminate()


def _ready(process: "subprocess.Popen[str]") -> str:
    """Wait until the service answers searches, and return the address that it prints."""
    assert process.stdout is not None
    words = (word for line in process.stdout for word in line.split())
    address = next((word.removesuffix("/docs") for word in words if word.startswith("http")), "")
    if not address:
        raise RuntimeError(f"the service ended with {process.wait()}")
    until = time.monotonic() + READY_S
    while httpx2.get(f"{address}/health/ready").status_code != 200:
        if time.monotonic() > until:
            raise RuntimeError("the service is not ready")
        time.sleep(0.1)
    return address


@dataclass(frozen=True)
class Request:
    """How a text is sent: the path, and the body made from the text."""

    path: str
    body: Callable[[str], dict[str, Any]]


SEARCH = Request("/api/v1/search/text", lambda text: {"query": text, "k": 10, "auto_folder": False})
HYBRID = Request(SEARCH.path, lambda text: SEARCH.body(text) | {"mode": "hybrid"})
COMPOSED = Request(
    "/api/v1/search", lambda text: {"terms": [{"text": text}, {"text": f"{text} at dusk", "weight": -0.5}], "k": 10}
)
EXPLAINED = Request(COMPOSED.path, lambda text: COMPOSED.body(text) | {"explain": True})
EMBED = Request("/embeddings", lambda text: {"input": [text], "modality": "text"})


def over_http(
    address: str, request: Request, queries: Iterator[str], clients: int
) -> Callable[[float], tuple[float, list[float]]]:
    return lambda seconds: asyncio.run(ask(address, request, queries, clients, seconds))


async def ask(
    address: str, request: Request, queries: Iterator[str], clients: int, seconds: float
) -> tuple[float, list[float]]:
    """(answers per second, milliseconds of each), from `clients` that each send one request after the other."""
    host, _, port = address.removeprefix("http://").partition(":")
    until = time.perf_counter() + seconds
    began = time.perf_counter()
    found = await asyncio.gather(*(_client(host, int(port), request, queries, until) for _ in range(clients)))
    took_s = time.perf_counter() - began
    times = [ms for each in found for ms in each]
    return len(times) / took_s, times


async def _client(host: str, port: int, request: Request, queries: Iterator[str], until: float) -> list[float]:
    """Milliseconds of each answer, at least one, over one connection.

    Plain HTTP/1.1: a client library would use more of the two cores than the service does.
    """
    reader, writer = await asyncio.open_connection(host, port)
    times: list[float] = []
    try:
        while not times or time.perf_counter() < until:
            body = json.dumps(request.body(next(queries))).encode()
            head = f"POST {request.path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
            began = time.perf_counter()
            writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            length = int(answer.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
            content = await reader.readexactly(length)
            times.append((time.perf_counter() - began) * 1000)
            if not answer.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(content.decode())
    finally:
        writer.close()
        await writer.wait_closed()
    return times


class InProcess:
    """The least that a search needs, in this process: tokens, model and vector search."""

    def __init__(self, settings: Settings, embedder: Embedder) -> None:
        snapshot = open_catalog(settings, open_store(settings.storage)).load()
        assert snapshot is not None
        self._embedder, self._snapshot = embedder, snapshot

    def ask(self, queries: Iterator[str], seconds: float) -> tuple[float, list[float]]:
        """As `ask`, one search after the other."""
        times: list[float] = []
        began = time.perf_counter()
        while not times or time.perf_counter() < began + seconds:
            text = next(queries)
            asked = time.perf_counter()
            self._snapshot.search(self._embedder.encode_texts([text]), 10)
            times.append((time.perf_counter() - asked) * 1000)
        return len(times) / (time.perf_counter() - began), times


def file_mb(settings: Settings) -> tuple[float, float]:
    """(converted model, index with its metadata): sizes on disk."""
    cache, bucket = settings.model.cache, Path(settings.storage.url.removeprefix("file://"))
    fingerprint = find_checkpoint(settings.model).fingerprint()
    model = sum(path.stat().st_size for path in (cache.expanduser() / "openvino" / fingerprint).glob("*.bin"))
    index = sum(path.stat().st_size for path in bucket.rglob("*") if path.is_file())
    return model / 2**20, index / 2**20


def table(ways: Sequence[Way]) -> str:
    """The medians as a Markdown table. The last column compares with the same way in the first arithmetic."""
    first = {(each.name, each.clients): each for each in reversed(ways) if each.precision}
    compared = next((each.precision for each in ways if each.precision), "")
    lines = [
        f"| | arithmetic | clients | answers/s | p50, ms | p99, ms | x {compared} |",
        "|---|---|---|---|---|---|---|",
    ]
    for each in ways:
        per_s = statistics.median(each.per_s)
        base = first.get((each.name, each.clients), each)
        ratio = "" if base is each else f"{statistics.median(map(operator.truediv, each.per_s, base.per_s)):.2f}"
        cells = (each.name, each.precision, each.clients, f"{per_s:.0f}", f"{each.p(0.5):.2f}", f"{each.p(0.99):.2f}")
        lines.append(f"| {' | '.join(map(str, cells))} | {ratio} |")
    return "\n".join(lines)


def arithmetics() -> list[str]:
    """Those that this processor has instructions for, the slowest first."""
    return ["fp32", *(["bf16"] if can_bfloat16() else []), *(["int8"] if has_int8_dot() else [])]


def in_precision(settings: Settings, precision: str) -> Embedder:
    """The model in this arithmetic, fitted if it must be."""
    return load_embedder(settings.model.model_copy(update={"precision": precision}))


def main(
    model: Annotated[str, typer.Option(help="name or folder, or vit-b-32, vit-b-16 with random weights")] = "vit-b-32",
    count: Annotated[int, typer.Option(min=1, help="vectors in the index")] = 100_000,
    clients: Annotated[int, typer.Option(min=2, help="clients at the same time")] = 32,
    rounds: Annotated[int, typer.Option(min=1)] = 5,
    seconds: Annotated[float, typer.Option(min=0.1, help="for each way of asking, in each round")] = 3.0,
    infinity: Annotated[str, typer.Option(help="address of an infinity server to ask as well")] = "",
    precision: Annotated[list[str] | None, typer.Option(help="fp32, bf16, int8; default: all fast ones")] = None,
) -> None:
    """Measure text searches over HTTP."""
    with ExitStack() as stack:
        workplace = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="image2search-bench-")))
        name = named(model, workplace)
        (workplace / "bucket").mkdir()
        environment = {"STORAGE_URL": f"file://{workplace / 'bucket'}", "MODEL": name, "BATCH_MAX_QUEUE": "1000"}
        os.environ.update(environment)
        settings = load_settings()
        say("loading the model, publishing the index")
        chosen = precision or arithmetics()
        embedders = {each: in_precision(settings, each) for each in chosen}
        automatic = in_precision(settings, "auto").identity.precision
        publish(settings, embedders[chosen[0]], count)
        *ours, rival = stack.enter_context(
            services(
                *(environment | {"PRECISION": each} for each in chosen),
                environment | {"PRECISION": chosen[-1], "BATCH_MAX_SIZE": "1"},
            )
        )
        fresh = texts()
        again = iter(lambda: "a red boat by the sea", None)
        ways = [
            *(Way("in process, no HTTP", each, 1, partial(InProcess(settings, embedder).ask, fresh))
              for each, embedder in embedders.items()),
            *(Way(name, arithmetic, number, over_http(address, request, queries, number))
              for name, arithmetic, address, request, queries in (
                  *(("ours", each, service.address, SEARCH, fresh)
                    for each, service in zip(chosen, ours, strict=True)),
                  ("batching off", chosen[-1], rival.address, SEARCH, fresh),
                  *([("infinity, no search", "", infinity, EMBED, fresh)] if infinity else []),
                  ("ours, asked before", chosen[-1], ours[-1].address, SEARCH, again),
                  ("hybrid", chosen[-1], ours[-1].address, HYBRID, fresh),
                  ("composed", chosen[-1], ours[-1].address, COMPOSED, fresh),
                  ("composed, explained", chosen[-1], ours[-1].address, EXPLAINED, fresh),
              )
              for number in (1, clients)),
        ]  # fmt: skip
        for way in ways:
            way.ask(min(WARM_UP_S, seconds))
        for number in range(rounds):
            for way in ways:
                say(f"round {number + 1} of {rounds}: {way.name}, {way.clients} clients")
                per_s, times = way.ask(seconds)
                way.per_s.append(per_s)
                way.ms.append(times)
        own_mb, mapped_mb = ours[-1].memory_mb()
        model_mb, index_mb = file_mb(settings)
    print(machine("torch", "transformers", "openvino", "faiss-cpu", "fastapi", "uvicorn"))
    print(f"{model}, {count:,} vectors; PRECISION=auto takes {automatic}\n")
    print(table(ways))
    print(
        f"\nMemory of the service in {chosen[-1]}: its own {own_mb:,.0f} MB,"
        f" {own_mb / (model_mb + index_mb):.2f} times the model in fp32"
        f" ({model_mb:,.0f} MB) and the index ({index_mb:,.0f} MB). Mapped files: {mapped_mb:,.0f} MB."
    )


if __name__ == "__main__":
    typer.run(main)
