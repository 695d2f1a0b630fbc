"""GET /api/v1/index, and index runs with the real indexer."""

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest

from app.bootstrap import Parts, build
from app.indexing.schemas import VectorStoreInfo
from app.settings import ModelSettings
from app.vectors.base import Accuracy
from tests.support.service import (
    FakeEmbedder,
    encoded,
    make_parts,
    picture,
    serving_parts,
    settings_for,
    wait_until,
)
from tests.support.tiny_models import build_tiny_clip

JOBS = "/api/v1/index/jobs"
JOB_DEADLINE_S = 120


def test_index(client: httpx2.Client, parts: Parts) -> None:
    answer = client.get("/api/v1/index").json()
    pointer = parts.catalog.load().pointer
    identity = parts.model.embedder.identity
    model = asdict(identity)
    assert (model["precision"], model["runtime"], model["agreement"]) == ("fp32", "openvino-cpu", 1.0)
    assert answer == {
        "generation": pointer.generation,
        "count": 7,
        "folders": 4,
        "skipped": 0,
        "journal": 0,
        "created_at": datetime.fromtimestamp(pointer.created_at, UTC).isoformat().replace("+00:00", "Z"),
        "model": model,
        "indexed_by": model,
        "made_with": ["fp32 openvino-cpu"],
        "notice": None,
        "vector_store": {
            "engine": "faiss",
            "shape": "flat",
            "exact": True,
            "recall": None,
            "recall_queries": 0,
            "statement": "Exact: every vector is compared.",
        },
        "fewer_hubs": None,
        "text_cache": answer["text_cache"],
        "problem": None,
    }


def test_texts_that_are_asked_for_again_are_counted(tmp_path: Path) -> None:
    with serving_parts(make_parts(tmp_path)) as client:
        for query in ("a cat", "a dog", "a cat"):
            assert client.post("/api/v1/search/text", json={"query": query}).status_code == 200
        assert client.get("/api/v1/index").json()["text_cache"] == {"texts": 2, "hits": 1, "misses": 2}


def test_index_before_there_is_one(tmp_path: Path) -> None:
    with serving_parts(make_parts(tmp_path, keys=())) as client:
        answer = client.get("/api/v1/index")
    assert answer.status_code == 200
    assert (answer.json()["generation"], answer.json()["count"]) == (None, 0)
    assert "image2search index" in answer.json()["problem"]
    assert answer.json()["model"]["name"] == "fake/model"
    assert answer.json()["vector_store"] == {
        "engine": "faiss",
        "shape": None,
        "exact": None,
        "recall": None,
        "recall_queries": 0,
        "statement": "No index is loaded.",
    }


@pytest.mark.parametrize(
    ("accuracy", "words"),
    [
        (Accuracy("ivf_sq8", exact=False, recall=0.9857, queries=400), ["ivf_sq8", "98.6 %", "400 queries"]),
        (Accuracy("hnsw", exact=False), ["hnsw", "not measured"]),
    ],
)
def test_what_is_approximate_is_said_plainly(accuracy: Accuracy, words: list[str]) -> None:
    statement = VectorStoreInfo.of("milvus", accuracy).statement
    assert statement.startswith("Approximate: milvus")
    assert all(word in statement for word in words)


def test_a_models_notice_is_logged_and_shown(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    parts = make_parts(tmp_path, FakeEmbedder(notice="Only a demonstration."))
    with serving_parts(parts) as client:
        assert client.get("/api/v1/index").json()["notice"] == "Only a demonstration."
    assert "Only a demonstration." in caplog.text


def test_unknown_job(client: httpx2.Client) -> None:
    answer = client.get(f"{JOBS}/nope")
    assert answer.status_code == 404
    assert answer.json()["type"] == "urn:image2search:problem:job-not-found"


@pytest.mark.parametrize("body", [{"rebuild": "yes"}, {"force": True}, [], {"allow_shrink": 1}])
def test_bad_bodies(client: httpx2.Client, body: object) -> None:
    assert client.post(JOBS, json=body).status_code == 422


def test_wrong_content_type(client: httpx2.Client) -> None:
    refused = client.post(JOBS, content=b"{}", headers={"content-type": "text/plain"})
    assert (refused.status_code, refused.json()["detail"]) == (415, "Send application/json, not 'text/plain'.")


def job_over(client: httpx2.Client, job_id: str) -> dict:
    states: list[dict] = []

    def is_over() -> bool:
        states.append(client.get(f"{JOBS}/{job_id}").json())
        return states[-1]["state"] in ("succeeded", "failed")

    wait_until(is_over, JOB_DEADLINE_S)
    return states[-1]


def test_a_run_from_the_request_to_the_search(tmp_path: Path) -> None:
    """Everything is real: the model, the store, the indexer in a process of its own."""
    model = ModelSettings(name=str(build_tiny_clip(tmp_path / "tiny-clip")), device="cpu", threads=1)
    (tmp_path / "bucket").mkdir()
    parts = build(settings_for(tmp_path / "bucket", model=model))
    for key in ("nature/a.png", "animals/b.png"):
        parts.store.put(key, encoded(picture(key)))
    parts.store.put("animals/broken.png", b"no picture")
    with serving_parts(parts) as client:
        started = client.post(JOBS)
        assert started.status_code == 202
        job = started.json()
        assert job["state"] in ("queued", "running")
        assert started.headers["location"].endswith(f"{JOBS}/{job['id']}")

        busy = client.post(JOBS, json={})
        assert busy.status_code == 409
        assert busy.json()["type"] == "urn:image2search:problem:index-busy"
        assert job["id"] in busy.json()["detail"]

        done = job_over(client, job["id"])
        assert done["state"] == "succeeded", done
        assert done["error"] is None
        assert done["report"]["added"] == 2
        assert [skip["key"] for skip in done["report"]["skipped"]] == ["animals/broken.png"]
        assert done["progress"]["phase"]
        assert done["finished_at"] >= done["created_at"]
        index = client.get("/api/v1/index").json()
        assert (index["count"], index["skipped"]) == (2, 1)
        assert client.post("/api/v1/search/text", json={"query": "dog"}).status_code == 200

        parts.store.delete("nature/a.png")
        parts.store.delete("animals/b.png")
        refused = job_over(client, client.post(JOBS, json={}).json()["id"])
        assert refused["state"] == "failed"
        assert "--allow-shrink" in refused["error"]
        assert client.get("/api/v1/index").json()["count"] == 2
