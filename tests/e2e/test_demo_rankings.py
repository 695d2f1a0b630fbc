"""What a newcomer's first searches answer: the shipped model over the shipped pictures, through HTTP.

Each query was chosen for a clear lead of its top hit (0.1 or more in cosine for most), so that a rounding apart does
not turn a test red. Queries in four languages; colours, counts, places and synonyms.
"""

import io
from functools import partial
from pathlib import Path

import httpx2
import pytest
from PIL import Image, ImageEnhance, ImageOps

from app.cli.demo import SAMPLES
from tests.support.service import wait_until

TEXTS = {
    "a yellow car in the snow": "vehicles/yellow-car-in-snow.jpg",
    "an owl at night": "animals/owl-at-night.jpg",
    "three red cars on the grass": "vehicles/three-red-cars-on-grass.jpg",
    "a swan on the water": "animals/swan-on-the-sea.jpg",
    "a scarf in the snow": "clothing/scarf-in-snow.jpg",
    "three sailboats on the sea": "vehicles/three-sailboats-on-the-sea.jpg",
    "a cactus at sunset": "nature/cactus-at-sunset.jpg",
    "a helicopter in the sky": "vehicles/helicopter-in-the-sky.jpg",
    "a sunflower": "nature/sunflower-on-grass.jpg",
    "three stars at night": "nature/three-stars-at-night.jpg",
    "a rocket at night": "vehicles/rocket-among-stars.webp",
    "the statue of liberty": "buildings/statue-of-liberty-on-the-sea.jpg",
    "tres pingüinos en la nieve": "animals/three-penguins-in-snow.jpg",
    "un barco de vela al atardecer": "vehicles/sailboat-at-sunset.jpg",
    "a banana on a blue background": "food/banana-on-blue.jpg",
    "an avocado": "food/avocado-on-green.jpg",
    "a birthday cake": "food/birthday-cake-in-a-room.jpg",
    "a fox in the snow": "animals/fox-in-snow.jpg",
    "a full moon at night": "nature/full-moon-at-night.jpg",
    "a black car": "vehicles/black-car-on-grey.jpg",
    "a yellow t-shirt": "clothing/yellow-t-shirt-on-grey.jpg",
    "a red t-shirt": "clothing/red-t-shirt-on-white.jpg",
    "a skateboard": "vehicles/skateboard-on-purple.jpg",
    "a red car at night": "vehicles/red-car-at-night.jpg",
    "une voiture rouge la nuit": "vehicles/red-car-at-night.jpg",
    "eine katze bei nacht": "animals/cat-at-night.jpg",
    "a parrot": "animals/parrot-on-white.jpg",
    "a church in the snow": "buildings/church-in-snow.jpg",
    "a pizza in a room": "food/pizza-in-a-room.jpg",
    "a pizza": "food/pizza-in-a-room.jpg",
}

IN_FOLDERS = {
    ("tree in the snow", "nature"): "nature/evergreen-tree-in-snow.jpg",
    ("a blue car on sand", "vehicles"): "vehicles/blue-car-on-sand.jpg",
    ("a cat at night", "animals"): "animals/cat-at-night.jpg",
}

PICTURES = [
    "food/pizza-in-a-room.jpg",
    "food/strawberry-transparent.png",
    "clothing/red-dress-on-white.jpg",
    "sports/soccer-ball-on-grass.jpg",
    "vehicles/rocket-among-stars.webp",
    "nature/cactus-at-sunset.jpg",
    "buildings/castle-at-night.jpg",
    "animals/giraffe-rotated-by-exif.jpg",
]


PLACES = {
    "snow": "in-snow",
    "sunset": "at-sunset",
    "night": "at-night",
    "beach": "on-sand",
    "Wiese": "on-grass",
    "mer": "on-the-sea",
}
"""Words for places by themselves, with what the names of pictures there end in."""

AWAY = {
    "a dog without snow": ("animals/dog-on-grass.jpg", "animals/dog-in-snow.jpg"),
    'a dog -"in the snow"': ("animals/dog-on-grass.jpg", "animals/dog-in-snow.jpg"),
    "a cat not on the grass": ("animals/cat-at-night.jpg", "animals/cat-on-grass.jpg"),
    "a church not in the snow": ("buildings/church-on-grass.jpg", "buildings/church-in-snow.jpg"),
}
"""Queries with the first picture, and one that is not shown."""


