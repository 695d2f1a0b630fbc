"""The whole service: over S3, and as a process of its own that is started, used and stopped."""

import asyncio
import logging
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from app.bootstrap import Parts, open_store, running
from app.encoder.encoder import Text
from app.errors import InvalidSettings, ModelUnavailable
from app.main import COMPAT_ROUTERS, create_app
from app.models.embedder import DualEncoder
from app.search.query import Query
from app.settings import COMPAT, ModelSettings, ServerSettings, Settings, StorageSettings
from tests.support.catalogs import catalog_on
from tests.support.service import (
    DEADLINE_S,
    KEYS,
    FakeEmbedder,
    add_pictures,
    encoded,
    loaded,
    make_parts,
    picture,
    serving,
    serving_parts,
    wait_until,
)

TEXT = "/api/v1/search/text"
V2 = "/api/demo_backend_v2/image_search/search"


def over_s3(bucket: str, **storage: object) -> Parts:
    settings = Settings(storage=StorageSettings(url=f"s3://{bucket}", **storage))
    store, embedder = open_store(settings.storage), FakeEmbedder()
    catalog = catalog_on(store, settings.index)
    catalog.publish(add_pictures(store, embedder), embedder.identity)
    return Parts(settings, store, catalog, loaded(embedder), store)


def test_signed_links_over_s3(bucket: str) -> None:
    parts = over_s3(bucket)
    with serving_parts(parts) as client:
        (result,) = client.post(TEXT, json={"query": "dog", "k": 1, "folder": "vehicles"}).json()["results"]
        assert result["s3_path"] == f"s3://{bucket}/vehicles/car1.jpg"
        assert "Signature" in result["image_url"]
        original = parts.store.get("vehicles/car1.jpg").data
        assert httpx2.get(result["image_url"]).content == original
        assert client.get(result["thumbnail_url"]).status_code == 200
        assert client.get(f"/api/v1/images/{result['image_id']}/original").content == original


def test_links_as_settings_say_over_s3(bucket: str) -> None:
    with serving_parts(over_s3(bucket, links="public", public_url="https://cdn.example/x")) as client:
        (result,) = client.post(V2, json={"query": "dog", "k": 1, "folder": "vehicles"}).json()
        assert result["image_url"] == "https://cdn.example/x/vehicles/car1.jpg"
    with serving_parts(over_s3(bucket, links="service")) as client:
        (result,) = client.post(V2, json={"query": "dog", "k": 1, "folder": "vehicles"}).json()
        assert result["image_url"].startswith(str(client.base_url))
        assert client.get(result["image_url"]).status_code == 200


def environment(folder: Path, model: Path) -> dict[str, str]:
    settings = {"STORAGE_URL": f"file://{folder}", "MODEL": str(model), "MODEL_DEVICE": "cpu", "INDEX_POLL_S": "0.1"}
    return {**os.environ, **settings, "MODEL_THREADS": "1", "PYTHONUNBUFFERED": "1"}


class Process:
    """A service in a process of its own, and what it says."""

    def __init__(self, environment: dict[str, str], cwd: Path) -> None:
        root = Path(__file__).parents[1]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "app.main:create_app", "--factory", "--port", "0"],
            cwd=cwd,
            env={**environment, "PYTHONPATH": str(root)},
            stderr=subprocess.STDOUT,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.output = ""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output += line

    def address(self) -> str:
        wait_until(lambda: "running on" in self.output or self.process.poll() is not None, 60)
        found = re.search(r"running on (http://\S+)", self.output)
        assert found, self.output
        return found[1]

    def end(self, signal_: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal_)
        code = self.process.wait(60)
        self._reader.join(DEADLINE_S)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


@contextmanager
def process(environment: dict[str, str], cwd: Path) -> Iterator[Process]:
    started = Process(environment, cwd)
    try:
        yield started
    finally:
        started.end(signal.SIGKILL)


