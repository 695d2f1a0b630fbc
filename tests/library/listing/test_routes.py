"""GET /images over HTTP."""

from collections.abc import Iterator
from dataclasses import replace

import httpx2
import pytest

from app.bootstrap import Parts
from app.library.listing.schemas import MAX_PAGE, ListQuery
from app.types import image_id_of
from tests.support.catalogs import removing
from tests.support.service import KEYS, FakeEmbedder, add_pictures, make_parts, serving_parts, wait_until

URL = "/api/v1/images"
LATER = "new/later.png"


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    """Each picture was taken on the day of its number, counted from the end, in May 2024."""
    parts = make_parts(tmp_path_factory.mktemp("bucket"), keys=())
    changes = add_pictures(parts.store, FakeEmbedder(), KEYS)
    dated = [
        replace(record, taken_at=1_714_521_600.0 + 86_400 * (len(KEYS) - 1 - number), tags=(f"t{number % 2}",))
        for number, record in enumerate(changes.added)
    ]
    parts.catalog.publish(replace(changes, added=tuple(dated)), FakeEmbedder().identity)
    return parts


@pytest.fixture(scope="module")
def served(parts: Parts) -> Iterator[httpx2.Client]:
    with serving_parts(parts) as client:
        yield client


def keys(answer: httpx2.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [image["object_key"] for image in answer.json()["images"]]


def test_a_page_has_whole_records(served: httpx2.Client) -> None:
    answer = served.get(URL).json()
    assert [image["object_key"] for image in answer["images"]] == sorted(KEYS)
    assert (answer["count"], answer["next_cursor"]) == (len(KEYS), None)
    assert answer["generation"]
    for image in answer["images"]:
        assert image == served.get(f"{URL}/{image['image_id']}").json()


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"sort": "date"}, list(KEYS[::-1])),
        ({"sort": "date", "order": "desc", "limit": "2"}, list(KEYS[:2])),
        ({"order": "desc", "limit": "1"}, [KEYS[-1]]),
        ({"sort": "added"}, sorted(KEYS)),
        ({"folder": "nature"}, [key for key in KEYS if key.startswith("nature/")]),
        ({"folder": "/nature/beach/"}, ["nature/beach/waves.png"]),
        ({"folder": ["animals", "vehicles"], "format": "jpg"}, ["animals/cat1.jpg", "vehicles/car1.jpg"]),
        ({"folder": "never"}, []),
        ({"format": ["PNG", ".GIF"]}, [key for key in KEYS if key.endswith("png")]),
        ({"tag": "T1", "folder": "animals"}, ["animals/dog2.png"]),
        ({"min_pixels": "2401"}, []),
        ({"min_pixels": "2400", "max_pixels": "2400", "min_bytes": "1", "folder": ""}, list(KEYS)),
        ({"max_bytes": "1"}, []),
        ({"date_from": "2024-05-06", "date_to": "2024-05-06"}, [KEYS[1]]),
        ({"date_from": "2024-05-06T00:00:00Z", "date_to": "2024-05-07T00:00:00+00:00"}, [KEYS[1]]),
        ({"date_from": "2024-05-06T00:00:01"}, [KEYS[0]]),
        ({"date_to": "2024-05-01T02:00:00+02:00"}, []),
        ({"modified_to": "2001-09-09"}, list(KEYS)),
        ({"modified_from": "2001-09-10"}, []),
        ({"added_to": "9999-12-31"}, []),
    ],
)
def test_filters_and_sorts(served: httpx2.Client, query: dict, expected: list[str]) -> None:
    answer = served.get(URL, params=query)
    assert keys(answer) == expected
    if "limit" not in query:
        assert answer.json()["count"] == len(expected)


def test_head_and_an_empty_cursor(served: httpx2.Client) -> None:
    got, asked = served.get(URL, params={"limit": 1}), served.head(URL, params={"limit": 1})
    assert (asked.status_code, asked.content) == (200, b"")
    assert asked.headers["content-length"] == got.headers["content-length"]
    assert keys(served.get(URL, params={"cursor": "", "limit": 1})) == keys(got)


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("sort", ["key", "date", "added"])
def test_pages_follow_each_other(served: httpx2.Client, sort: str, order: str) -> None:
    whole = keys(served.get(URL, params={"sort": sort, "order": order}))
    seen, cursor = [], {}
    for _ in range(4):
        answer = served.get(URL, params={"sort": sort, "order": order, "limit": 2, **cursor})
        seen += keys(answer)
        cursor = {"cursor": answer.json()["next_cursor"]}
    assert seen == whole
    assert cursor == {"cursor": None}


@pytest.mark.parametrize(
    "query",
    [{"cursor": "x"}, {"cursor": "W10"}, {"sort": "date"}, {"order": "desc"}, {"folder": "nature"}],
)
def test_a_cursor_of_another_list_is_refused(served: httpx2.Client, query: dict) -> None:
    cursor = served.get(URL, params={"limit": 2}).json()["next_cursor"]
    answer = served.get(URL, params={"cursor": cursor, **query})
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:image2search:problem:invalid-input")
    assert "start again without one" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"format": "mp4"}, "no such format. There are PNG, JPEG"),
        ({"date_from": "yesterday"}, "2024-05-31T18:30:00Z"),
        ({"date_from": "2024-02-30"}, "2024-05-31T18:30:00Z"),
        ({"date_from": "1e9"}, "2024-05-31T18:30:00Z"),
        ({"sort": "size"}, "'key', 'date' or 'added'"),
        ({"order": "up"}, "'asc' or 'desc'"),
        ({"limit": "0"}, "greater than or equal to 1"),
        ({"limit": str(MAX_PAGE + 1)}, f"less than or equal to {MAX_PAGE}"),
        ({"min_bytes": "-1"}, "greater than or equal to 0"),
        ({"folders": "nature"}, "Extra inputs are not permitted"),
    ],
)
def test_a_query_that_can_t_be_meant_is_refused(served: httpx2.Client, query: dict, said: str) -> None:
    answer = served.get(URL, params=query)
    assert answer.status_code == 422, answer.text
    assert said in answer.json()["detail"]


def test_pictures_that_come_and_go_between_pages(parts: Parts, served: httpx2.Client) -> None:
    """Here on two replicas: the second one serves what it has not served before."""
    first = served.get(URL, params={"limit": 3})
    seen, cursor = keys(first), first.json()["next_cursor"]
    embedder = FakeEmbedder()
    parts.catalog.publish(add_pictures(parts.store, embedder, ["a.png", LATER]), embedder.identity)
    parts.catalog.publish(removing(seen[-1], "top.png"), embedder.identity)
    wait_until(lambda: LATER in keys(served.get(URL)))
    with serving_parts(parts) as other:
        rest = other.get(URL, params={"cursor": cursor})
    assert keys(rest) == sorted({*KEYS, LATER} - {*seen, "top.png"})
    assert rest.json()["count"] == len(KEYS)
    assert served.get(f"{URL}/{image_id_of('top.png')}").status_code == 404


def test_the_filters_of_the_same_words_are_equal() -> None:
    """So a cursor holds although a client sorts its parameters in another way."""
    one, other = ListQuery(folder=["a", "b/"], tag=["X", "y"]), ListQuery(folder=["b/", "a"], tag=["y", "x"])
    assert one.wanted() == other.wanted()
