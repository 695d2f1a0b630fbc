"""GET /duplicates and the dismissals over HTTP."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx2
import numpy as np
import pytest

from app.bootstrap import Parts
from app.catalog.changes import Changes
from app.types import hash_content, image_id_of
from tests.support.service import KEYS, FakeEmbedder, add_pictures, make_parts, serving_parts, wait_until

URL = "/api/v1/duplicates"
DISMISSALS = f"{URL}/dismissals"
CAT, CAR = image_id_of("animals/cat1.jpg"), image_id_of("vehicles/car1.jpg")


def look_of(seed: int) -> str:
    bits = np.random.default_rng(seed).permutation(512) < 256
    return np.packbits(bits).tobytes().hex()


def with_copies(changes: Changes) -> Changes:
    """The pictures with hashes; a copy of the cat with the same bytes; a larger copy and a newer shot of the car."""
    assert changes.vectors is not None
    records = [replace(each, perceptual_hash=look_of(number)) for number, each in enumerate(changes.added)]
    by_key = {each.object_key: (each, vector) for each, vector in zip(records, changes.vectors, strict=True)}
    cat, cats_vector = by_key["animals/cat1.jpg"]
    car, cars_vector = by_key["vehicles/car1.jpg"]
    large = replace(car, content_hash=hash_content(b"large"), width=120, height=80)
    made = [
        (replace(cat, modified_at=2e9), "copies/cat.jpg", cats_vector),
        (large, "copies/large car.jpg", cars_vector),
        (replace(large, content_hash=hash_content(b"turned"), width=90), "copies/car.jpg", cars_vector),
    ]
    copies = [replace(record, object_key=key, image_id=image_id_of(key)) for record, key, _ in made]
    vectors = np.concatenate([changes.vectors, np.stack([vector for _, _, vector in made])])
    return replace(changes, added=(*records, *copies), vectors=vectors)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    parts = make_parts(tmp_path_factory.mktemp("bucket"), keys=())
    changes = with_copies(add_pictures(parts.store, FakeEmbedder(), KEYS))
    parts.catalog.publish(changes, FakeEmbedder().identity)
    return parts


@pytest.fixture(scope="module")
def served(parts: Parts) -> Iterator[httpx2.Client]:
    with serving_parts(parts) as client:
        yield client


def keys(group: dict) -> list[str]:
    return [group["keep"]["object_key"], *(other["image"]["object_key"] for other in group["others"])]


def groups(served: httpx2.Client, **query: str) -> list[dict]:
    answer = served.get(URL, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()["groups"]


def test_a_group_says_what_to_keep_and_why(served: httpx2.Client) -> None:
    answer = served.get(URL).json()
    (group,) = answer["groups"]
    assert keys(group) == ["copies/large car.jpg", "copies/car.jpg", "vehicles/car1.jpg"]
    assert group["keep"] == served.get(f"/api/v1/images/{image_id_of('copies/large car.jpg')}").json()
    assert (group["kind"], group["reason"], group["burst"], group["count"]) == ("photo", "resolution", False, 3)
    assert [(other["score"], other["turned"]) for other in group["others"]] == [(1.0, False)] * 2
    assert group["freed_bytes"] == answer["freed_bytes"] == sum(o["image"]["size_bytes"] for o in group["others"])
    assert (answer["count"], answer["uncompared"], answer["next_cursor"]) == (1, 0, None)
    assert answer["generation"]
    assert (group["dismissed_at"], group["dismissal_id"]) == (None, None)


def test_the_kinds_do_not_mix(served: httpx2.Client) -> None:
    (group,) = groups(served, kind="bytes")
    assert keys(group) == ["animals/cat1.jpg", "copies/cat.jpg"]
    assert group["reason"] == "date"
    photos = {key for group in groups(served, kind="photo") for key in keys(group)}
    assert not photos & {"animals/cat1.jpg", "copies/cat.jpg"}


@pytest.mark.parametrize(
    ("query", "status"),
    [({"kind": "x"}, 422), ({"k": "0"}, 422), ({"k": "101"}, 422), ({"cursor": "x"}, 400), ({"other": "1"}, 422)],
)
def test_wrong_parameters_are_refused(served: httpx2.Client, query: dict[str, str], status: int) -> None:
    assert served.get(URL, params=query).status_code == status


def test_only_the_groups_of_one_picture(served: httpx2.Client) -> None:
    copy = image_id_of("copies/car.jpg")
    assert groups(served, image_id=copy) == groups(served) != []
    assert groups(served, image_id=CAT) == []
    assert groups(served, image_id=CAT, kind="bytes") == groups(served, kind="bytes") != []
    assert groups(served, image_id="no id") == []


def test_head_answers_as_get_without_a_body(served: httpx2.Client) -> None:
    answer = served.head(URL)
    assert (answer.status_code, answer.content) == (200, b"")


def test_a_dismissed_group_is_gone_until_that_is_undone(served: httpx2.Client, parts: Parts) -> None:
    (group,) = groups(served, kind="bytes")
    ids = [group["keep"]["image_id"], group["others"][0]["image"]["image_id"]]
    made = served.post(DISMISSALS, json={"kind": "bytes", "image_ids": ids})
    assert made.status_code == 201, made.text
    assert (made.json()["id"], sorted(made.json()["image_ids"])) == (group["id"], sorted(ids))
    assert groups(served, kind="bytes") == []
    with serving_parts(parts) as replica:
        (hidden,) = groups(replica, kind="bytes", dismissed="true")
        assert hidden["dismissal_id"] == made.json()["id"]
        assert hidden["dismissed_at"] == made.json()["dismissed_at"]
        undone = replica.delete(f"{DISMISSALS}/{hidden['dismissal_id']}")
        assert (undone.status_code, undone.content) == (204, b"")
    assert [each["id"] for each in groups(served, kind="bytes")] == [group["id"]]
    again = served.delete(f"{DISMISSALS}/{group['id']}")
    assert (again.status_code, again.json()["type"]) == (404, "urn:image2search:problem:dismissal-not-found")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"kind": "photo", "image_ids": [CAT, "0" * 16]}, 404),
        ({"kind": "photo", "image_ids": [CAT]}, 422),
        ({"kind": "photo", "image_ids": [CAT, CAT]}, 400),
        ({"kind": "all", "image_ids": [CAT, CAR]}, 422),
        ({"image_ids": [CAT, CAR]}, 422),
    ],
)
def test_what_is_no_group_can_not_be_dismissed(served: httpx2.Client, body: dict[str, object], status: int) -> None:
    assert served.post(DISMISSALS, json=body).status_code == status


def test_a_page_of_another_site_can_dismiss_nothing(served: httpx2.Client) -> None:
    body = f'{{"kind": "photo", "image_ids": ["{CAT}", "{CAR}"]}}'
    assert served.post(DISMISSALS, content=body, headers={"Content-Type": "text/plain"}).status_code == 415


def test_pictures_that_come_while_it_runs_are_compared(tmp_path: Path) -> None:
    parts = make_parts(tmp_path, keys=())
    changes = with_copies(add_pictures(parts.store, FakeEmbedder(), KEYS))
    assert changes.vectors is not None
    first = replace(changes, added=changes.added[:-1], vectors=changes.vectors[:-1])
    snapshot = parts.catalog.publish(first, FakeEmbedder().identity)
    with serving_parts(parts) as served:
        assert [group["count"] for group in groups(served)] == [2]
        last = replace(changes, added=changes.added[-1:], vectors=changes.vectors[-1:])
        parts.catalog.publish(last, FakeEmbedder().identity, since=snapshot)
        wait_until(lambda: [group["count"] for group in groups(served)] == [3])
