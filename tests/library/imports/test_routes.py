"""POST /images/import and what follows it, over HTTP: files, addresses, web searches, polling and events."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.main import create_app
from app.settings import FetchSettings, ImageSettings, ImportSettings, WebSettings
from tests.support.pictures import encoded
from tests.support.service import DEADLINE_S, make_parts, picture, serving, serving_parts, wait_until
from tests.support.web import ELSEWHERE, Exchange, Site, answer, site

IMPORT = "/api/v1/images/import"
PICTURES = {name: encoded(picture(name)) for name in ("a.png", "b.png", "c.png", "d.png")}


def settings(**groups: object) -> dict[str, Any]:
    return {"fetch": FetchSettings(allowed_hosts=f"{ELSEWHERE}/32"), **groups}


@pytest.fixture(scope="module")
def web() -> Iterator[Site]:
    answers = {f"/{name}": answer(data) for name, data in PICTURES.items()}
    with site({**answers, "/page.jpg": answer(b"<html>")}) as found:
        yield found


@pytest.fixture
def client(tmp_path: Path) -> Iterator[httpx2.Client]:
    parts = make_parts(
        tmp_path / "bucket",
        image=ImageSettings(max_bytes=100_000),
        **settings(imports=ImportSettings(max_bytes=300_000, max_pictures=10)),
    )
    with serving_parts(parts) as client:
        yield client


def started(answer: httpx2.Response) -> str:
    """The address of the import that was started."""
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"].endswith(f"{IMPORT}/{answer.json()['id']}")
    return answer.headers["location"]


def finished(client: httpx2.Client, answer: httpx2.Response) -> dict[str, Any]:
    address = started(answer)
    wait_until(lambda: client.get(address).json()["state"] != "running")
    return client.get(address).json()


def import_files(client: httpx2.Client, files: dict[str, bytes], **fields: str) -> httpx2.Response:
    return client.post(IMPORT, files=[("files", (name, data)) for name, data in files.items()], data=fields)


def outcomes(job: dict[str, Any]) -> dict[str, str]:
    return {item["name"].rpartition("/")[2]: item["outcome"] for item in job["items"]}


def events(client: httpx2.Client, address: str, **headers: str) -> Iterator[httpx2.ServerSentEvent]:
    with client.sse(f"{address}/events", headers=headers) as source:
        yield from source


def followed(address: str) -> Iterator[httpx2.ServerSentEvent]:
    """All events, by a client of its own."""
    with httpx2.Client(timeout=DEADLINE_S) as client:
        yield from events(client, address)


# What can be imported


def test_files_are_added_and_each_says_what_became_of_it(client: httpx2.Client) -> None:
    files = {**PICTURES, "copy of a.png": PICTURES["a.png"], "page.jpg": b"<html>", "big.png": bytes(100_001)}
    job = finished(client, import_files(client, files, folder="new/ones"))
    assert (job["state"], job["total"], job["folder"], job["error"]) == ("done", 7, "new/ones", None)
    assert sorted(outcomes(job).values()) == ["added"] * 4 + ["present"] + ["refused"] * 2
    assert job["counts"] == {"waiting": 0, "added": 4, "present": 1, "refused": 2, "failed": 0, "left": 0}
    by_name = {item["name"]: item for item in job["items"]}
    assert "no picture" in by_name["page.jpg"]["reason"]
    assert "more than 100,000 bytes" in by_name["big.png"]["reason"]
    assert by_name["b.png"]["object_key"] == "new/ones/b.png"
    found = client.get(f"/api/v1/images/{by_name['b.png']['image_id']}/original")
    assert found.content == PICTURES["b.png"]
    nearest = client.post("/api/v1/search/image", files={"file": ("q.png", PICTURES["c.png"])}, data={"k": "1"}).json()
    assert nearest["results"][0]["object_key"] == "new/ones/c.png"


def test_addresses_are_fetched_and_kept_as_the_source(client: httpx2.Client, web: Site) -> None:
    urls = [f"{web.url}/{name}" for name in ("a.png", "b.png", "page.jpg", "none.png")]
    urls += ["http://169.254.169.254/latest/", "ftp://example.org/x.png", urls[0]]
    job = finished(client, client.post(IMPORT, json={"urls": urls, "folder": "web"}))
    assert [item["outcome"] for item in job["items"]].count("added") == 2
    assert job["counts"] == {"waiting": 0, "added": 2, "present": 1, "refused": 3, "failed": 1, "left": 0}
    reasons = [item["reason"] for item in job["items"]]
    assert "answers 404" in reasons[3]
    assert "No public host" in reasons[4]
    assert "http and https" in reasons[5]
    added = next(item for item in job["items"] if item["name"] == urls[1])
    shown = client.get(f"/api/v1/images/{added['image_id']}").json()
    assert shown["source"] == {
        "url": urls[1], "page_url": None, "title": None, "creator": None, "license": None, "license_url": None,
        "attribution": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "give either urls or query"),
        ({"urls": ["http://x/"], "query": "cat"}, "give either urls or query"),
        ({"urls": []}, "at least 1 item"),
        ({"query": " "}, "pattern"),
        ({"query": "cat", "provider": "elsewhere"}, "'openverse' or 'ddgs'"),
        ({"query": "cat", "count": 101}, "less than or equal to 100"),
        ({"urls": ["http://x/"], "colour": "red"}, "Extra inputs"),
        ([1], "Send a JSON object"),
    ],
)
def test_a_body_that_can_not_be_meant(client: httpx2.Client, body: object, message: str) -> None:
    refused = client.post(IMPORT, json=body)
    assert refused.status_code == 422
    assert message in refused.json()["detail"]


def test_other_bodies_are_refused(client: httpx2.Client) -> None:
    for refused, status in (
        (client.post(IMPORT, content=b"{", headers={"Content-Type": "application/json"}), 422),
        (client.post(IMPORT, content=b"x"), 415),
        (client.post(IMPORT, data={"folder": "x"}, files={"other": b"x"}), 422),
        (client.post(IMPORT, json={"urls": ["http://x/"] * 11}), 400),
        (client.post(IMPORT, json={"urls": ["http://x/"], "folder": "../up"}), 400),
        (client.post(IMPORT, json={"urls": ["http://x/"]}, params={"wait": "yes"}), 422),
        (import_files(client, {"a.png": bytes(400_000)}), 413),
        (client.get(f"{IMPORT}/nothing"), 404),
        (client.get(f"{IMPORT}/nothing/events"), 404),
    ):
        assert refused.status_code == status, refused.text
        assert refused.headers["content-type"] == "application/problem+json"


def test_one_picture_is_still_bounded_by_one_pictures_size(client: httpx2.Client) -> None:
    assert client.post("/api/v1/images", files={"file": ("a.png", bytes(200_000))}).status_code == 413


def test_a_page_of_another_site_starts_nothing(client: httpx2.Client) -> None:
    refused = client.post(IMPORT, files={"files": ("a.png", b"x")}, headers={"Sec-Fetch-Site": "cross-site"})
    assert refused.status_code == 403


# How it is followed


def test_events_tell_each_picture_and_the_end(client: httpx2.Client, web: Site) -> None:
    urls = [f"{web.url}/{name}" for name in ("a.png", "b.png", "page.jpg")]
    begun = client.post(IMPORT, json={"urls": urls})
    assert (begun.json()["total"], begun.json()["counts"]["waiting"]) == (3, 3)
    told = list(events(client, started(begun)))
    assert [event.event for event in told[1:-1]] == ["picture", "progress"] * 3
    assert [event.id for event in told if event.event == "picture"] == ["1", "2", "3"]
    assert {item["name"]: item["outcome"] for item in (e.json() for e in told if e.event == "picture")} == {
        urls[0]: "added", urls[1]: "added", urls[2]: "refused"
    }  # fmt: skip
    assert told[0].retry == 3000
    assert told[-1].event == "done"
    assert told[-1].json()["counts"]["added"] == 2
    assert "items" not in told[-1].json()


def test_events_go_on_where_a_broken_connection_ended(client: httpx2.Client) -> None:
    job = finished(client, import_files(client, PICTURES))
    address = f"{IMPORT}/{job['id']}"
    for last, expected in (("3", ["4"]), ("4", []), ("99", []), ("x", ["1", "2", "3", "4"]), ("9" * 30, None)):
        told = list(events(client, address, **{"Last-Event-ID": last}))
        if expected is not None:
            assert [event.id for event in told if event.event == "picture"] == expected
        assert told[-1].event == "done"


def test_events_pass_proxies(client: httpx2.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are not kept back, compressed or stored, and something comes while nothing happens."""
    monkeypatch.setattr("fastapi.routing._PING_INTERVAL", 0.02)  # which FastAPI names for tests
    gate = threading.Event()
    with site({"/slow.png": lambda exchange: waits(exchange, gate)}) as slow:
        address = started(client.post(IMPORT, json={"urls": [f"{slow.url}/slow.png"]}))
        with client.stream("GET", f"{address}/events", headers={"Accept-Encoding": "gzip"}) as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            assert stream.headers["cache-control"] == "no-cache"
            assert stream.headers["x-accel-buffering"] == "no"
            assert "content-encoding" not in stream.headers
            for line in stream.iter_lines():
                if line.startswith(":"):
                    gate.set()
                if line == "event: done":
                    break
        assert gate.is_set()


