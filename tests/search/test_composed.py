"""POST /api/v1/search over HTTP, with relevance: terms of every kind, what they leave out, and errors."""

import base64
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import httpx2
import numpy as np
import pytest

from app.bootstrap import Parts
from app.catalog.changes import Changes
from app.models import bank
from app.search.composed_schemas import MAX_DIMENSION
from app.search.minus_words import MINUS_WEIGHT
from app.settings import FetchSettings, ImageSettings, ModelSettings, SearchSettings
from app.types import ImageRecord, Vectors, image_id_of
from tests.search.test_algebra import documented
from tests.support.service import FakeEmbedder, encoded, make_parts, picture, serving_parts, wait_until
from tests.support.web import ELSEWHERE, Site, site
from tests.support.web import answer as reply

SEARCH = "/api/v1/search"
KEYS = tuple(f"{folder}/{number}.png" for folder in ("a", "b", "c") for number in range(12))
ME = image_id_of("a/0.png")
BANK = [f"text {number}" for number in range(40)]


class LeaningEmbedder(FakeEmbedder):
    """Texts lie apart from pictures, as they do for real models."""

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        rows = super().encode_texts(texts) + np.eye(8, dtype=np.float32)[0]
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    folder = tmp_path_factory.mktemp("composed")
    (folder / "bank.txt").write_text("== en 0\n" + "; ".join(BANK))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bank, "TEXTS", folder / "bank.txt")
        bank.bank_texts.cache_clear()
        made = make_parts(
            folder / "library", LeaningEmbedder(), KEYS,
            model=ModelSettings(cache=folder / "models"), search=SearchSettings(relevance=True),
            fetch=FetchSettings(allowed_hosts=f"{ELSEWHERE}/32"), image=ImageSettings(max_pixels=1_000_000),
        )  # fmt: skip
        captioned = [
            replace(record, caption=caption, tags=("holiday",), taken_at=9e8)
            for record, caption in zip(records_of(made)[:2], ("a red car", "a red house"), strict=True)
        ]
        rows = np.stack([vector_of(made, record.object_key) for record in captioned])
        made.catalog.publish(Changes(added=tuple(captioned), vectors=rows), made.model.embedder.identity)
        yield made
    bank.bank_texts.cache_clear()


@pytest.fixture(scope="module")
def client(parts: Parts) -> Iterator[httpx2.Client]:
    with serving_parts(parts) as serving:
        wait_until(lambda: serving.post(SEARCH, json={"terms": [{"text": "x"}]}).json()["good_match"] is not None)
        yield serving


def records_of(parts: Parts) -> list[ImageRecord]:
    snapshot = parts.catalog.load()
    assert snapshot is not None
    return sorted(snapshot.records.values(), key=lambda record: record.object_key)


def vector_of(parts: Parts, key: str) -> Vectors:
    snapshot = parts.catalog.load()
    assert snapshot is not None
    return snapshot.vectors.get([int.from_bytes(bytes.fromhex(image_id_of(key)), "big", signed=True)])[0]


def ask(client: httpx2.Client, *terms: dict, **fields: object) -> dict:
    answer = client.post(SEARCH, json={"terms": terms, "k": 100, **fields})
    assert answer.status_code == 200, answer.text
    return answer.json()


def keys_of(answer: dict) -> list[str]:
    return [result["object_key"] for result in answer["results"]]


def text_vector(text: str) -> Vectors:
    return LeaningEmbedder().encode_texts([text])[0]


@pytest.mark.parametrize("weight", [-0.5, 0.5])
def test_scores_are_those_of_the_documented_formula(client: httpx2.Client, parts: Parts, weight: float) -> None:
    answer = ask(
        client, {"text": "dog"}, {"image_id": ME, "weight": 2}, {"text": "cat", "weight": weight}, explain=True
    )
    library = np.stack([vector_of(parts, key) for key in KEYS])
    vectors = text_vector("dog"), vector_of(parts, "a/0.png"), text_vector("cat")
    terms = list(zip(("text", "picture", "text"), vectors, (1.0, 2.0, weight), strict=True))
    vector, shares = documented()["composed"](
        terms, library.astype(np.float64), LeaningEmbedder().encode_texts(BANK).astype(np.float64)
    )
    expected = dict(zip(KEYS, (library @ vector).tolist(), strict=True))
    assert {each["object_key"]: each["score"] for each in answer["results"]} == pytest.approx(expected, abs=2e-6)
    assert keys_of(answer) == sorted(KEYS, key=lambda key: -expected[key])
    for result in answer["results"]:
        assert result["parts"] == pytest.approx((shares @ vector_of(parts, result["object_key"])).tolist(), abs=2e-6)
        assert sum(result["parts"]) == pytest.approx(result["score"], abs=1e-6)
    assert answer["note"] is None


