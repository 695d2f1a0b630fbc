"""`python -m scripts.bench.worker build|serve ENGINE WORKLOAD OUT`: one engine in a process of its own.

`build` prints how many seconds it took. `serve` opens the result and answers JSON requests, one a line.
"""

import json
import os
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from scripts.bench.engines import ENGINES, Answer, Engine, Setting
from scripts.bench.workload import NEIGHBOURS, SELECTIONS, Workload


class Served:
    """An opened engine, with a setting for each selection."""

    def __init__(self, engine: Engine, workload: Workload, out: Path) -> None:
        self._engine, self._workload = engine, workload
        self._settings: dict[str, Setting] = {}
        half = len(workload.queries) // 2
        self._tuning, self._measuring = slice(0, half), slice(half, 2 * half)
        before, began = resident_bytes(), time.perf_counter()
        engine.open(workload, out)
        engine.answer("", engine.ladder[0])(workload.queries[0])
        self.opened = {"load_s": time.perf_counter() - began}
        self._resident_before = before

    def tune(self, selection: str, recall: float, limit_s: float) -> dict[str, Any]:
        """Choose the first setting of the ladder that reaches `recall` on the tuning queries, or else the last."""
        deadline, ladder = time.monotonic() + limit_s, self._engine.ladder
        found: dict[int, float] = {}
        low, high = 0, len(ladder) - 1
        while low < high and time.monotonic() < deadline:
            middle = (low + high) // 2
            found[middle] = self._recall(selection, ladder[middle], self._tuning, limit_s)
            low, high = (low, middle) if found[middle] >= recall else (middle + 1, high)
        setting = self._settings[selection] = ladder[high]
        return {"setting": setting, "recall": self._recall(selection, setting, self._measuring, limit_s)}

    def measure(self, selection: str, limit_s: float) -> dict[str, Any]:
        """Milliseconds of each measuring query, one after the other, until the limit."""
        answer, times = self._answer(selection), []
        deadline = time.monotonic() + limit_s
        for query in self._workload.queries[self._measuring]:
            began = time.perf_counter()
            answer(query)
            times.append((time.perf_counter() - began) * 1000)
            if time.monotonic() > deadline:
                break
        return {"ms": times}

    def load(self, threads: int, seconds: float) -> dict[str, Any]:
        """Queries per second without a filter, from `threads` threads for `seconds`."""
        answer, queries = self._answer("no filter"), self._workload.queries[self._measuring]
        deadline = time.monotonic() + seconds

        def ask(start: int) -> int:
            done = 0
            while time.monotonic() < deadline:
                answer(queries[(start + done) % len(queries)])
                done += 1
            return done

        began = time.perf_counter()
        with ThreadPoolExecutor(threads) as pool:
            done = sum(pool.map(ask, range(0, 17 * threads, 17)))
        return {"per_s": done / (time.perf_counter() - began)}

    def memory(self) -> dict[str, Any]:
        """Resident bytes that opening and searching have added, including mapped files."""
        return {"resident": resident_bytes() - self._resident_before}

    def _answer(self, selection: str) -> Answer:
        return self._engine.answer(SELECTIONS[selection], self._settings[selection])

    def _recall(self, selection: str, setting: Setting, part: slice, limit_s: float) -> float:
        """The mean share of the true neighbours that are found. If fewer rows are eligible, all of them are wanted."""
        answer, deadline, found = self._engine.answer(SELECTIONS[selection], setting), time.monotonic() + limit_s, []
        for query, ids in zip(self._workload.queries[part], self._workload.truth[selection][part], strict=True):
            found.append(recall_of(answer(query), ids))
            if time.monotonic() > deadline:
                break
        return statistics.fmean(found)


def recall_of(found: Sequence[int], truth: Any) -> float:
    wanted = {int(row) for row in truth if row >= 0}
    return len(wanted.intersection(map(int, list(found)[:NEIGHBOURS]))) / len(wanted)


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def serve(served: Served) -> None:
    acts: Mapping[str, Any] = {
        "tune": served.tune,
        "measure": served.measure,
        "load": served.load,
        "memory": served.memory,
    }
    say(served.opened)
    for line in sys.stdin:
        request = json.loads(line)
        say(acts[request.pop("act")](**request))


def say(answer: Mapping[str, Any]) -> None:
    print(json.dumps(answer), file=_STDOUT, flush=True)


def main() -> None:
    act, name, folder, out = sys.argv[1:]
    workload, engine = Workload.open(Path(folder)), ENGINES[name]()
    if act == "build":
        began = time.perf_counter()
        engine.build(workload, Path(out))
        say({"build_s": time.perf_counter() - began})
    else:
        serve(Served(engine, workload, Path(out)))


if __name__ == "__main__":
    _STDOUT = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # the output of engines must not mix with the answers
    main()