def waits(exchange: Exchange, gate: threading.Event) -> None:
    gate.wait(DEADLINE_S)
    answer(PICTURES["a.png"])(exchange)


def test_head_of_an_import(client: httpx2.Client) -> None:
    job = finished(client, import_files(client, PICTURES))
    assert client.head(f"{IMPORT}/{job['id']}").status_code == 200


def test_imports_at_the_same_time_are_bounded(client: httpx2.Client) -> None:
    gate = threading.Event()
    with site({"/slow.png": lambda exchange: waits(exchange, gate)}) as slow:
        body = {"urls": [f"{slow.url}/slow.png"]}
        running = [started(client.post(IMPORT, json=body)) for _ in range(4)]
        for refused in (client.post(IMPORT, json=body), import_files(client, PICTURES)):
            assert refused.status_code == 503
            assert "retry-after" in refused.headers
        gate.set()
        for address in running:
            wait_until(lambda address=address: client.get(address).json()["state"] == "done")
    assert finished(client, import_files(client, PICTURES))["state"] == "done"


# How it is cancelled


def test_a_cancelled_import_keeps_what_it_has_added_and_ends_its_events(client: httpx2.Client, web: Site) -> None:
    gate = threading.Event()
    with site({"/slow.png": lambda exchange: waits(exchange, gate)}) as slow:
        told: list[httpx2.ServerSentEvent] = []
        urls = [f"{web.url}/a.png", *[f"{slow.url}/slow.png?{n}" for n in range(9)]]
        address = started(client.post(IMPORT, json={"urls": urls, "folder": "web"}))
        follower = threading.Thread(target=lambda: told.extend(followed(address)))
        follower.start()
        wait_until(lambda: client.get(address).json()["counts"]["added"] == 1)
        cancelled = client.delete(address)
        follower.join(DEADLINE_S)
        gate.set()
    assert cancelled.status_code == 200
    job = cancelled.json()
    assert job["state"] == "cancelled"
    assert job["counts"] == {"waiting": 0, "added": 1, "present": 0, "refused": 0, "failed": 0, "left": 9}
    assert job["items"][1]["reason"] == "The import was cancelled before its turn."
    assert told[-1].event == "done"
    assert told[-1].json()["state"] == "cancelled"
    assert client.delete(address).json() == client.get(address).json() == job
    found = client.post("/api/v1/search/image", files={"file": PICTURES["a.png"]}, data={"k": "1"}).json()
    assert found["results"][0]["object_key"] == "web/a.png"


