"""POST /api/v1/search/matches over HTTP: it names what pages of the same search show of relevant pictures."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx2
import numpy as np
import pytest
from PIL import Image

from app.bootstrap import Parts
from app.models import bank
from app.search import finding, leaving_out, matching
from app.settings import ModelSettings, SearchSettings
from app.types import Vectors, image_id_of
from tests.support.service import FakeEmbedder, make_parts, serving_parts, wait_until

SEARCH = "/api/v1/search"
MATCHES = f"{SEARCH}/matches"
KEYS = tuple(f"{folder}/{number}.png" for folder in ("shoes", "hats", "hats/summer") for number in range(20))
ME = image_id_of("shoes/0.png")


HUES = {"red": 0, "green": 2, "blue": 4}


class ColourEmbedder(FakeEmbedder):
    """Pictures lie by their hues, and texts that name one near to them. All texts lie apart from pictures."""

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        rows = super().encode_texts(texts)
        for row, text in zip(rows, texts, strict=True):
            if text in HUES:
                row[:] = np.eye(8)[1 + HUES[text]]
        return unit_rows(rows + np.eye(8)[0])

    def encode_images(self, images: Sequence[Image.Image]) -> Vectors:
        hues = np.array([int(np.median(np.asarray(image.convert("HSV"))[..., 0])) for image in images]) / 255
        apart = np.abs(hues[:, None] - np.arange(7) / 6)
        return unit_rows(np.hstack([super().encode_images(images)[:, :1] / 9, np.exp(-((apart / 0.1) ** 2))]))


def unit_rows(rows: Vectors) -> Vectors:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    folder = tmp_path_factory.mktemp("matching")
    (folder / "bank.txt").write_text("== en 0\n" + "; ".join(f"text {number}" for number in range(40)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bank, "TEXTS", folder / "bank.txt")
        bank.bank_texts.cache_clear()
        yield make_parts(
            folder / "library", ColourEmbedder(), KEYS,
            model=ModelSettings(cache=folder / "models"), search=SearchSettings(relevance=True),
        )  # fmt: skip
    bank.bank_texts.cache_clear()


@pytest.fixture(scope="module")
def client(parts: Parts) -> Iterator[httpx2.Client]:
    with serving_parts(parts) as serving:
        wait_until(lambda: serving.post(SEARCH, json={"terms": [{"text": "x"}]}).json()["good_match"] is not None)
        yield serving


def ask(client: httpx2.Client, address: str, body: dict) -> dict:
    answer = client.post(address, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def all_hits(client: httpx2.Client, body: dict) -> tuple[list[dict], bool]:
    """Those of all pages, and whether the answer is a good match."""
    page = first = ask(client, SEARCH, body | {"k": 7})
    hits = page["results"]
    while page["next_cursor"]:
        page = ask(client, SEARCH, {"cursor": page["next_cursor"], "k": 7})
        hits += page["results"]
    return hits, first["good_match"]


QUERIES: list[dict] = [
    {"terms": [{"text": text}], **fields}
    for text in ("red", "green", "blue")
    for fields in ({}, {"folders": ["hats"]}, {"min_relevance": 0.2}, {"fold_duplicates": True})
]
QUERIES += [
    {"terms": [{"image_id": ME}], "leave_out_queried": True, "min_relevance": 0.01},
    {"terms": [{"text": "red"}, {"text": "green", "weight": -0.3, "exclude": True}]},
    {"terms": [{"text": "red"}, {"image_id": image_id_of("hats/0.png")}], "combine": "all"},
    {"terms": [{"text": "hats"}], "mode": "words"},
    {"terms": [{"text": "hats"}], "mode": "words", "min_relevance": 0.5},
    {"terms": [{"text": "red"}], "mode": "hybrid"},
]


@pytest.mark.parametrize("looked_at", [(500, 10_000), (4, 10_000)])
@pytest.mark.parametrize("body", QUERIES, ids=str)
def test_they_are_the_fitting_hits_of_all_pages(
    client: httpx2.Client, body: dict, looked_at: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the best ones fit, more are looked at."""
    monkeypatch.setattr(matching, "LOOKED_AT", looked_at)
    hits, is_good = all_hits(client, body)
    least = body.get("min_relevance", 0.5)
    by_words = body.get("mode") == "words" and "min_relevance" not in body  # each hit has the only word
    fitting = [hit for hit in hits if by_words or (hit["relevance"] or 0) >= least]
    assert fitting
    assert is_good or "min_relevance" in body
    answer = ask(client, MATCHES, body)
    assert answer["image_ids"] == [hit["image_id"] for hit in fitting]
    assert answer["is_whole"]
    counts = Counter(hit["folder"] for hit in fitting)
    assert {each["path"]: each["count"] for each in answer["folders"]} == counts
    assert [each["count"] for each in answer["folders"]] == sorted(counts.values(), reverse=True)