def test_all_terms_have_to_fit_by_the_documented_formula(client: httpx2.Client, parts: Parts) -> None:
    answer = ask(client, {"text": "dog"}, {"image_id": ME}, combine="all")
    library = np.stack([vector_of(parts, key) for key in KEYS])
    expected = documented()["fits_all"](
        [("text", text_vector("dog"), 1.0), ("picture", vector_of(parts, "a/0.png"), 1.0)],
        library, library.astype(np.float64), LeaningEmbedder().encode_texts(BANK).astype(np.float64),
    )  # fmt: skip
    found = {each["object_key"]: each["combined"] for each in answer["results"]}
    assert found == pytest.approx(dict(zip(KEYS, expected.tolist(), strict=True)), abs=1e-5)
    assert list(found.values()) == sorted(found.values(), reverse=True)
    one_term = ask(client, {"text": "dog"}, combine="all")
    assert keys_of(one_term) == keys_of(ask(client, {"text": "dog"}))
    assert one_term["results"][0]["combined"] is None


def test_the_order_of_the_terms_changes_nothing(client: httpx2.Client) -> None:
    terms = [
        {"text": "dog"},
        {"image_id": ME, "weight": 0.3},
        {"text": "cat", "weight": -1},
        {"text": "owl", "weight": 2},
    ]
    for fields in ({}, {"combine": "all"}):
        one, other = (ask(client, *each, **fields)["results"] for each in (terms, terms[::-1]))
        assert one == other


def test_one_plus_term_is_the_plain_search(client: httpx2.Client) -> None:
    plain = client.post(f"{SEARCH}/text", json={"query": "dog", "k": 100}).json()["results"]
    for term in (
        {"text": "dog"},
        {"text": "dog", "weight": 0.2},
        {"vector": (1e300 * text_vector("dog").astype(float)).tolist()},
    ):
        found = ask(client, term)["results"]
        assert [each["object_key"] for each in found] == [each["object_key"] for each in plain]
        assert [each["score"] for each in found] == pytest.approx([each["score"] for each in plain], abs=2e-6)


def test_of_words_it_is_a_good_match_where_a_picture_has_half_of_them(client: httpx2.Client) -> None:
    for words, is_good in (("red", True), ("red house", True), ("red zebra giraffe unicorn", False)):
        assert ask(client, {"text": words}, mode="words")["good_match"] is is_good, words
    in_folder = ask(client, {"text": "b"}, mode="words")
    assert in_folder["results"][0]["words"] < 0.5, "a folder's name weighs little"
    assert in_folder["good_match"]


@pytest.fixture(scope="module")
def web() -> Iterator[Site]:
    with site({"/a.png": reply(encoded(picture("a/0.png"), "PNG"))}) as found:
        yield found


def test_a_picture_is_the_same_whichever_way_it_is_named(client: httpx2.Client, web: Site, parts: Parts) -> None:
    encoded_file = base64.b64encode(parts.store.get("a/0.png").data).decode()
    ways = (
        {"image": encoded_file}, {"image": f"data:image/png;base64,{encoded_file}"}, {"url": f"{web.url}/a.png"},
        {"vector": vector_of(parts, "a/0.png").tolist()}, {"image_id": ME},
    )  # fmt: skip
    for way in ways:
        answer = ask(client, way)
        assert keys_of(answer)[0] == "a/0.png", way
        assert answer["results"][0]["score"] == pytest.approx(1, abs=1e-4)
        gone = keys_of(ask(client, way, {"text": "dog"}, leave_out_queried=True))
        assert ("a/0.png" in gone) is ("vector" in way)
        assert len(gone) >= len(KEYS) - 1