def top(answer: httpx2.Response) -> str:
    assert answer.status_code == 200, answer.text
    return answer.json()["results"][0]["object_key"]


def altered(key: str) -> bytes:
    """The sample cropped, mirrored, made small and darker: the same picture to a person, other bytes throughout."""
    image = ImageOps.exif_transpose(Image.open(SAMPLES / key)).convert("RGBA")
    picture = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    margins = [int(0.06 * side) for side in picture.size]
    cropped = ImageOps.mirror(picture.crop((*margins, picture.width - margins[0], picture.height - margins[1])))
    cropped.thumbnail((200, 200))
    buffer = io.BytesIO()
    ImageEnhance.Brightness(cropped).enhance(0.92).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(("query", "key"), TEXTS.items())
def test_a_description_finds_its_picture(demo_service: httpx2.Client, query: str, key: str) -> None:
    assert top(demo_service.post("/api/v1/search/text", json={"query": query})) == key


@pytest.mark.parametrize(("word", "ending"), PLACES.items())
def test_a_place_is_found_by_its_name_alone(demo_service: httpx2.Client, word: str, ending: str) -> None:
    answer = demo_service.post("/api/v1/search/text", json={"query": word, "auto_folder": False}).json()
    assert [Path(hit["object_key"]).stem.endswith(ending) for hit in answer["results"]] == [True] * 5


@pytest.mark.parametrize(("asked", "key"), IN_FOLDERS.items())
def test_a_folder_is_searched_alone(demo_service: httpx2.Client, asked: tuple[str, str], key: str) -> None:
    query, folder = asked
    answer = demo_service.post("/api/v1/search/text", json={"query": query, "folder": folder, "k": 30})
    assert top(answer) == key
    assert {hit["folder"].partition("/")[0] for hit in answer.json()["results"]} == {folder}


def test_a_folder_named_in_the_query_is_found(demo_service: httpx2.Client) -> None:
    answer = demo_service.post("/api/v1/search/text", json={"query": "a palm tree on the beach"})
    assert answer.json()["folder"]["path"] == "nature/beach"
    assert top(answer) == "nature/beach/palm-tree-on-sand.jpg"


@pytest.mark.parametrize("key", PICTURES)
def test_a_picture_finds_itself_though_it_was_altered(demo_service: httpx2.Client, key: str) -> None:
    assert top(demo_service.post("/api/v1/search/image", files={"file": altered(key)}, data={"k": "3"})) == key


def test_a_near_duplicate_comes_right_behind(demo_service: httpx2.Client) -> None:
    data = (SAMPLES / "animals" / "cat-on-grass.jpg").read_bytes()
    results = demo_service.post("/api/v1/search/image", files={"file": data}).json()["results"]
    assert [hit["object_key"] for hit in results[:2]] == ["animals/cat-on-grass.jpg", "animals/cat-on-grass-copy.jpg"]


@pytest.fixture
def judging_service(demo_service: httpx2.Client) -> httpx2.Client:
    """Relevance is known: not in the first moments of a service."""
    ask = partial(demo_service.post, "/api/v1/search/text", json={"query": "a dog", "k": 1})
    wait_until(lambda: ask().json()["good_match"] is not None, 60)
    return demo_service


@pytest.mark.parametrize(("query", "keys"), AWAY.items())
def test_what_is_taken_away_is_not_shown(judging_service: httpx2.Client, query: str, keys: tuple[str, str]) -> None:
    first, gone = keys
    answer = judging_service.post("/api/v1/search/text", json={"query": query, "k": 10})
    assert top(answer) == first
    assert gone not in [hit["object_key"] for hit in answer.json()["results"]]


def test_feedback_takes_away_too(judging_service: httpx2.Client) -> None:
    session = f"/api/v1/sessions/{judging_service.post('/api/v1/sessions', json={}).json()['session_id']}"
    assert top(judging_service.post(f"{session}/search", json={"query": "a dog"})) == "animals/dog-in-snow.jpg"
    refined = judging_service.post(f"{session}/refine", json={"feedback": "not in the snow"})
    assert top(refined) == "animals/dog-on-grass.jpg"
    assert "animals/dog-in-snow.jpg" not in [hit["object_key"] for hit in refined.json()["results"]]


def test_the_service_says_that_this_is_a_demo_model(demo_service: httpx2.Client) -> None:
    notice = demo_service.get("/api/v1/index").json()["notice"]
    assert notice == "demo model: knows emoji-like drawings; set MODEL for photographs"
