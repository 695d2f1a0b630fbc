"""Compare ours with other engines for vectors: the same rows and queries, side by side, at equal recall.

    pip install -e '.[bench,chroma,milvus]'
    python -m scripts.bench_vectors --count 100000

Every engine runs in a process of its own. For each rival a ladder of its own search parameters is tried, and the first
step that reaches the asked recall@10 on `--queries` tuning queries is used; ours was tuned when it was built. Then as
many other queries are timed one by one, in rounds: every engine in turn, several times. Half of the queries are drawn
like the rows, half lie between two of those. One million rows take one to two hours, mostly for building graphs.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

from scripts.bench.engines import ENGINES
from scripts.bench.machine import machine
from scripts.bench.workload import QUERIES, SELECTIONS, make

PACKAGES = ("faiss-cpu", "hnswlib", "chromadb", "milvus-lite", "lancedb")
ROUNDS = 3
ROUND_LIMIT_S = 4.0
TUNING_LIMIT_S = 8.0
"""For one setting of one selection; a slow engine is asked fewer queries."""

say = Console(stderr=True).print


@dataclass
class Result:
    """The figures of one engine for one number of rows."""

    name: str
    failed: str = ""
    build_s: float = 0.0
    disk: int = 0
    load_s: float = 0.0
    resident: int = 0
    recall: dict[str, float] = field(default_factory=dict)
    setting: dict[str, dict[str, int]] = field(default_factory=dict)
    ms: dict[str, list[list[float]]] = field(default_factory=dict)
    per_s: dict[int, float] = field(default_factory=dict)

    def p(self, selection: str, share: float) -> float:
        """Milliseconds: the median over the rounds of this quantile."""
        return statistics.median(float(np.quantile(times, share)) for times in self.ms[selection])


class Worker:
    """An engine that answers requests in a process of its own."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def ask(self, act: str | None = None, **options: Any) -> dict[str, Any]:
        """Raises RuntimeError when the engine has died."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if act:
            self._process.stdin.write(json.dumps({"act": act, **options}) + "\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("it died")
        answer: dict[str, Any] = json.loads(line)
        return answer


def command(act: str, name: str, workload: Path, out: Path) -> list[str]:
    return [sys.executable, "-W", "ignore", "-m", "scripts.bench.worker", act, name, str(workload), str(out)]


def build(result: Result, workload: Path, out: Path, limit_s: float) -> None:
    out.mkdir()
    try:
        done = subprocess.run(
            command("build", result.name, workload, out), stdout=subprocess.PIPE, text=True, timeout=limit_s, check=True
        )
        result.build_s = json.loads(done.stdout)["build_s"]
        result.disk = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    except subprocess.TimeoutExpired:
        result.failed = f"not built in {limit_s:.0f} s"
    except subprocess.CalledProcessError as error:
        result.failed = f"building ended with {error.returncode}"


@contextmanager
def serving(result: Result, workload: Path, out: Path) -> Iterator[Worker]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    with subprocess.Popen(
        command("serve", result.name, workload, out),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        try:
            yield Worker(process)
        finally:
            process.kill()


def measure(results: list[Result], workload: Path, outs: Path, recall: float, load_s: float) -> None:
    """Open all, tune each, then time them in turn."""
    with ExitStack() as stack:
        workers: dict[str, Worker] = {}
        for result in results:
            worker = stack.enter_context(serving(result, workload, outs / result.name))
            with failing(result):
                result.load_s = worker.ask()["load_s"]
                say(f"  {result.name}: opened in {result.load_s:.1f} s, tuning")
                for selection in SELECTIONS:
                    tuned = worker.ask("tune", selection=selection, recall=recall, limit_s=TUNING_LIMIT_S)
                    result.recall[selection], result.setting[selection] = tuned["recall"], tuned["setting"]
                    result.ms[selection] = []
                workers[result.name] = worker
        for number in range(ROUNDS):
            say(f"  round {number + 1} of {ROUNDS}")
            for selection in SELECTIONS:
                for result in [each for each in results if not each.failed]:
                    with failing(result):
                        timed = workers[result.name].ask("measure", selection=selection, limit_s=ROUND_LIMIT_S)
                        result.ms[selection].append(timed["ms"])
        for threads in (1, 8):
            for result in [each for each in results if not each.failed]:
                with failing(result):
                    answered = workers[result.name].ask("load", threads=threads, seconds=load_s)
                    result.per_s[threads] = answered["per_s"]
                    result.resident = workers[result.name].ask("memory")["resident"]


@contextmanager
def failing(result: Result) -> Iterator[None]:
    """An engine that dies is marked, and the others go on."""
    try:
        yield
    except (RuntimeError, OSError) as error:
        result.failed = str(error)


def table(results: list[Result], count: int, dimension: int, recall: float) -> str:
    """In Markdown. Times of filtered search are p50; `*` marks a recall below the asked one, by more than chance."""
    lines = [
        f"### {count:,} x {dimension}",
        "",
        "| engine | build s | bytes/vector: disk | resident | load s "
        "| recall@10 | p50 ms | p99 ms | to ours | q/s 1 | q/s 8 |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    done = [result for result in results if not result.failed]
    ours = next((result for result in done if result.name == "ours"), None)

    def mark(value: float) -> str:
        return f"{value:.3f}{'*' if value < recall - 0.005 else ''}"

    for result in done:
        p50 = result.p("no filter", 0.5)
        ratio = f"{p50 / ours.p('no filter', 0.5):.1f}x" if ours else ""
        lines.append(
            f"| {result.name} | {result.build_s:.0f} | {result.disk / count:,.0f} | {result.resident / count:,.0f} "
            f"| {result.load_s:.2f} | {mark(result.recall['no filter'])} | {p50:.2f} "
            f"| {result.p('no filter', 0.99):.2f} | {ratio} | {result.per_s[1]:,.0f} | {result.per_s[8]:,.0f} |"
        )
    selections = [selection for selection in SELECTIONS if selection != "no filter"]
    lines += ["", "| p50 ms (recall@10) in a folder of | " + " | ".join(selections) + " |"]
    lines.append("|---" * (len(selections) + 1) + "|")
    for result in done:
        cells = [f"{result.p(each, 0.5):.2f} ({mark(result.recall[each])})" for each in selections]
        lines.append(f"| {result.name} | " + " | ".join(cells) + " |")
    lines += ["", *(f"{result.name}: {result.failed}." for result in results if result.failed)]
    return "\n".join(lines)


def bench(
    count: Annotated[list[int] | None, typer.Option(help="Rows; may be given several times.")] = None,
    dimension: int = 512,
    engines: Annotated[str, typer.Option(help="Names, separated by commas.")] = ",".join(ENGINES),
    recall: Annotated[float, typer.Option(help="recall@10 to tune the rivals for.")] = 0.98,
    limit_s: Annotated[float, typer.Option(help="Seconds for one engine to build.")] = 3600,
    load_s: Annotated[float, typer.Option(help="Seconds for each figure of queries a second.")] = 3.0,
    seed: int = 0,
    queries: Annotated[int, typer.Option(min=1, help="To measure with, and as many to tune with.")] = QUERIES,
    folder: Annotated[Path | None, typer.Option(help="For rows and indices: about 10 GB per million.")] = None,
    out: Annotated[Path | None, typer.Option("--json", help="Write every figure there.")] = None,
) -> None:
    """Print one table for each number of rows."""
    names = engines.split(",")
    if unknown := [name for name in names if name not in ENGINES]:
        raise typer.BadParameter(f"{', '.join(unknown)}: choose among {', '.join(ENGINES)}.")
    print(machine(*PACKAGES))
    figures = []
    for rows in count or [100_000]:
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            workload = Path(scratch) / "workload"
            workload.mkdir()
            say(f"Making {rows:,} rows")
            make(workload, rows, dimension, seed, queries)
            results = [Result(name) for name in names]
            for result in results:
                say(f"Building {result.name}")
                build(result, workload, Path(scratch) / result.name, limit_s)
                if result.failed:
                    shutil.rmtree(Path(scratch) / result.name)
            measure([each for each in results if not each.failed], workload, Path(scratch), recall, load_s)
        print("\n" + table(results, rows, dimension, recall), flush=True)
        figures += [{"count": rows, "dimension": dimension, **vars(result)} for result in results]
        if out:
            out.write_text(
                json.dumps({"machine": machine(*PACKAGES), "results": [_brief(each) for each in figures]}, indent=1)
            )


def _brief(figures: dict[str, Any]) -> dict[str, Any]:
    """With the p50 of each round in place of all times."""
    return {**figures, "ms": {name: list(map(statistics.median, rounds)) for name, rounds in figures["ms"].items()}}


if __name__ == "__main__":
    typer.run(bench)