def test_pictures_with_half_of_the_words_are_found_behind_many_with_fewer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names weigh more than folders, but the word of the folder is rarer, so it is the larger part of the query."""
    monkeypatch.setattr(matching, "LOOKED_AT", (5, 10_000))
    cats = {f"cats/{number}.png" for number in range(24)}
    keys = (*cats, *(f"shoes/red_{number}.png" for number in range(26)))
    with serving_parts(make_parts(tmp_path, keys=keys)) as client:
        body = {"terms": [{"text": "red cats"}], "mode": "words"}
        first = ask(client, SEARCH, body | {"k": 5})["results"]
        assert all("red" in hit["object_key"] for hit in first)
        assert set(ask(client, MATCHES, body)["image_ids"]) == {image_id_of(key) for key in cats}


def test_what_was_not_looked_through_is_said(client: httpx2.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    alike = {"image_id": image_id_of("hats/0.png"), "weight": -0.01, "exclude": True}
    excluding = {"terms": [{"text": "red"}, alike], "min_relevance": 0.001}
    both = {"terms": [{"text": "red"}, {"image_id": image_id_of("hats/0.png")}], "combine": "all"}
    assert ask(client, MATCHES, excluding)["is_whole"]
    assert ask(client, MATCHES, both)["is_whole"]
    monkeypatch.setattr(leaving_out, "MOST_LOOKED_THROUGH", 12)
    monkeypatch.setattr(matching, "LOOKED_AT", (5, 12))
    monkeypatch.setattr(finding, "CANDIDATES", 3)
    cut = ask(client, MATCHES, excluding)
    assert not cut["is_whole"]
    assert "were looked through" in cut["note"]
    assert not ask(client, MATCHES, both)["is_whole"]


def test_nothing_fits_where_the_answer_is_no_good_match(client: httpx2.Client) -> None:
    body = {"terms": [{"text": "nothing"}]}
    assert ask(client, SEARCH, body)["good_match"] is False
    answer = ask(client, MATCHES, body)
    assert (answer["image_ids"], answer["folders"], answer["is_whole"]) == ([], [], True)
    assert ask(client, MATCHES, body | {"min_relevance": 0.01})["image_ids"], "unless it is said what is enough"


def test_the_folder_is_the_one_that_a_search_chooses(client: httpx2.Client) -> None:
    body = {"terms": [{"text": "show me summer photos"}], "auto_folder": True}
    answer = ask(client, MATCHES, body)
    assert answer["folder"] == ask(client, SEARCH, body)["folder"]
    assert answer["folder"]["path"] == "hats/summer"
    assert {each["path"] for each in answer["folders"]} <= {"hats/summer"}


def test_where_more_may_fit_than_were_looked_at_it_is_said(
    client: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {"terms": [{"text": "hats"}], "mode": "words"}
    assert len(ask(client, MATCHES, body)["image_ids"]) > 10
    monkeypatch.setattr(matching, "LOOKED_AT", (5, 10))
    answer = ask(client, MATCHES, body)
    assert len(answer["image_ids"]) == 10
    assert not answer["is_whole"]


def test_without_relevance_it_says_what_to_do(tmp_path: Path) -> None:
    with serving_parts(make_parts(tmp_path / "library")) as client:
        answer = client.post(MATCHES, json={"terms": [{"text": "red"}]})
        assert answer.status_code == 501
        assert "SEARCH_RELEVANCE" in answer.json()["detail"]
        by_words = {"terms": [{"text": "sunset1"}], "mode": "words", "min_relevance": 0.5}
        assert client.post(MATCHES, json=by_words).status_code == 501
        named = ask(client, MATCHES, {"terms": [{"text": "sunset1"}], "mode": "words"})
        assert [each["path"] for each in named["folders"]] == ["nature"]


@pytest.mark.parametrize("field", ["k", "cursor", "sort", "explain"])
def test_what_only_hits_have_is_refused(client: httpx2.Client, field: str) -> None:
    answer = client.post(MATCHES, json={"terms": [{"text": "red"}], field: 1})
    assert answer.status_code == 422
    assert field in answer.text