def test_excluded_pictures_are_those_that_are_relevant_to_the_term(client: httpx2.Client) -> None:
    """As many as are asked for are found all the same."""
    relevant = {each["object_key"] for each in ask(client, {"text": "cat"})["results"] if each["relevance"] >= 0.5}
    assert 0 < len(relevant) < len(KEYS) - 5
    left = keys_of(ask(client, {"text": "dog"}, {"text": "cat", "exclude": True}))
    assert set(left) == set(KEYS) - relevant
    assert keys_of(ask(client, {"text": "dog"}, {"text": "cat", "exclude": True}, k=5)) == left[:5]
    taken_away = keys_of(ask(client, {"text": "dog"}, {"text": "cat", "weight": -1}))
    assert [key for key in taken_away if key not in relevant] == left, "it is taken away too"


def test_a_mixed_query_has_a_relevance(client: httpx2.Client) -> None:
    both = ({"text": "dog"}, {"image_id": ME, "weight": 3})
    parts = [{each["object_key"]: each["relevance"] for each in ask(client, term)["results"]} for term in both]
    mixed = {each["object_key"]: each["relevance"] for each in ask(client, *both)["results"]}
    assert mixed == pytest.approx({key: (parts[0][key] + 3 * parts[1][key]) / 4 for key in KEYS}, abs=2e-3)
    least = {each["object_key"]: each["relevance"] for each in ask(client, *both, combine="all")["results"]}
    assert least == pytest.approx({key: min(parts[0][key], parts[1][key]) for key in KEYS}, abs=2e-3)
    cut = sorted(mixed.values())[-3]
    assert {each["relevance"] >= cut for each in ask(client, *both, min_relevance=cut)["results"]} == {True}


def test_several_folders_and_filters(client: httpx2.Client) -> None:
    two = ask(client, {"text": "dog"}, folders=["a", "/c/"])
    assert set(keys_of(two)) == {key for key in KEYS if key[0] in "ac"}
    assert (two["folder"]["path"], two["folder"]["also"]) == ("a", ["c"])
    typed = client.post(f"{SEARCH}/text", json={"query": "dog", "k": 100, "folders": ["a", "c"]}).json()
    assert keys_of(typed) == keys_of(two)
    both = client.post(f"{SEARCH}/text", json={"query": "dog", "k": 100, "folders": ["a"], "folder": "c"}).json()
    assert keys_of(both) == keys_of(two)
    assert len(keys_of(ask(client, {"text": "dog"}, folders=["a", ""]))) == len(KEYS)
    assert len(keys_of(ask(client, {"text": "dog"}, folders=["a", "a"]))) == 12
    for filters, expected in (
        ({"tag": ["Holiday"]}, ["a/0.png", "a/1.png"]),
        ({"date_to": "1999-12-31"}, ["a/0.png", "a/1.png"]),
        ({"caption": "red car"}, ["a/0.png"]),
        ({"caption": '"Red'}, ["a/0.png", "a/1.png"]),
        ({"caption": "0"}, []),
        ({"format": ["jpeg"]}, []),
    ):
        assert sorted(keys_of(ask(client, {"text": "dog"}, filters=filters))) == expected, filters
    for combine in ("sum", "all"):
        found = ask(
            client, {"text": "dog"}, {"image_id": ME}, folders=["a"], filters={"tag": ["holiday"]}, combine=combine
        )
        assert sorted(keys_of(found)) == ["a/0.png", "a/1.png"]
    assert keys_of(ask(client, {"text": "dog"}, folders=["b"], filters={"tag": ["holiday"]})) == []


def test_words_and_hybrid_take_several_terms(client: httpx2.Client) -> None:
    red = ask(client, {"text": "red"}, mode="words")
    assert sorted(keys_of(red)) == ["a/0.png", "a/1.png"]
    assert keys_of(ask(client, {"text": "red"}, {"text": "car", "weight": -1}, mode="words")) == ["a/1.png"]
    hybrid = ask(client, {"text": "red"}, {"text": "a car", "weight": -1}, {"image_id": ME}, mode="hybrid", k=40)
    assert "a/0.png" not in keys_of(hybrid)
    assert len(keys_of(hybrid)) == len(KEYS) - 1
    refused = client.post(SEARCH, json={"terms": [{"image_id": ME}], "mode": "words"})
    assert refused.status_code == 400