def test_a_process_of_its_own_from_start_to_stop(tmp_path: Path, embedder: DualEncoder, model_folder: Path) -> None:
    """Started by uvicorn alone; searched; told to stop while an index run goes on, which it stops and waits for."""
    parts = make_parts(tmp_path / "bucket", embedder)
    data = encoded(picture("many", (700, 500)))
    for number in range(400):
        parts.store.put(f"many/{number}.png", data + bytes(f"{number}", "ascii"))
    settings = environment(tmp_path / "bucket", model_folder) | {"INDEX_BATCH_SIZE": "1", "INDEX_READERS": "1"}
    with process(settings, tmp_path) as service:
        with httpx2.Client(base_url=service.address(), timeout=DEADLINE_S) as client:
            answer = client.post(TEXT, json={"query": "dog"}, headers={"X-Request-ID": "mine"})
            assert len(answer.json()["results"]) == 5
            job = client.post("/api/v1/index/jobs").json()

            def has_begun() -> bool:
                progress = client.get(f"/api/v1/index/jobs/{job['id']}").json()["progress"]
                return bool(progress) and progress["phase"] == "indexing" and progress["done"] > 0

            wait_until(has_begun, 120)
        assert service.end() in (0, -signal.SIGTERM)
    snapshot = parts.catalog.load()
    assert snapshot is not None
    assert len(KEYS) < snapshot.pointer.count < 400, "the run published what it had done"
    assert f"Index job {job['id']} succeeded" in service.output
    (line,) = [line for line in service.output.splitlines() if TEXT in line]
    assert "INFO app.http.middleware.access_log [mine] POST /api/v1/search/text 200" in line
    assert "Traceback" not in service.output


def test_a_model_that_cannot_be_loaded_stops_the_start(tmp_path: Path) -> None:
    app = create_app(Settings(model=ModelSettings(name=str(tmp_path / "no-model"))))

    async def start() -> None:
        async with app.router.lifespan_context(app):
            pytest.fail("it started")

    with pytest.raises(ModelUnavailable, match="no-model"):
        asyncio.run(start())


def test_settings_that_cannot_be_used_stop_the_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PORT", "many")
    with pytest.raises(InvalidSettings, match="PORT"):
        create_app()


def test_importing_and_creating_loads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.main.build", None)
    assert create_app(Settings()).title == "image2search"


def test_the_log_level_is_set(tmp_path: Path) -> None:
    before = logging.getLogger("app").level
    try:
        create_app(Settings.model_validate({"server": {"log_level": "error"}}))
        assert logging.getLogger("app").level == logging.ERROR
    finally:
        logging.getLogger("app").setLevel(before)


def test_the_products_of_searches_run_on_one_core_while_the_service_runs(tmp_path: Path) -> None:
    """With more they wait for a core that is busy, ten times as long as they take."""

    def blas_threads() -> set[int]:
        return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}

    async def during() -> set[int]:
        async with running(make_parts(tmp_path)):
            return blas_threads()

    with threadpool_limits(2, user_api="blas"):
        assert asyncio.run(during()) == {1}
        assert 2 in blas_threads()  # FAISS takes one for itself in this thread


def test_every_key_is_served_by_the_running_parts(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(make_parts(tmp_path)) as state:
            answer = await state["search"].search(Query.of(Text("dog"), k=100), state["current_view"]())
            assert {hit.record.object_key for hit in answer.hits} == set(KEYS)

    asyncio.run(story())


def test_components_are_built_from_the_settings(tmp_path: Path, embedder: DualEncoder, model_folder: Path) -> None:
    settings = Settings(
        storage=StorageSettings(url=f"file://{tmp_path}"),
        model=ModelSettings(name=str(model_folder), device="cpu"),
    )
    with serving(create_app(settings)) as client:
        assert client.get("/api/v1/index").json()["model"]["fingerprint"] == embedder.identity.fingerprint


def paths_of(compat: str) -> set[str]:
    """The paths of the OpenAPI document outside of our own API."""
    paths = create_app(Settings(server=ServerSettings(compat=compat))).openapi()["paths"]
    return {path for path in paths if not path.startswith(("/api/v1/", "/health/"))}


def test_the_apis_of_other_systems_can_be_switched_off_by_one_setting() -> None:
    assert set(COMPAT_ROUTERS) == set(COMPAT)
    assert paths_of("none") == set()
    assert "/image/{image_id}" in paths_of("flask_clip")
    assert "/images/list" in paths_of("image_backend")
    assert paths_of("image_search_v2") == {V2, f"{V2}_by_image"}
    assert paths_of("all") == set.union(*map(paths_of, COMPAT))
    assert "/" not in paths_of("all")


def test_an_api_that_is_switched_off_answers_404(tmp_path: Path) -> None:
    with serving_parts(make_parts(tmp_path, server=ServerSettings(compat="none"))) as client:
        assert client.get("/search?query=dog").status_code == client.post(V2, json={"query": "dog"}).status_code == 404
        assert client.post(TEXT, json={"query": "dog"}).status_code == 200
