"""Copies of a photo are folded, and the list by date holds the relevant pictures: over HTTP, with relevance."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import httpx2
import numpy as np
import pytest
from PIL import Image

from app.bootstrap import Parts
from app.catalog.changes import Changes
from app.models import bank
from app.pictures.decoding import decode_image
from app.pictures.perceptual import perceptual_hash
from app.search.folding import count_copies, first_of_each
from app.search.hybrid import Match
from app.settings import ImageSettings, ModelSettings, SearchSettings
from app.types import ImageRecord, image_id_of
from tests.pictures.test_perceptual import photo
from tests.search.test_composed import BANK, LeaningEmbedder, keys_of, records_of, vector_of
from tests.support.catalogs import record, view_of
from tests.support.pictures import encoded as image_bytes
from tests.support.service import encoded, make_parts, picture, serving_parts, wait_until

SEARCH = "/api/v1/search"
KEYS = tuple(f"{folder}/{number}.png" for folder in ("a", "b") for number in range(12))
COPIES = ("a/0.png", "b/0.png", "b/1.png")
"""Have one content and one vector."""
ALL = len(KEYS) - len(COPIES) + 1


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    folder = tmp_path_factory.mktemp("folding")
    (folder / "bank.txt").write_text("== en 0\n" + "; ".join(BANK))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bank, "TEXTS", folder / "bank.txt")
        bank.bank_texts.cache_clear()
        made = make_parts(
            folder / "library", LeaningEmbedder(), KEYS,
            model=ModelSettings(cache=folder / "models"), search=SearchSettings(relevance=True),
        )  # fmt: skip
        dated = [_dated(each, number) for number, each in enumerate(records_of(made))]
        shared = vector_of(made, COPIES[0])
        rows = [shared if each.object_key in COPIES else vector_of(made, each.object_key) for each in dated]
        made.catalog.publish(Changes(added=tuple(dated), vectors=np.stack(rows)), made.model.embedder.identity)
        yield made
    bank.bank_texts.cache_clear()


def _dated(found: ImageRecord, number: int) -> ImageRecord:
    content = "c" * 32 if found.object_key in COPIES else found.content_hash
    return replace(found, content_hash=content, taken_at=1e9 + number * 7919 % 24, bank_mean=None, bank_near=None)


@pytest.fixture(scope="module")
def client(parts: Parts) -> Iterator[httpx2.Client]:
    with serving_parts(parts) as serving:
        wait_until(lambda: serving.post(SEARCH, json={"terms": [{"text": "x"}]}).json()["good_match"] is not None)
        yield serving


def ask(client: httpx2.Client, **fields: object) -> dict:
    answer = client.post(SEARCH, json={"terms": [{"text": "dog"}], "k": 100, **fields})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_best_of_each_content_stays_and_says_how_many_it_stands_for(client: httpx2.Client) -> None:
    plain, folded = ask(client), ask(client, fold_duplicates=True)
    first_copy = next(key for key in keys_of(plain) if key in COPIES)
    assert keys_of(folded) == [key for key in keys_of(plain) if key not in COPIES or key == first_copy]
    assert len(folded["results"]) == ALL
    counts = {each["object_key"]: each["stands_for"] for each in folded["results"]}
    assert counts.pop(first_copy) == len(COPIES)
    assert set(counts.values()) == {1}
    assert {each["stands_for"] for each in plain["results"]} == {None}


@pytest.mark.parametrize("k", [1, 2, 5, ALL])
def test_there_are_k_distinct_ones_where_the_library_has_them(client: httpx2.Client, k: int) -> None:
    term = {"image_id": image_id_of(COPIES[0])}
    found = keys_of(ask(client, terms=[term], k=k, fold_duplicates=True))
    assert len(found) == k
    assert len(set(found) & set(COPIES)) == 1


@pytest.mark.parametrize(
    ("fields", "count"),
    [
        ({"folders": ["b"]}, 2),
        ({"folders": ["a", "b"]}, 3),
        ({"folders": ["a"]}, 1),
        ({"filters": {"date_from": "2001-09-09T01:46:45"}}, 2),
        ({"leave_out_queried": True}, 2),
    ],
)
def test_copies_outside_of_what_is_searched_do_not_count(client: httpx2.Client, fields: dict, count: int) -> None:
    term = {"image_id": image_id_of(COPIES[0])}
    (best, *_) = ask(client, terms=[term], fold_duplicates=True, **fields)["results"]
    assert best["object_key"] in COPIES
    assert best["stands_for"] == count


def test_dates_sort_the_relevant_ones(client: httpx2.Client, parts: Parts) -> None:
    dates = {each.object_key: each.date for each in records_of(parts)}
    relevances = {each["object_key"]: each["relevance"] for each in ask(client)["results"]}
    positive = sorted(filter(None, relevances.values()))
    least = positive[len(positive) // 3]
    assert least < 0.5
    expected = [key for key, relevance in relevances.items() if relevance >= least]
    newest = keys_of(ask(client, sort="newest", min_relevance=least))
    oldest = keys_of(ask(client, sort="oldest", min_relevance=least))
    assert set(newest) == set(oldest) == set(expected)
    assert 0 < len(newest) < len(KEYS)
    assert [dates[key] for key in newest] == sorted((dates[key] for key in expected), reverse=True)
    assert [dates[key] for key in oldest] == sorted(dates[key] for key in expected)
    assert keys_of(ask(client, sort="newest", min_relevance=least, k=2)) == newest[:2]
    nothing = ask(client, sort="newest", min_relevance=1)
    assert nothing["results"] == []
    assert "relevance of 1 or more" in nothing["note"]


def test_by_date_half_relevant_ones_stand_where_nothing_else_is_asked(client: httpx2.Client) -> None:
    found = ask(client, terms=[{"image_id": image_id_of("a/5.png")}])["results"]
    fitting = {each["object_key"] for each in found if each["relevance"] >= 0.5}
    assert 0 < len(fitting) < len(KEYS)
    assert set(keys_of(ask(client, terms=[{"image_id": image_id_of("a/5.png")}], sort="newest"))) == fitting


def test_by_date_the_newest_copy_stays(client: httpx2.Client, parts: Parts) -> None:
    dates = {each.object_key: each.date for each in records_of(parts)}
    term = {"image_id": image_id_of(COPIES[0])}
    for sort, choose in (("newest", max), ("oldest", min)):
        found = keys_of(ask(client, terms=[term], sort=sort, fold_duplicates=True))
        assert [key for key in found if key in COPIES] == [choose(COPIES, key=dates.__getitem__)]


def test_the_other_routes_take_both(client: httpx2.Client) -> None:
    body = {"query": "dog", "k": 100, "auto_folder": False}
    text = client.post(f"{SEARCH}/text", json=body | {"fold_duplicates": True}).json()
    assert keys_of(text) == keys_of(ask(client, fold_duplicates=True))
    by_date = client.post(f"{SEARCH}/text", json=body | {"sort": "newest", "min_relevance": 0.01}).json()
    assert keys_of(by_date) == keys_of(ask(client, sort="newest", min_relevance=0.01))
    assert client.post(f"{SEARCH}/text", json=body | {"sort": "name"}).status_code == 422
    form = {"k": "100", "fold_duplicates": "true", "sort": "oldest", "min_relevance": "0.01"}
    image = client.post(f"{SEARCH}/image", data=form, files={"file": encoded(picture(COPIES[0]))}).json()
    assert len(set(keys_of(image)) & set(COPIES)) <= 1
    assert all(each["stands_for"] for each in image["results"])


def pages(client: httpx2.Client, **fields: object) -> list[dict]:
    """The results of all pages."""
    answer = ask(client, **fields)
    shown = answer["results"]
    while answer["next_cursor"]:
        answer = client.post(SEARCH, json={"cursor": answer["next_cursor"], "k": fields["k"]}).json()
        shown += answer["results"]
    return shown


@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize(
    "fields",
    [
        {"fold_duplicates": True},
        {"fold_duplicates": True, "sort": "oldest", "min_relevance": 0.001},
        {"sort": "newest", "min_relevance": 0.001},
        {"min_relevance": 0.001},
        {"terms": [{"text": "dog"}, {"image_id": image_id_of("a/5.png")}], "combine": "all"},
        {"terms": [{"text": "dog"}, {"image_id": image_id_of("a/5.png"), "exclude": True}]},
        {"terms": [{"image_id": image_id_of(COPIES[0])}], "leave_out_queried": True, "fold_duplicates": True},
    ],
)
def test_all_pages_together_are_one_long_one(client: httpx2.Client, k: int, fields: dict) -> None:
    whole = ask(client, **fields)
    assert pages(client, k=k, **fields) == whole["results"]
    assert len(whole["results"]) > 3
    assert whole["next_cursor"] is None


def test_only_the_first_of_each_content_may_be_shown() -> None:
    contents = ("x", "y", "x", "z", "y")
    found = [
        Match(replace(record(f"{number}.jpg"), content_hash=content), 0.0, None, None)
        for number, content in enumerate(contents)
    ]
    assert first_of_each(found) == [True, True, False, True, False]


COPIES_OF_A_PHOTO = {
    "same.png": lambda image: image,
    "smaller.png": lambda image: image.resize((160, 120)),
    "larger.png": lambda image: image.resize((480, 360)),
    "compressed.jpg": lambda image: decode_image(image_bytes(image, "JPEG", quality=60), ImageSettings()).image,
}


def photos(seeds: Sequence[int]) -> list[ImageRecord]:
    """Each as the copies above, with contents of their own."""
    return [
        replace(record(f"{seed}/{name}"), perceptual_hash=perceptual_hash(change(photo(seed))))
        for seed in seeds
        for name, change in COPIES_OF_A_PHOTO.items()
    ]


def test_copies_with_other_bytes_are_one_photo() -> None:
    records = photos([1, 2, 3])
    found = [Match(each, 0.0, None, None) for each in records[::-1]]
    assert first_of_each(found) == [number % 4 == 0 for number in range(12)]
    assert not any(first_of_each(found[1:4], before=[found[0].record]))
    view = view_of(records)
    for each in records:
        assert count_copies(each, view, folders=(), among=None, without=()) == 4
        assert count_copies(each, view, folders=("2",), among=None, without=()) == (4 if each.folder == "2" else 0)


def test_flat_pictures_and_those_without_a_hash_are_no_copies() -> None:
    flat = [Image.new("RGB", (64, 64), colour) for colour in ("white", "black", "navy")]
    records = [replace(record(f"{n}.png"), perceptual_hash=perceptual_hash(each)) for n, each in enumerate(flat)]
    records += [record("x.png"), record("y.png")]
    assert all(first_of_each([Match(each, 0.0, None, None) for each in records]))
    assert {count_copies(each, view_of(records), folders=(), among=None, without=()) for each in records} == {1}
