"""The routes of image_search_v2, to the byte."""

from pathlib import Path

import httpx2
import orjson
import pytest

from app.bootstrap import Parts
from app.types import distance_of
from tests.support.service import KEYS, encoded, make_parts, picture, serving_parts

SEARCH = "/api/demo_backend_v2/image_search/search"
BY_IMAGE = "/api/demo_backend_v2/image_search/search_by_image"
V1 = "/api/v1/search/text"


def file(key: str = "top.png") -> dict[str, tuple[str, bytes]]:
    return {"file": ("image.jpg", encoded(picture(key)))}


def test_a_bare_list_byte_for_byte(client: httpx2.Client) -> None:
    answer = client.post(SEARCH, json={"query": "red car in the city", "k": 3})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    results = client.post(V1, json={"query": "red car in the city", "k": 3}).json()["results"]
    expected = [
        {"distance": r["distance"], "folder": r["folder"], "s3_path": r["s3_path"], "image_url": r["image_url"]}
        for r in results
    ]
    assert len(expected) == 3
    assert answer.content == orjson.dumps(expected)


def test_lower_is_better_and_euclidean(client: httpx2.Client) -> None:
    distances = [r["distance"] for r in client.post(SEARCH, json={"query": "dog", "k": 7}).json()]
    assert distances == sorted(distances)
    scores = [r["score"] for r in client.post(V1, json={"query": "dog", "k": 7}).json()["results"]]
    assert distances == pytest.approx([distance_of(score) for score in scores])


def test_defaults(client: httpx2.Client) -> None:
    assert len(client.post(SEARCH, json={"query": "dog"}).json()) == 5
    assert len(client.post(BY_IMAGE, files=file()).json()) == 5


@pytest.mark.parametrize("folder", ["", None])
def test_an_empty_folder_is_none_given(client: httpx2.Client, folder: str | None) -> None:
    found = client.post(SEARCH, json={"query": "show me nature photos", "k": 100, "folder": folder}).json()
    assert {r["folder"] for r in found} == {"nature", "nature/beach"}


@pytest.mark.parametrize("folder", ["animals", "Animals", "/animals/"])
def test_a_folder_filters(client: httpx2.Client, folder: str) -> None:
    found = client.post(SEARCH, json={"query": "nature", "k": 100, "folder": folder}).json()
    assert [r["folder"] for r in found] == ["animals", "animals"]


def test_nothing_passes_an_unknown_folder(client: httpx2.Client) -> None:
    by_words = client.post(SEARCH, json={"query": "dog", "folder": "tshirt"})
    by_picture = client.post(BY_IMAGE, files=file(), data={"folder": "tshirt"})
    for answer in (by_words, by_picture):
        assert (answer.status_code, answer.json()) == (200, [])


def test_unknown_fields_are_ignored(client: httpx2.Client) -> None:
    assert client.post(SEARCH, json={"query": "dog", "user": "me"}).status_code == 200


def test_a_picture_finds_itself(client: httpx2.Client, parts: Parts) -> None:
    found = client.post(BY_IMAGE, files={"file": parts.store.get(KEYS[0]).data}, params={"k": 1}).json()
    assert found[0]["s3_path"] == parts.store.uri(KEYS[0])
    assert found[0]["distance"] < 0.01
    assert list(found[0]) == ["distance", "folder", "s3_path", "image_url"]


def test_k_in_the_query_string_or_in_the_form(client: httpx2.Client) -> None:
    assert len(client.post(BY_IMAGE, files=file(), params={"k": 3}).json()) == 3
    assert len(client.post(BY_IMAGE, files=file(), data={"k": "2"}).json()) == 2
    assert len(client.post(BY_IMAGE, files=file(), data={"k": "2"}, params={"k": 3}).json()) == 3


def test_a_folder_in_the_query_string_or_in_the_form(client: httpx2.Client) -> None:
    def folders(**where: object) -> set[str]:
        return {r["folder"] for r in client.post(BY_IMAGE, files=file(), **where).json()}

    assert folders(params={"k": 9, "folder": "animals"}) == {"animals"}
    assert folders(data={"folder": "animals", "k": "9"}) == {"animals"}
    assert folders(data={"folder": "animals"}, params={"folder": "vehicles", "k": 9}) == {"vehicles"}
    assert len(folders(data={"folder": ""}, params={"folder": "", "k": 9})) == 5


def test_as_many_as_there_are_above_100(client: httpx2.Client) -> None:
    assert len(client.post(SEARCH, json={"query": "dog", "k": 1000}).json()) == len(KEYS)


def assert_error(answer: httpx2.Response, status: int) -> None:
    assert answer.status_code == status, answer.text
    assert isinstance(answer.json()["detail"], str)
    assert answer.json()["status"] == status
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    "body",
    [{}, {"query": 3}, {"query": ""}, {"query": " "}, {"query": "x" * 2001}, {"query": "dog", "k": 0},
     {"query": "dog", "k": "x"}, []],
)  # fmt: skip
def test_missing_or_invalid_parameters_are_400(client: httpx2.Client, body: object) -> None:
    assert_error(client.post(SEARCH, json=body), 400)


def test_broken_json_is_400(client: httpx2.Client) -> None:
    json_type = {"content-type": "application/json"}
    assert_error(client.post(SEARCH, content="{", headers=json_type), 400)
    undecodable = client.post(SEARCH, content=b'{"query": "\xff"}', headers=json_type)
    assert_error(undecodable, 400)
    assert "UTF-8" in undecodable.json()["detail"]
    endless = client.post(SEARCH, content=b'{"query": "dog", "k": %s}' % (b"7" * 6000), headers=json_type)
    assert_error(endless, 400)
    assert "more than 4,300 digits" in endless.json()["detail"]


@pytest.mark.parametrize("data", [b"", b"hello", b"%PDF-1.7", encoded(picture("top.png"))[:100]])
def test_invalid_files_are_400(client: httpx2.Client, data: bytes) -> None:
    assert_error(client.post(BY_IMAGE, files={"file": ("a.jpg", data)}), 400)


def test_missing_file_is_400(client: httpx2.Client) -> None:
    assert_error(client.post(BY_IMAGE), 400)
    assert_error(client.post(BY_IMAGE, data={"k": "3"}), 400)
    assert "curl -F" in client.post(BY_IMAGE, files={"file": (None, "text")}).json()["detail"]
    assert_error(client.post(BY_IMAGE, files=file(), params={"k": "0"}), 400)


def test_too_large_is_413(client: httpx2.Client, parts: Parts) -> None:
    size = parts.settings.image.max_bytes
    assert_error(client.post(BY_IMAGE, files={"file": b"\0" * (size + 1)}), 413)
    assert_error(client.post(BY_IMAGE, files={"file": b"\0" * (size * 3)}), 413)


def test_no_index_is_503(tmp_path: Path) -> None:
    with serving_parts(make_parts(tmp_path, keys=())) as client:
        for answer in (client.post(SEARCH, json={"query": "dog"}), client.post(BY_IMAGE, files=file())):
            assert_error(answer, 503)
            assert int(answer.headers["retry-after"]) > 0
