"""Generations over HTTP: a real server, the real worker process, and a generator without a network."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from app.catalog.view import View
from app.http.requests import view_source
from app.main import create_app
from app.pictures.png_text import read_png_text
from app.settings import GenerationSettings, ServerSettings
from app.types import image_id_of
from tests.support.generation import Studio, use_fake_generator
from tests.support.service import encoded, make_parts, picture, serving, serving_parts, wait_until

URL = "/api/v1/generations"
ANN, BOB = {"Authorization": "Bearer ann"}, {"Authorization": "Bearer bob"}


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    return Studio(tmp_path_factory.mktemp("studio"))


@pytest.fixture(scope="module")
def client(studio: Studio) -> Iterator[httpx2.Client]:
    with pytest.MonkeyPatch.context() as patch:
        settings = use_fake_generator(patch, studio.log)
        with serving_parts(make_parts(studio.folder / "bucket", generation=settings)) as client:
            yield client


def generate(client: httpx2.Client, prompt: str, headers: dict[str, str] | None = None, **fields: object) -> str:
    """The address of an accepted job."""
    answer = client.post(URL, json={"prompt": prompt, **fields}, headers=headers)
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"].endswith(f"{URL}/{answer.json()['id']}")
    return answer.headers["location"]


def over(client: httpx2.Client, address: str) -> dict:
    return events(client, address)[-1][2]


def events(client: httpx2.Client, address: str, **headers: str) -> list[tuple[str, str, dict]]:
    """Kind, id and data of each event, to the end of the stream."""
    text = client.get(f"{address}/events", headers=headers).text
    found = []
    for block in text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "event" in fields:
            found.append((fields["event"], fields.get("id", ""), json.loads(fields["data"])))
    return found


def test_from_a_prompt_to_the_file(client: httpx2.Client) -> None:
    address = generate(client, "a red circle", size="40x24", steps=2, guidance=3, seed=7, n=2, scheduler="euler")
    job = over(client, address)
    assert (job["state"], job["error"], job["model"]) == ("succeeded", None, "fake-generator")
    assert (job["width"], job["height"], job["steps"], job["guidance"], job["scheduler"]) == (40, 24, 2, 3.0, "euler")
    assert job["strength"] is None
    first, second = job["results"]
    assert (first["seed"], second["seed"]) == (7, 8)
    file = client.get(first["url"])
    assert (file.status_code, file.headers["content-type"]) == (200, "image/png")
    assert len(file.content) == first["size_bytes"] == int(file.headers["content-length"])
    assert read_png_text(file.content)["prompt"] == "a red circle"
    assert client.head(address).status_code == 200


def test_files_are_handed_out_as_originals_are(client: httpx2.Client) -> None:
    url = over(client, generate(client, "a file"))["results"][0]["url"]
    whole = client.get(url)
    head = client.head(url)
    assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", whole.headers["etag"])
    assert head.headers["content-length"] == whole.headers["content-length"]
    assert client.get(url, headers={"If-None-Match": whole.headers["etag"]}).status_code == 304
    part = client.get(url, headers={"Range": "bytes=1-3"})
    assert (part.status_code, part.content) == (206, b"PNG")
    assert client.get(url, headers={"Range": "bytes=99999999-"}).status_code == 416
    assert whole.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert client.get(url.replace("/pictures/1", "/pictures/2")).status_code == 404


def test_events_from_the_first_step_to_the_end(client: httpx2.Client) -> None:
    address = generate(client, "a blue square", n=2, steps=2)
    seen = events(client, address)
    kinds = [kind for kind, _, _ in seen]
    assert kinds[0] == "progress"
    assert kinds[-1] == "done"
    assert [(number, data["number"]) for kind, number, data in seen if kind == "result"] == [("1", 1), ("2", 2)]
    previews = [data["preview"] for kind, _, data in seen if kind == "progress" and data["preview"]]
    assert all(preview.startswith("data:image/jpeg;base64,") for preview in previews)
    assert seen[-1][2]["state"] == "succeeded"
    again = events(client, address, **{"Last-Event-ID": "1"})
    assert [number for kind, number, _ in again if kind == "result"] == ["2"], "only what was not seen before"
    assert events(client, address, **{"Last-Event-ID": "x"})[-1][0] == "done"
    assert client.get(f"{URL}/{'0' * 32}/events").status_code == 404


def test_cancelled_and_failed_jobs_say_so(client: httpx2.Client, studio: Studio) -> None:
    running = generate(client, "gone waits cancel")
    wait_until(lambda: any(line.startswith("gone") for line in studio.lines()))
    queued = generate(client, "never")
    for address in (queued, running):
        assert client.delete(address).json()["state"] == "cancelled"
    studio.open("cancel")
    assert [kind for kind, _, _ in events(client, running)][-2:] == ["cancelled", "done"]
    failing = generate(client, "it crashes")
    kinds = [(kind, data.get("error")) for kind, _, data in events(client, failing)][-2:]
    assert [kind for kind, _ in kinds] == ["failed", "done"]
    assert "was killed" in kinds[0][1]
    assert over(client, generate(client, "next"))["state"] == "succeeded"
    assert "never" not in studio.drawn()


def test_callers_are_told_apart_by_their_keys(client: httpx2.Client, studio: Studio) -> None:
    generate(client, "x1 waits turns", ANN)
    wait_until(lambda: any(line.startswith("x1") for line in studio.lines()))
    last = generate(client, "x2", ANN)
    generate(client, "y1", BOB)
    studio.open("turns")
    over(client, last)
    assert [name for name in studio.drawn() if name in ("x1", "x2", "y1")] == ["x1", "y1", "x2"]


def test_a_drawing_from_an_indexed_picture_or_a_file(client: httpx2.Client) -> None:
    image_id = image_id_of("top.png")
    by_id = over(client, generate(client, "again", init={"image_id": image_id}, strength=0.5, seed=1))
    assert (by_id["state"], by_id["init_image_id"], by_id["strength"]) == ("succeeded", image_id, 0.5)
    assert (by_id["width"], by_id["height"]) == (40, 24), "the shape of the picture"
    file = {"file": ("top.png", encoded(picture("top.png"), "PNG"), "image/png")}
    fields = {"prompt": "again", "strength": "0.5", "seed": "1", "n": "1"}
    posted = client.post(URL, data=fields, files=file)
    assert posted.status_code == 202, posted.text
    by_file = over(client, posted.headers["location"])
    pixels = [client.get(job["results"][0]["url"]).content for job in (by_id, by_file)]
    assert read_png_text(pixels[0]).pop("init_image_id") == image_id
    assert read_png_text(pixels[1])["strength"] == "0.5"
    assert client.post(URL, json={"prompt": "x", "init": {"image_id": "0" * 16}}).status_code == 404
    assert client.post(URL, data=fields, files={"file": b"no picture"}).status_code == 400
    assert client.post(URL, data=fields | {"seed": "many"}, files=file).status_code == 422
    assert client.post(URL, data=fields).status_code == 415
    assert client.post(URL, files={"prompt": (None, "again")}).status_code == 422


def test_results_go_into_the_library_and_are_found(client: httpx2.Client) -> None:
    made = over(client, generate(client, "a green dragon", save_to_folder="art/dragons", seed=1, n=2))
    ids = [result["image_id"] for result in made["results"]]
    info = client.get(f"/api/v1/images/{ids[0]}").json()
    assert (info["object_key"], info["caption"]) == ("art/dragons/a-green-dragon-1.png", "a green dragon")
    assert info["tags"] == ["generated", "fake-generator"]
    found = client.post("/api/v1/search/text", json={"query": "dragon", "folder": "art/dragons"}).json()
    assert {result["image_id"] for result in found["results"]} == set(ids)
    later = over(client, generate(client, "a green dragon", seed=3))
    saved = client.post(f"{URL}/{later['id']}/save", json={"folder": "art", "pictures": [1]})
    assert saved.json()["results"][0]["object_key"] == "art/a-green-dragon-3.png"
    assert client.get(f"{URL}/{later['id']}").json() == saved.json()
    assert client.post(f"{URL}/{later['id']}/save", json={"folder": "_index"}).status_code == 400
    assert client.post(f"{URL}/{later['id']}/save", json={"folder": "art", "pictures": [4]}).status_code == 404
    assert client.post(URL, json={"prompt": "x", "save_to_folder": "_index"}).status_code == 400


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": ""},
        {"prompt": "x", "size": "32by32"},
        {"prompt": "x", "size": "32x32", "width": 32},
        {"prompt": "x", "seed": -1},
        {"prompt": "x", "seed": 2**32},
        {"prompt": "x", "n": "2"},
        {"prompt": "x", "steps": 0},
        {"prompt": "x", "strength": 0},
        {"prompt": "x", "cfg": 7},
        {},
    ],
)
def test_fields_that_make_no_request(client: httpx2.Client, fields: dict[str, object]) -> None:
    assert client.post(URL, json=fields).status_code == 422


def test_limits_are_named(client: httpx2.Client) -> None:
    for fields, setting in (
        ({"n": 5}, "GENERATION_MAX_COUNT"),
        ({"steps": 101}, "GENERATION_MAX_STEPS"),
        ({"size": "2048x2048"}, "GENERATION_MAX_PIXELS"),
        ({"negative_prompt": "x" * 1001}, "GENERATION_MAX_PROMPT_CHARS"),
    ):
        answer = client.post(URL, json={"prompt": "x", **fields})
        assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
        assert setting in answer.json()["detail"]


def test_what_the_service_can_draw(client: httpx2.Client) -> None:
    status = client.get(URL).json()
    assert (status["enabled"], status["reason"], status["model"]) == (True, None, "fake")
    assert status["abilities"]["schedulers"] == ["ddim", "euler"]
    assert status["limits"] == {
        **{"max_pixels": 1 << 20, "max_steps": 100, "max_n": 4, "max_prompt_chars": 1000, "max_queue": 32},
        "keep_days": 7.0,
    }


def test_pages_of_other_sites_start_nothing(client: httpx2.Client) -> None:
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
        assert client.post(URL, json={"prompt": "x"}, headers=headers).status_code == 403
    assert client.post(URL, content=b"{}", headers={"Content-Type": "text/plain"}).status_code == 415


@pytest.mark.parametrize("model", ["", "/nowhere/model"])
def test_without_a_model_it_says_what_to_set(tmp_path: Path, model: str) -> None:
    with serving_parts(make_parts(tmp_path, generation=GenerationSettings(model=model))) as client:
        answer = client.post(URL, json={"prompt": "x"})
        assert (answer.status_code, answer.headers["content-type"]) == (501, "application/problem+json")
        assert "GENERATION_MODEL" in answer.json()["detail"]
        assert "/nowhere" not in answer.text
        status = client.get(URL).json()
        assert (status["enabled"], status["model"]) == (False, "model" if model else None)
        assert "GENERATION_MODEL" in status["reason"]


def test_a_service_that_is_read_only_draws_but_saves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = use_fake_generator(monkeypatch, tmp_path / "log.txt")
    parts = make_parts(tmp_path / "bucket", generation=settings, server=ServerSettings(read_only=True))
    with serving_parts(parts) as client:
        made = over(client, generate(client, "one"))
        assert made["state"] == "succeeded"
        assert client.post(URL, json={"prompt": "x", "save_to_folder": "art"}).status_code == 403
        assert client.post(f"{URL}/{made['id']}/save", json={"folder": "art"}).status_code == 403


def test_a_caller_sees_only_jobs_of_its_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = use_fake_generator(monkeypatch, tmp_path / "log.txt")
    parts = make_parts(tmp_path / "bucket", generation=settings)
    snapshot = parts.catalog.load()
    assert snapshot is not None
    app = create_app(parts.settings, parts)
    scope = ["nature"]
    app.dependency_overrides[view_source] = lambda: lambda: View(snapshot, list(scope))
    with serving(app) as client:
        outside, inside = ({"image_id": image_id_of(key)} for key in ("vehicles/car1.jpg", "nature/sunset1.jpg"))
        assert client.post(URL, json={"prompt": "x", "init": outside}).status_code == 404
        assert client.post(URL, json={"prompt": "x", "save_to_folder": "vehicles"}).status_code == 404
        begun = generate(client, "one", init=inside)
        kept = generate(client, "two", save_to_folder="nature/art")
        plain = generate(client, "three")
        over(client, plain)
        assert client.post(f"{plain}/save", json={"folder": "vehicles"}).status_code == 404
        scope[:] = ["vehicles"]
        for address in (begun, kept):
            for path in ("", "/events", "/pictures/1"):
                assert client.get(f"{address}{path}").status_code == 404, path
            assert client.delete(address).status_code == 404
            assert client.post(f"{address}/save", json={"folder": "vehicles"}).status_code == 404
        assert client.get(plain).status_code == 200


def test_a_blocklist_is_read_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_fake_generator(monkeypatch, tmp_path / "log.txt")
    (tmp_path / "blocked.txt").write_text("dragon\n")
    settings = GenerationSettings(model="fake", blocklist=str(tmp_path / "blocked.txt"))
    with serving_parts(make_parts(tmp_path / "bucket", generation=settings)) as client:
        answer = client.post(URL, json={"prompt": "a Dragon"})
        assert (answer.status_code, answer.json()["title"]) == (422, "Content refused")