def test_an_import_that_is_over_stays_as_it_is(client: httpx2.Client) -> None:
    job = finished(client, import_files(client, PICTURES))
    assert client.delete(f"{IMPORT}/{job['id']}").json() == job
    assert client.delete(f"{IMPORT}/nothing").status_code == 404


# The end of the service


def test_a_stop_finishes_what_is_being_added_and_says_what_is_left(tmp_path: Path, web: Site) -> None:
    parts = make_parts(tmp_path / "bucket", **settings())
    gate = threading.Event()
    with site({"/slow.png": lambda exchange: waits(exchange, gate)}) as slow:
        told: list[httpx2.ServerSentEvent] = []
        app = create_app(parts.settings, parts)
        with serving(app) as client:
            urls = [f"{web.url}/a.png", f"{slow.url}/slow.png", *[f"{slow.url}/slow.png?{n}" for n in range(20)]]
            address = started(client.post(IMPORT, json={"urls": urls, "folder": "web"}))
            follower = threading.Thread(target=lambda: told.extend(followed(address)))
            follower.start()
            wait_until(lambda: client.get(address).json()["counts"]["added"] == 1)
            wait_until(lambda: bool(told))
        follower.join(DEADLINE_S)
        gate.set()
    last = told[-1]
    assert last.event == "done"
    assert last.json()["state"] == "stopped"
    assert last.json()["counts"] == {"waiting": 0, "added": 1, "present": 0, "refused": 0, "failed": 0, "left": 21}
    with serving_parts(parts) as client:
        found = client.post("/api/v1/search/image", files={"file": PICTURES["a.png"]}, data={"k": "1"}).json()
        assert found["results"][0]["object_key"] == "web/a.png"


