"""How fast pictures are added over HTTP: from one client and from many, into a folder and into S3.

    python -m scripts.bench_adding --pictures 256

Each way starts the installed service over a library of one picture and sends photographs of 1200 x 900 pixels, no two
of them the same. In the end all of them must be in the index. `journals` are the publications that they took: many
clients share one. S3 is moto's server on this machine, which takes a share of the processor too.
"""

import asyncio
import io
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import httpx2
import numpy as np
import typer
from PIL import Image
from rich.console import Console

from app.bootstrap import open_catalog, open_store
from app.settings import load_settings
from scripts.bench.machine import machine
from scripts.bench_service import services

say = Console(stderr=True).print

WIDTH, HEIGHT = 1200, 900


def photograph(seed: int) -> bytes:
    """A JPEG of the size of a photograph: soft shapes and some noise."""
    random = np.random.default_rng(seed)
    shapes = Image.fromarray(random.integers(0, 255, (9, 12, 3), np.uint8)).resize(
        (WIDTH, HEIGHT), Image.Resampling.BICUBIC
    )
    noise = random.integers(-12, 12, (HEIGHT, WIDTH, 1), np.int16)
    pixels = np.clip(np.asarray(shapes, np.int16) + noise, 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=85)
    return file.getvalue()


async def add_all(address: str, pictures: list[bytes], clients: int) -> tuple[float, list[float]]:
    """(seconds for all, milliseconds of each)."""
    left = iter(enumerate(pictures))
    times: list[float] = []

    async def client() -> None:
        async with httpx2.AsyncClient(base_url=address, timeout=120) as http:
            for number, data in left:
                began = time.perf_counter()
                answer = await http.post("/api/v1/images", files={"file": (f"{number}.jpg", data)})
                times.append((time.perf_counter() - began) * 1000)
                if answer.status_code != 201:
                    raise RuntimeError(f"{answer.status_code}: {answer.text}")

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    return time.perf_counter() - began, times


@contextmanager
def s3_server() -> Iterator[str]:
    """moto's server; yields its address."""
    program = Path(sys.executable).with_name("moto_server")
    with subprocess.Popen([program, "-H", "127.0.0.1", "-p", "0"], stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            address = next(word for line in process.stderr for word in line.split() if word.startswith("http://"))
            threading.Thread(target=process.stderr.read, daemon=True).start()  # it logs every request
            yield address
        finally:
            process.terminate()


def environment_of(storage: str, workplace: Path, number: int, endpoint: str) -> dict[str, str]:
    if storage == "folder":
        folder = workplace / str(number)
        folder.mkdir()
        return {"STORAGE_URL": str(folder)}
    credentials = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_DEFAULT_REGION": "us-east-1"}
    httpx2.put(f"{endpoint}/bench-{number}").raise_for_status()
    return {"STORAGE_URL": f"s3://bench-{number}", "AWS_ENDPOINT_URL": endpoint, **credentials}


def start_library(environment: dict[str, str]) -> None:
    """Index one picture, so that the service is ready."""
    os.environ.update(environment)
    open_store(load_settings(None).storage).put("first.jpg", photograph(1 << 20))
    program = Path(sys.executable).with_name("image2search")
    subprocess.run([program, "index"], check=True, capture_output=True, env=os.environ | environment)


def journals_in(environment: dict[str, str]) -> tuple[int, int]:
    """(journals, pictures) of the library."""
    os.environ.update(environment)
    settings = load_settings(None)
    snapshot = open_catalog(settings, open_store(settings.storage)).load()
    assert snapshot is not None
    return len(snapshot.pointer.journals), len(snapshot.records)


def main(
    pictures: Annotated[int, typer.Option(min=1, max=2000, help="pictures each way adds")] = 256,
    clients: Annotated[int, typer.Option(min=2, max=256)] = 32,
    model: Annotated[str, typer.Option(help="value for MODEL")] = "demo",
) -> None:
    """Measure additions over HTTP."""
    say("making the pictures")
    files = [photograph(seed) for seed in range(pictures)]
    rows = []
    with ExitStack() as stack:
        workplace = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="image2search-bench-")))
        endpoint = stack.enter_context(s3_server())
        for number, (storage, at_once) in enumerate((s, c) for s in ("folder", "s3") for c in (1, clients)):
            say(f"{storage}, {at_once} clients")
            environment = {**environment_of(storage, workplace, number, endpoint), "MODEL": model}
            start_library(environment)
            with services(environment) as (service,):
                took_s, times = asyncio.run(add_all(service.address, files, at_once))
            journals, count = journals_in(environment)
            if count != pictures + 1:
                raise RuntimeError(f"{count} of {pictures} pictures are in the index")
            quantiles = [f"{float(np.quantile(times, share)):.0f}" for share in (0.5, 0.99)]
            rows.append((storage, at_once, f"{pictures / took_s:.1f}", *quantiles, journals))
    print(machine("openvino", "faiss-cpu", "fastapi", "uvicorn"))
    size = statistics.mean(map(len, files)) / 1024
    print(f"{pictures} photographs of {WIDTH} x {HEIGHT} pixels, {size:.0f} kB each; MODEL={model}\n")
    print("| storage | clients | pictures/s | p50, ms | p99, ms | journals |\n|---|---|---|---|---|---|")
    for row in rows:
        print(f"| {' | '.join(map(str, row))} |")


if __name__ == "__main__":
    typer.run(main)
