"""GET /images/{id}/explain over HTTP."""

import io
from pathlib import Path

import httpx2
import numpy as np
import pytest
from PIL import Image

from app.bootstrap import load_embedder
from app.settings import ModelSettings
from app.types import image_id_of
from tests.support.service import FakeEmbedder, make_parts, serving_parts

URL = f"/api/v1/images/{image_id_of('animals/cat1.jpg')}/explain"


def test_a_picture_of_the_size_asked_for(client: httpx2.Client) -> None:
    answer = client.get(URL, params={"query": "a cat", "size": 64})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    assert Image.open(io.BytesIO(answer.content)).size == (60, 40)  # never larger than the picture
    alone = client.get(URL, params={"query": "a cat", "size": 64, "overlay": False})
    assert alone.content != answer.content


def test_numbers_by_parameter_or_by_accept(client: httpx2.Client) -> None:
    numbers = client.get(URL, params={"query": "a cat", "format": "json"}).json()
    assert (numbers["rows"], numbers["columns"]) == np.array(numbers["values"]).shape == (5, 8)
    by_accept = client.get(URL, params={"query": "a cat"}, headers={"Accept": "application/json"})
    assert by_accept.json() == numbers
    assert by_accept.headers["vary"].lower().startswith("accept")
    other = client.get(URL, params={"query": "a dog", "format": "json"}).json()
    assert other["values"] != numbers["values"]


def test_a_map_is_made_once(tmp_path: Path) -> None:
    embedder = FakeEmbedder()
    with serving_parts(make_parts(tmp_path, embedder)) as client:
        first = client.get(URL, params={"query": "a cat"})
        made = embedder.pictures
        assert client.get(URL, params={"query": "a cat", "format": "json"}).status_code == 200
        assert embedder.pictures == made
        same = client.get(URL, params={"query": "a cat"}, headers={"If-None-Match": first.headers["etag"]})
        assert (same.status_code, same.content) == (304, b"")
        other = client.get(URL, params={"query": "a dog"}, headers={"If-None-Match": first.headers["etag"]})
        assert other.status_code == 200
        assert embedder.pictures > made


@pytest.mark.parametrize(
    "asked", [{}, {"query": ""}, {"query": "  "}, {"query": "a", "size": 2}, {"query": "x" * 2001}]
)
def test_what_can_not_be_asked(client: httpx2.Client, asked: dict) -> None:
    assert client.get(URL, params=asked).status_code == 422


def test_an_unknown_picture(client: httpx2.Client) -> None:
    assert client.get("/api/v1/images/0000/explain", params={"query": "a"}).status_code == 404


def test_another_kind_of_network_is_refused_with_the_reason(tmp_path: Path) -> None:
    embedder = FakeEmbedder()
    embedder.has_patches = False
    with serving_parts(make_parts(tmp_path, embedder)) as client:
        answer = client.get(URL, params={"query": "a cat"})
    assert answer.status_code == 501
    assert "fake/model is another kind of network" in answer.json()["detail"]


def test_the_demo_model_finds_the_quarter_that_shows_the_object(tmp_path: Path) -> None:
    """Without PyTorch, as `make demo` runs it: four samples side by side, each asked for by what it shows."""
    names = ("animals", "buildings", "food", "vehicles")
    files = [sorted(Path("samples", name).glob("*.jpg"))[0] for name in names]
    collage = Image.new("RGB", (256, 256))
    for number, file in enumerate(files):
        collage.paste(Image.open(file).resize((128, 128)), (number % 2 * 128, number // 2 * 128))
    parts = make_parts(tmp_path, load_embedder(ModelSettings(name="demo")), keys=("a.png",))
    buffer = io.BytesIO()
    collage.save(buffer, "PNG")
    parts.store.put("a.png", buffer.getvalue())
    found = []
    with serving_parts(parts) as client:
        for file in files:
            asked = {"query": f"a picture of {file.stem.replace('-', ' ')}", "format": "json"}
            values = np.array(
                client.get(f"/api/v1/images/{image_id_of('a.png')}/explain", params=asked).json()["values"]
            )
            row, column = np.unravel_index(values.argmax(), values.shape)
            found.append(int(row // 4 * 2 + column // 4))
    assert found == [0, 1, 2, 3]
