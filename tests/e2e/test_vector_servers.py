"""The demo's pictures with their vectors in real servers: the indexer and the service as real processes."""

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.support.processes import unmeasured
from tests.support.service import wait_until

pytestmark = pytest.mark.long(60)

ROOT = Path(__file__).parents[2]
PROGRAM = Path(sys.executable).with_name("image2search")
PICTURES = 30
LATE = "vehicles/red-car-at-night.jpg"

on_every_server = pytest.mark.parametrize("settings", ["lite", "milvus", "chroma"], indirect=True)


@pytest.fixture
def settings(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The environment that a person would set; the engine's name."""
    match request.param:
        case "lite":
            variables = {"VECTOR_STORE": "milvus", "MILVUS_URI": str(tmp_path / "milvus.db")}
        case "milvus":
            port = request.getfixturevalue("milvus_port")
            variables = {"VECTOR_STORE": "milvus", "MILVUS_URI": f"http://127.0.0.1:{port}"}
        case _:
            port = request.getfixturevalue("chroma_port")
            variables = {"VECTOR_STORE": "chroma", "CHROMA_URL": f"http://127.0.0.1:{port}"}
    pictures = tmp_path / "pictures"
    for path in sorted((ROOT / "samples" / "vehicles").glob("*.jpg"))[:PICTURES]:
        if path.name != Path(LATE).name:
            (pictures / "vehicles").mkdir(parents=True, exist_ok=True)
            shutil.copy(path, pictures / "vehicles")
    for name, value in {"STORAGE_URL": f"file://{pictures}", "MODEL": "demo", "INDEX_POLL_S": "0.2"}.items():
        monkeypatch.setenv(name, value)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return variables["VECTOR_STORE"]


@pytest.fixture
def service(settings: str) -> Iterator[httpx2.Client]:
    indexed = subprocess.run([PROGRAM, "index"], env=unmeasured(), capture_output=True, text=True, timeout=300)
    assert indexed.returncode == 0, indexed.stderr
    command = [PROGRAM, "serve", "--port", "0"]
    with subprocess.Popen(command, env=unmeasured(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = next(found[0] for line in process.stdout if (found := re.search(r"http://\S+(?=/docs)", line)))
        with httpx2.Client(base_url=address, timeout=30) as client:
            yield client
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def found(service: httpx2.Client, query: str, k: int = 3) -> list[str]:
    results = service.post("/api/v1/search/text", json={"query": query, "k": k}).json()["results"]
    return [item["object_key"] for item in results]


def run_job(service: httpx2.Client) -> dict[str, int]:
    job = service.post("/api/v1/index/jobs").json()["id"]
    state = {}

    def ended() -> bool:
        state.update(service.get(f"/api/v1/index/jobs/{job}").json())
        return state["state"] not in ("queued", "running")

    wait_until(ended, deadline_s=120)
    assert state["state"] == "succeeded", state
    report: dict[str, int] = state["report"]
    return report


@on_every_server
def test_pictures_come_and_go_by_the_bucket_and_over_http(service: httpx2.Client, settings: str) -> None:
    pictures = Path("pictures")
    state = service.get("/api/v1/index").json()
    count = state["count"]
    assert count > 10
    assert state["vector_store"]["engine"] == settings
    assert re.match("Exact|Approximate", state["vector_store"]["statement"])
    assert sorted(path.name for path in pictures.rglob("image_*")) == ["image_metadata.json", "image_words.bin"]
    assert LATE not in found(service, "a red car at night")

    (gone,) = found(service, "a police car", k=1)
    shutil.copy(ROOT / "samples" / LATE, pictures / LATE)
    (pictures / gone).unlink()
    report = run_job(service)
    assert (report["added"], report["embedded"], report["removed"], report["unchanged"]) == (1, 1, 1, count - 1)
    wait_until(lambda: found(service, "a red car at night")[0] == LATE)
    assert gone not in found(service, "a police car")
    assert service.get("/api/v1/index").json()["count"] == count
    _add_describe_delete_and_undo(service)


def _add_describe_delete_and_undo(service: httpx2.Client) -> None:
    file = {"file": ("mine.jpg", (ROOT / "samples" / "animals" / "cat-on-grass.jpg").read_bytes())}
    added = service.post("/api/v1/images", files=file, data={"folder": "vehicles"})
    assert added.status_code == 201
    mine, url = "vehicles/mine.jpg", f"/api/v1/images/{added.json()['image_id']}"
    assert found(service, "a cat on the grass")[0] == mine
    assert service.patch(url, json={"tags": ["late"]}).json()["tags"] == ["late"]
    assert found(service, "a cat on the grass")[0] == mine
    deletion = service.delete(url).json()["deletion_id"]
    assert mine not in found(service, "a cat on the grass", k=100)
    assert service.post(f"/api/v1/images/deletions/{deletion}/undo").json()["restored"] == [added.json()["image_id"]]
    assert found(service, "a cat on the grass")[0] == mine
    assert service.get(url).json()["tags"] == ["late"]
