"""Pictures like one of the library, and many searches in one request."""

import httpx2
import pytest

from app.search.batch_schemas import MAX_SEARCHES
from app.types import image_id_of
from tests.support.service import KEYS

BATCH = "/api/v1/search/batch"
ME = image_id_of("nature/beach/waves.png")


def similar(client: httpx2.Client, image_id: str = ME, **params: object) -> httpx2.Response:
    return client.get(f"/api/v1/images/{image_id}/similar", params=params)


def keys_of(answer: dict) -> list[str]:
    return [each["object_key"] for each in answer["results"]]


def test_similar_is_the_search_by_the_picture_without_itself(client: httpx2.Client) -> None:
    found = similar(client, k=100).json()
    searched = client.post("/api/v1/search", json={"terms": [{"image_id": ME}], "k": 100}).json()
    assert keys_of(found) == [key for key in keys_of(searched) if key != "nature/beach/waves.png"]
    assert len(found["results"]) == len(KEYS) - 1
    assert len(similar(client, k=2).json()["results"]) == 2
    inside = similar(client, folders="vehicles", k=100).json()
    assert set(keys_of(inside)) == {key for key in KEYS if key.startswith("vehicles/")}


def test_similar_refuses_what_is_not_there(client: httpx2.Client) -> None:
    assert similar(client, "0" * 16).status_code == 404
    assert similar(client, folders="nowhere").status_code == 404
    assert similar(client, k=0).status_code == 422


def test_a_batch_answers_as_the_single_searches_do(client: httpx2.Client) -> None:
    texts = [{"query": f"word {number}", "k": 3} for number in range(MAX_SEARCHES - 1)]
    composed = {"terms": [{"image_id": ME}, {"text": "cat", "weight": -0.5}], "k": 4}
    answers = client.post(BATCH, json={"searches": [*texts, composed]}).json()["answers"]
    singles = [client.post("/api/v1/search/text", json=body).json() for body in texts]
    singles.append(client.post("/api/v1/search", json=composed).json())
    for answer, single in zip(answers, singles, strict=True):
        assert answer["problem"] is None
        assert keys_of(answer["result"]) == keys_of(single)
        scores, expected = ([each["score"] for each in found["results"]] for found in (answer["result"], single))
        assert scores == pytest.approx(expected, abs=1e-5)


def test_a_batch_never_fills_the_queue_of_the_model_itself(client: httpx2.Client) -> None:
    """64 searches of 16 texts are four times what may wait for the model."""
    composed = [{"terms": [{"text": f"{number} {term}"} for term in range(16)]} for number in range(MAX_SEARCHES // 2)]
    minus = " ".join(f"-word{term}" for term in range(15))
    plain = [{"query": f"thing {number} {minus}"} for number in range(MAX_SEARCHES // 2)]
    answers = client.post(BATCH, json={"searches": composed + plain}).json()["answers"]
    assert [each["problem"] for each in answers] == [None] * MAX_SEARCHES


def test_a_search_that_fails_stops_no_other(client: httpx2.Client) -> None:
    searches = [
        {"query": "dog"},
        {"query": "dog", "folder": "natur"},
        {"terms": [{"image_id": "0" * 16}]},
        {"terms": [{"url": "https://example.org/a.jpg"}]},
        {"terms": [{"text": "cat"}]},
    ]
    answers = client.post(BATCH, json={"searches": searches}).json()["answers"]
    assert [each["problem"] and each["problem"]["status"] for each in answers] == [None, 404, 404, 400, None]
    assert "nature" in answers[1]["problem"]["detail"]
    assert answers[1]["problem"]["type"].endswith(":folder-not-found")
    assert all((each["result"] is None) == (each["problem"] is not None) for each in answers)


@pytest.mark.parametrize("searches", [[], [{"query": "x"}] * (MAX_SEARCHES + 1), [{"query": "x"}, {"nothing": 1}]])
def test_a_batch_that_is_no_batch_is_refused(client: httpx2.Client, searches: list) -> None:
    assert client.post(BATCH, json={"searches": searches}).status_code == 422


@pytest.mark.parametrize("filters", [{"min_bytes": False}, {"min_bytes": "5"}, {"date_from": 0}])
def test_filters_are_of_the_documented_types(client: httpx2.Client, filters: dict) -> None:
    body = {"terms": [{"text": "dog"}], "filters": filters}
    assert client.post("/api/v1/search", json=body).status_code == 422
    assert client.post(BATCH, json={"searches": [body]}).status_code == 422
    body["filters"] = {"min_bytes": 5, "date_from": "2001-01-01"}
    assert client.post("/api/v1/search", json=body).status_code == 200