# From the web


def openverse_answer(web: Site, names: list[str]) -> bytes:
    results = [
        {
            "url": f"{web.url}/{name}",
            "foreign_landing_url": f"https://photos.example/{name}",
            "title": f"Photo {name}",
            "creator": "Ann Example",
            "license": "by",
            "license_version": "2.0",
            "license_url": "https://creativecommons.org/licenses/by/2.0/",
            "attribution": f'"Photo {name}" by Ann Example is licensed under CC BY 2.0.',
            "filetype": "png",
        }
        for name in names
    ]
    return json.dumps({"result_count": len(names), "page_count": 1, "page_size": 20, "results": results}).encode()


def test_what_a_web_search_finds_is_added_with_its_attribution(tmp_path: Path, web: Site) -> None:
    with site({"/v1/images/": answer(openverse_answer(web, ["a.png", "b.png", "none.png"]))}) as api:
        chosen = WebSettings(providers="openverse", openverse_url=api.url)
        with serving_parts(make_parts(tmp_path / "bucket", **settings(web=chosen))) as client:
            job = finished(client, client.post(IMPORT, json={"query": "lighthouse", "count": 3, "folder": "web"}))
            assert (job["state"], job["query"], job["total"]) == ("done", "lighthouse", 3)
            assert outcomes(job) == {"a.png": "added", "b.png": "added", "none.png": "failed"}
            hit = client.post(
                "/api/v1/search/image", files={"file": ("q.png", PICTURES["a.png"])}, data={"k": "1"}
            ).json()["results"][0]
            source = client.get(f"/api/v1/images/{hit['image_id']}").json()["source"]
            assert hit["source"] == source
            assert source == {
                "url": f"{web.url}/a.png",
                "page_url": "https://photos.example/a.png",
                "title": "Photo a.png",
                "creator": "Ann Example",
                "license": "CC BY 2.0",
                "license_url": "https://creativecommons.org/licenses/by/2.0/",
                "attribution": '"Photo a.png" by Ann Example is licensed under CC BY 2.0.',
            }
            again = finished(client, client.post(IMPORT, json={"query": "lighthouse", "count": 3, "folder": "web"}))
            assert again["counts"]["present"] == 2
        assert len(api.requests) == 1


def test_a_web_search_that_fails_ends_the_import_with_the_reason(tmp_path: Path) -> None:
    with site({"/v1/images/": answer(b"{}", status=429, Retry_After="3600")}) as api:
        chosen = WebSettings(providers="openverse", openverse_url=api.url)
        with serving_parts(make_parts(tmp_path / "bucket", **settings(web=chosen))) as client:
            job = finished(client, client.post(IMPORT, json={"query": "lighthouse"}))
            assert (job["state"], job["items"]) == ("failed", [])
            assert "takes no more searches for now" in job["error"]
            assert list(events(client, f"{IMPORT}/{job['id']}"))[-1].json()["state"] == "failed"


def test_web_searches_are_off_unless_a_setting_turns_them_on(client: httpx2.Client) -> None:
    for provider in ("openverse", "ddgs"):
        refused = client.post(IMPORT, json={"query": "lighthouse", "provider": provider})
        assert refused.status_code == 400
        assert f"WEB_PROVIDERS={provider}" in refused.json()["detail"]
