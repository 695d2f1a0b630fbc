"""POST /api/v1/search/text, /search/image and /search/url, over HTTP, with a real model."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from PIL import Image

from app.bootstrap import Parts
from app.search.schemas import MAX_FOLDER_CHARS, MAX_QUERY_CHARS
from app.settings import FetchSettings, ImageSettings
from app.types import image_id_of
from tests.support.service import KEYS, encoded, make_parts, picture, serving_parts
from tests.support.web import ELSEWHERE, Site, site
from tests.support.web import answer as reply

TEXT = "/api/v1/search/text"
IMAGE = "/api/v1/search/image"
URL = "/api/v1/search/url"
SEND_FILE = "Send the picture as a file part with a filename: curl -F file=@picture.jpg"


def text(client: httpx2.Client, query: str, **fields: object) -> dict:
    answer = client.post(TEXT, json={"query": query, **fields})
    assert answer.status_code == 200, answer.text
    return answer.json()


def image(client: httpx2.Client, data: bytes, **fields: str) -> httpx2.Response:
    return client.post(IMAGE, files={"file": ("a.png", data)}, data=fields)


def keys_of(answer: dict) -> list[str]:
    return [result["object_key"] for result in answer["results"]]


def test_answers_the_k_nearest_best_first(client: httpx2.Client) -> None:
    answer = text(client, "a photo of a dog", k=4)
    scores = [result["score"] for result in answer["results"]]
    assert len(scores) == 4
    assert scores == sorted(scores, reverse=True)
    assert set(answer) == {
        "results", "folder", "good_match", "note", "understood", "next_cursor", "generation", "took_ms"
    }  # fmt: skip
    assert answer["next_cursor"]
    assert answer["folder"] is None
    assert answer["took_ms"] > 0


def test_a_result_says_all_of_the_picture(client: httpx2.Client, parts: Parts) -> None:
    (result,) = text(client, "dog", k=1, folder="vehicles")["results"]
    assert set(result) == {
        "image_id", "object_key", "folder", "s3_path", "score", "distance", "relevance", "words", "parts",
        "combined", "stands_for", "width", "height", "date", "image_url",
        "thumbnail_url", "caption", "source",
    }  # fmt: skip
    assert result["image_id"] == image_id_of("vehicles/car1.jpg")
    assert result["folder"] == "vehicles"
    assert result["s3_path"] == parts.store.uri("vehicles/car1.jpg")
    assert result["distance"] == pytest.approx((2 - 2 * result["score"]) ** 0.5, abs=1e-5)
    assert client.get(result["image_url"]).content == parts.store.get("vehicles/car1.jpg").data
    assert client.get(result["thumbnail_url"]).headers["content-type"] == "image/webp"


def test_five_pictures_unless_told_otherwise(client: httpx2.Client) -> None:
    assert len(text(client, "dog")["results"]) == 5
    assert len(image(client, encoded(picture("top.png"))).json()["results"]) == 5


def test_all_pictures_where_there_are_fewer_than_k(client: httpx2.Client) -> None:
    assert sorted(keys_of(text(client, "dog", k=100))) == sorted(KEYS)


def test_folder_asked_for(client: httpx2.Client) -> None:
    answer = text(client, "animal at night", k=100, folder="/nature/")
    assert set(keys_of(answer)) == {key for key in KEYS if key.startswith("nature/")}
    assert answer["folder"] == {
        "path": "nature", "source": "asked", "words": [], "also": [], "embedded_text": "animal at night",
        "widened": False,
    }  # fmt: skip


def test_folder_detected(client: httpx2.Client) -> None:
    answer = text(client, "dog at the beach", k=100)
    assert keys_of(answer) == ["nature/beach/waves.png"]
    assert answer["folder"] == {
        "path": "nature/beach", "source": "detected", "words": ["beach"], "also": [], "embedded_text": "dog",
        "widened": False,
    }  # fmt: skip


def test_what_remains_is_what_is_embedded(client: httpx2.Client) -> None:
    def scores(query: str, **fields: object) -> dict[str, float]:
        return {r["object_key"]: r["score"] for r in text(client, query, k=100, **fields)["results"]}

    detected = scores("sofa in nature")
    assert detected == pytest.approx(scores("sofa", folder="nature"))
    assert detected != pytest.approx(scores("sofa in nature", folder="nature"))
    filler = scores("show me nature photos")
    assert filler == pytest.approx(scores("show me nature photos", folder="nature"))


def test_detection_can_be_turned_off(client: httpx2.Client) -> None:
    answer = text(client, "nature", k=100, auto_folder=False)
    assert len(answer["results"]) == len(KEYS)
    assert answer["folder"] is None


@pytest.mark.parametrize("folder", [None, "", "/"])
def test_no_folder_given(client: httpx2.Client, folder: str | None) -> None:
    assert text(client, "animals", folder=folder)["folder"]["source"] == "detected"


def test_unknown_folder_names_near_ones(client: httpx2.Client) -> None:
    answer = client.post(TEXT, json={"query": "dog", "folder": "natur"})
    assert answer.status_code == 404
    assert answer.json()["type"] == "urn:image2search:problem:folder-not-found"
    assert "'nature'" in answer.json()["detail"]
    assert image(client, encoded(picture("top.png")), folder="natur").status_code == 404


def test_a_picture_finds_itself(client: httpx2.Client, parts: Parts) -> None:
    for key in KEYS:
        best = image(client, parts.store.get(key).data, k="1").json()["results"][0]
        assert best["object_key"] == key
        assert best["distance"] < 0.01


def test_a_picture_in_a_folder(client: httpx2.Client) -> None:
    answer = image(client, encoded(picture("top.png")), k="100", folder="animals").json()
    assert set(keys_of(answer)) == {"animals/cat1.jpg", "animals/dog2.png"}
    assert answer["folder"]["source"] == "asked"
    assert answer["folder"]["embedded_text"] is None


def test_a_whole_number_may_be_written_with_a_point(client: httpx2.Client) -> None:
    body = b'{"query": "dog", "k": 2.0}'
    answer = client.post(TEXT, content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, len(answer.json()["results"])) == (200, 2)


def test_long_texts_are_cut_by_the_model(client: httpx2.Client) -> None:
    assert len(text(client, "dog " * (MAX_QUERY_CHARS // 4))["results"]) == 5


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"query": ""},
        {"query": " \n"},
        {"query": None},
        {"query": "x" * (MAX_QUERY_CHARS + 1)},
        {"query": "dog", "k": 0},
        {"query": "dog", "k": 101},
        {"query": "dog", "k": "5"},
        {"query": "dog", "k": True},
        {"query": "dog", "k": 2.5},
        {"query": "dog", "folders": "nature"},
        {"query": "dog", "minus_words": "yes"},
        {"query": "dog", "folder": 3},
        {"query": "dog", "folder": "x" * (MAX_FOLDER_CHARS + 1)},
        {"query": "dog", "auto_folder": "yes"},
        {"query": "\ud800"},
        {"query": "dog", "\ud800": 1},
        [],
        None,
    ],
)
def test_bad_bodies_are_422(client: httpx2.Client, body: object) -> None:
    import json

    answer = client.post(TEXT, content=json.dumps(body), headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"]


def test_broken_json_is_422_and_says_where(client: httpx2.Client) -> None:
    answer = client.post(TEXT, content='{"query": ', headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["where"][0] == "body"
    assert "not JSON: Expecting value (character 10)" in answer.json()["detail"]


def test_a_blank_query_is_told_in_our_words(client: httpx2.Client) -> None:
    answer = client.post(TEXT, json={"query": " "})
    assert answer.json()["detail"] == "body.query: say what to look for; it can't be empty"


@pytest.mark.parametrize("content", [b"", b"[]", b'"dog"'])
def test_a_body_that_is_no_object_is_told_what_to_send(client: httpx2.Client, content: bytes) -> None:
    answer = client.post(TEXT, content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert "Send a JSON object with the header Content-Type: application/json" in answer.json()["detail"]


@pytest.mark.parametrize("path", [TEXT, IMAGE])
def test_unknown_parameters_of_the_query_string_are_422(client: httpx2.Client, path: str) -> None:
    body = {"json": {"query": "dog"}} if path == TEXT else {"files": {"file": ("a.png", encoded(picture("top.png")))}}
    answer = client.post(path, params={"k": "3", "top": "1"}, **body)
    assert answer.status_code == 422
    assert [entry["where"] for entry in answer.json()["errors"]] == [["query", "k"], ["query", "top"]]
    assert "send it in the body" in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/api/v1/folders", "/api/v1/index", "/api/v1/index/jobs/x"])
def test_unknown_parameters_of_get_are_422(client: httpx2.Client, path: str) -> None:
    answer = client.get(path, params={"prefix": "nature"})
    assert answer.status_code == 422
    assert answer.json()["detail"] == "query.prefix: no such parameter"


@pytest.mark.parametrize(
    ("content", "reason"), [(b'{"query": "\xff"}', "it is not UTF-8"), (b"[" * 200_000, "it is nested too deeply")]
)
def test_json_that_cannot_be_read_is_400(client: httpx2.Client, content: bytes, reason: str) -> None:
    answer = client.post(TEXT, content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert reason in answer.json()["detail"]
    assert "Send a JSON object with the header Content-Type: application/json, in UTF-8" in answer.json()["detail"]


@pytest.mark.parametrize("field", ["k", "other"])
def test_a_number_of_thousands_of_digits_is_named(client: httpx2.Client, field: str) -> None:
    content = b'{"query": "dog", "%s": -%s}' % (field.encode(), b"7" * 6000)
    answer = client.post(TEXT, content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["detail"] == (
        "A whole number in the body has more than 4,300 digits. Send one that its field takes."
    )


@pytest.mark.parametrize("fields", [{"k": "0"}, {"k": "101"}, {"k": "many"}, {"size": "3"}, {"folder": "x" * 2000}])
def test_bad_form_fields_are_422(client: httpx2.Client, fields: dict[str, str]) -> None:
    answer = image(client, encoded(picture("top.png")), **fields)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["where"] == ["body", next(iter(fields))]


def test_a_form_without_a_file_is_422(client: httpx2.Client) -> None:
    cut = b'--x\r\nContent-Disposition: form-data; name="k"\r\n\r\n3'
    multipart = {"content-type": "multipart/form-data; boundary=x"}
    for answer in (
        client.post(IMAGE, files={"k": (None, "3")}),
        client.post(IMAGE, content=cut, headers=multipart),
    ):
        assert answer.status_code == 422
        assert SEND_FILE in answer.json()["detail"]
        assert "cut short" in answer.json()["detail"]


def test_a_file_without_a_filename_is_422(client: httpx2.Client) -> None:
    answer = client.post(IMAGE, files={"file": (None, "text")})
    assert (answer.status_code, answer.json()["detail"]) == (422, f"body.file: {SEND_FILE}.")


def test_a_large_file_without_a_filename_is_told_the_same(tmp_path: Path) -> None:
    """Text fields are limited before anybody asks what they are."""
    with serving_parts(make_parts(tmp_path)) as client:
        answer = client.post(IMAGE, files={"file": (None, b"\xff" * (2 << 20))})
    assert answer.status_code == 400
    assert SEND_FILE in answer.json()["detail"]


@pytest.mark.parametrize("data", [b"", b"hello", encoded(picture("top.png"))[:100]])
def test_what_is_no_picture_is_400(client: httpx2.Client, data: bytes) -> None:
    answer = image(client, data)
    assert answer.status_code == 400
    assert answer.json()["type"] == "urn:image2search:problem:invalid-image"


@pytest.mark.parametrize(
    "data", [b"%PDF-1.7\n", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"8BPS\0\1" + b"\0" * 20]
)
def test_known_kinds_that_are_not_supported_are_415(client: httpx2.Client, data: bytes) -> None:
    answer = image(client, data)
    assert answer.status_code == 415
    assert answer.json()["type"] == "urn:image2search:problem:unsupported-type"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"])
def test_every_supported_kind(client: httpx2.Client, kind: str) -> None:
    assert image(client, encoded(picture("top.png"), kind)).status_code == 200


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None]
)
def test_text_search_takes_json_alone(client: httpx2.Client, content_type: str | None) -> None:
    headers = {"content-type": content_type} if content_type else {}
    answer = client.post(TEXT, content=b'{"query": "dog"}', headers=headers)
    assert answer.status_code == 415
    assert "application/json" in answer.json()["detail"]


@pytest.mark.parametrize("content_type", ["application/json", "image/png", "application/x-www-form-urlencoded", None])
def test_image_search_takes_forms_alone(client: httpx2.Client, content_type: str | None) -> None:
    headers = {"content-type": content_type} if content_type else {}
    answer = client.post(IMAGE, content=encoded(picture("top.png")), headers=headers)
    assert answer.status_code == 415
    assert "multipart/form-data" in answer.json()["detail"]


@pytest.mark.parametrize("content_type", ["multipart/form-data", "multipart/form-data; boundary=other"])
def test_a_form_without_its_boundary_is_400(client: httpx2.Client, content_type: str) -> None:
    answer = client.post(IMAGE, content=b"--x\r\n", headers={"content-type": content_type})
    assert answer.status_code == 400
    assert "Let the HTTP client write the form and its boundary: curl -F" in answer.json()["detail"]


def test_too_many_bytes_in_a_form_that_is_not_too_large(client: httpx2.Client, parts: Parts) -> None:
    answer = image(client, encoded(picture("top.png")) + b"\0" * parts.settings.image.max_bytes)
    assert answer.status_code == 413
    assert "100,000" in answer.json()["detail"]


def test_too_many_pixels(client: httpx2.Client) -> None:
    answer = image(client, encoded(picture("top.png", (1001, 1000))))
    assert answer.status_code == 413
    assert "pixels" in answer.json()["detail"]


# By address


@pytest.fixture(scope="module")
def web() -> Iterator[Site]:
    answers = {f"/{key}": reply(encoded(picture(key))) for key in KEYS}
    with site({**answers, "/page.jpg": reply(b"<html>"), "/bomb.png": reply(encoded(BOMB))}) as found:
        yield found


BOMB = Image.new("1", (2000, 2000))
"""A few bytes, of more pixels than are accepted."""


@pytest.fixture(scope="module")
def fetching(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    """A service that fetches from loopback."""
    parts = make_parts(
        tmp_path_factory.mktemp("bucket"),
        fetch=FetchSettings(allowed_hosts=f"{ELSEWHERE}/32"),
        image=ImageSettings(max_pixels=1_000_000),
    )
    with serving_parts(parts) as client:
        yield client


def test_a_picture_is_found_by_its_address(fetching: httpx2.Client, web: Site) -> None:
    found = fetching.post(URL, json={"url": f"{web.url}/top.png", "k": 3})
    assert found.status_code == 200, found.text
    assert keys_of(found.json())[0] == "top.png"
    assert len(keys_of(found.json())) == 3
    inside = fetching.post(URL, json={"url": f"{web.url}/top.png", "k": 100, "folder": "nature"}).json()
    assert set(keys_of(inside)) == {key for key in KEYS if key.startswith("nature/")}
    assert inside["folder"]["source"] == "asked"


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ({"url": "http://169.254.169.254/latest/meta-data/"}, 400, "url-refused"),
        ({"url": "http://127.0.0.1:1/"}, 400, "url-refused"),
        ({"url": "file:///etc/passwd"}, 400, "url-refused"),
        ({"url": "{web}/none.png"}, 422, "fetch-failed"),
        ({"url": "{web}/page.jpg"}, 400, "invalid-image"),
        ({"url": "{web}/bomb.png"}, 413, "too-large"),
        ({"url": "{web}/top.png", "folder": "nowhere"}, 404, "folder-not-found"),
        ({"url": ""}, 422, "unprocessable-entity"),
        ({"url": "http://" + "x" * 8000}, 422, "unprocessable-entity"),
        ({}, 422, "unprocessable-entity"),
    ],
)
def test_addresses_that_give_no_query(
    fetching: httpx2.Client, web: Site, body: dict[str, str], status: int, kind: str
) -> None:
    body = {name: value.replace("{web}", web.url) for name, value in body.items()}
    refused = fetching.post(URL, json=body)
    assert refused.status_code == status, refused.text
    assert refused.json()["type"].rpartition(":")[2] == kind


def test_relevance_can_only_be_asked_for_where_it_is_known(client: httpx2.Client) -> None:
    """The service of these tests has SEARCH_RELEVANCE=false."""
    assert text(client, "dog")["good_match"] is None
    form = {"data": {"min_relevance": "0.5"}, "files": {"file": encoded(picture("top.png"))}}
    for refused in (
        client.post("/api/v1/search/text", json={"query": "dog", "min_relevance": 0.5}),
        client.post("/api/v1/search/image", **form),
    ):
        assert refused.status_code == 501
        assert "SEARCH_RELEVANCE" in refused.json()["detail"]


@pytest.mark.parametrize("value", [-0.1, 1.1, "much"])
def test_a_relevance_lies_between_0_and_1(client: httpx2.Client, value: object) -> None:
    assert client.post("/api/v1/search/text", json={"query": "dog", "min_relevance": value}).status_code == 422


def test_words_find_pictures_by_their_names(client: httpx2.Client) -> None:
    first, *others = text(client, "car1", mode="words", k=5)["results"]
    assert first["object_key"] == "vehicles/car1.jpg"
    assert first["words"] > max(other["words"] for other in others), "others have only the 1"
    assert -1 <= first["score"] <= 1
    assert keys_of(text(client, "nothing is called so", mode="words")) == []


@pytest.mark.parametrize("fusion", ["scores", "ranks"])
def test_an_exact_name_comes_first_in_hybrid(client: httpx2.Client, fusion: str) -> None:
    answer = text(client, "car1", mode="hybrid", fusion=fusion, k=4)
    assert keys_of(answer)[0] == "vehicles/car1.jpg"
    assert len(answer["results"]) == 4, "the vectors find the others"
    assert answer["note"] is None


def test_a_mode_that_there_is_not_is_refused(client: httpx2.Client) -> None:
    assert client.post(TEXT, json={"query": "dog", "mode": "keywords"}).status_code == 422
