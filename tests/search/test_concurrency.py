"""Requests do not block each other, and a new generation costs nobody a request."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2

from app.catalog.changes import Changes
from app.catalog.pointer import Pointer
from app.settings import IndexSettings
from app.types import image_id_of
from tests.support.service import (
    KEYS,
    GatedEmbedder,
    add_pictures,
    make_parts,
    serving_parts,
    wait_until,
)

TEXT = "/api/v1/search/text"


def is_served(client: httpx2.Client, pointer: Pointer) -> bool:
    index = client.get("/api/v1/index").json()
    return (index["generation"], index["journal"]) == (pointer.generation, pointer.journal)


def test_a_slow_model_blocks_nothing_else(tmp_path: Path) -> None:
    embedder = GatedEmbedder()
    with serving_parts(make_parts(tmp_path, embedder)) as client, ThreadPoolExecutor(1) as pool:
        search = pool.submit(client.post, TEXT, json={"query": "dog"})
        assert embedder.entered.wait(10)
        for path in (
            "/health/live",
            "/health/ready",
            "/api/v1/folders",
            f"/api/v1/images/{image_id_of(KEYS[0])}/original",
        ):
            assert client.get(path).status_code == 200
        assert not search.done()
        embedder.gate.set()
        assert search.result().status_code == 200


def test_requests_in_flight_are_answered_before_the_service_stops(tmp_path: Path) -> None:
    embedder = GatedEmbedder()
    with ThreadPoolExecutor(1) as pool:
        with serving_parts(make_parts(tmp_path, embedder)) as client:
            search = pool.submit(httpx2.post, client.base_url.join(TEXT), json={"query": "dog"})
            assert embedder.entered.wait(10)
            threading.Timer(0.2, embedder.gate.set).start()
        assert search.result().status_code == 200


def test_generations_are_swapped_under_load_without_a_failed_request(tmp_path: Path) -> None:
    """Small journals, so that both journals and whole generations are published; few are kept."""
    index = IndexSettings(poll_s=0.02, journal_max_files=2, keep_generations=2)
    parts = make_parts(tmp_path, index=index)
    model = parts.model.embedder.identity
    stop = threading.Event()
    failures: list[str] = []
    generations: set[str] = set()

    def hammer(base_url: httpx2.URL, number: int) -> int:
        done = 0
        with httpx2.Client(base_url=base_url, timeout=20) as client:
            while not stop.is_set():
                answer = client.post(TEXT, json={"query": f"dog {number} {done}", "k": 5})
                results = answer.json().get("results", [])
                if answer.status_code != 200 or len(results) != 5:
                    failures.append(f"{answer.status_code} {json.dumps(answer.json())[:300]}")
                generations.add(answer.json().get("generation", ""))
                done += 1
        return done

    with serving_parts(parts) as client, ThreadPoolExecutor(3) as pool:
        hammers = [pool.submit(hammer, client.base_url, number) for number in range(3)]
        try:
            for turn in range(15):
                extra = add_pictures(parts.store, parts.model.embedder, [f"extra/{turn}.png"])
                parts.catalog.publish(extra, model)
                gone = Changes(removed=frozenset({image_id_of(f"extra/{turn}.png")}))
                published = parts.catalog.publish(gone, model).pointer
                wait_until(lambda pointer=published: is_served(client, pointer))
        finally:
            stop.set()
        assert sum(hammer.result() for hammer in hammers) > 20
    assert not failures
    assert len(generations) > 3