def test_minus_words_of_a_text(client: httpx2.Client) -> None:
    def typed(query: str, **fields: object) -> dict:
        return client.post(f"{SEARCH}/text", json={"query": query, "k": 100, **fields}).json()

    answer = typed("dog -cat", auto_folder=False)
    assert answer["understood"] == {"text": "dog", "minus": ["cat"]}
    assert keys_of(answer) == keys_of(
        ask(client, {"text": "dog"}, {"text": "cat", "weight": MINUS_WEIGHT, "exclude": True})
    )
    as_written = typed("dog -cat", minus_words=False)
    assert as_written["understood"] is None
    assert keys_of(as_written) == keys_of(ask(client, {"text": "dog -cat"}))
    assert typed("dog")["understood"] is None
    assert keys_of(typed("red -car", mode="words")) == ["a/1.png"]


@pytest.mark.parametrize(
    ("terms", "status", "reason"),
    [
        ([], 422, "at least 1"),
        ([{"text": "x"}] * 17, 422, "at most 16"),
        ([{}], 422, "none of them"),
        ([{"text": "x", "image_id": ME}], 422, "text and image_id"),
        ([{"text": " "}], 422, "say what to look for"),
        ([{"text": "x", "weight": 0}], 422, "leave the term out"),
        ([{"text": "x", "weight": 101}], 422, "100"),
        ([{"text": "x", "weight": "nan"}], 422, "finite"),
        ([{"text": "x", "weight": -1}], 400, "Say also what to look for"),
        ([{"text": "x", "exclude": True}], 400, "Say also what to look for"),
        ([{"text": "x"}, {"text": "x", "weight": -1}], 400, "says the same"),
        ([{"vector": [1.0] * 7}], 400, "8 numbers"),
        ([{"vector": [0.0] * 8}], 400, "no direction"),
        ([{"vector": [1.0] * (MAX_DIMENSION + 1)}], 422, "at most"),
        ([{"vector": []}], 422, "at least 1"),
        ([{"image": "not base64!"}], 400, "base64"),
        ([{"image": "aGVsbG8="}], 400, "picture"),
        ([{"image_id": "0" * 16}], 404, "No indexed picture"),
        ([{"url": "http://169.254.169.254/"}], 400, "address"),
        ([{"text": "x", "colour": "red"}], 422, "Extra"),
    ],
)
def test_bad_terms_are_told_what_to_do(client: httpx2.Client, terms: list, status: int, reason: str) -> None:
    answer = client.post(SEARCH, json={"terms": terms})
    assert answer.status_code == status, answer.text
    assert reason.lower() in answer.json()["detail"].lower()


def test_pictures_of_some_megabytes_are_read(client: httpx2.Client) -> None:
    """Other JSON bodies have at most one."""
    refused = client.post(SEARCH, json={"terms": [{"image": "A" * (2 << 20)}]})
    assert (refused.status_code, refused.json()["type"].rpartition(":")[2]) == (400, "invalid-image")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_numbers_that_are_not_finite_are_refused(client: httpx2.Client, number: str) -> None:
    body = f'{{"terms": [{{"vector": [{number}, 1, 1, 1, 1, 1, 1, 1]}}]}}'
    answer = client.post(SEARCH, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422


def test_without_relevance_the_answer_says_what_is_not_known(tmp_path: Path) -> None:
    """Plus terms of one kind are added up the same way; the others get a note; excluding is refused."""
    with serving_parts(make_parts(tmp_path / "library", LeaningEmbedder(), KEYS)) as plain:
        assert ask(plain, {"text": "dog"}, {"text": "cat"})["note"] is None
        for term in ({"image_id": ME}, {"text": "cat", "weight": -1}):
            assert "added up as they are" in ask(plain, {"text": "dog"}, term)["note"]
        for fields in ({"combine": "all"}, {"min_relevance": 0.5}):
            refused = plain.post(SEARCH, json={"terms": [{"text": "dog"}, {"image_id": ME}], **fields})
            assert refused.status_code == 501
            assert "SEARCH_RELEVANCE" in refused.json()["detail"]
        excluding = plain.post(SEARCH, json={"terms": [{"text": "dog"}, {"text": "cat", "exclude": True}]})
        assert excluding.status_code == 501
