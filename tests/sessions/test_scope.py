"""A session belongs to the folders that its caller may see."""

from collections.abc import Callable, Iterator
from typing import Annotated

import httpx2
import pytest
from fastapi import Header

from app.catalog.view import View
from app.http.requests import view_source
from app.main import create_app
from app.types import image_id_of
from tests.sessions.test_routes import SESSIONS, ask, begin, files, keys
from tests.support.service import make_parts, serving

SCOPE = {"x-folders": "nature"}
OTHER = {"x-folders": "animals"}
OUTSIDE = "vehicles/car1.jpg"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    """What a caller sees is in a header, as if it were a key."""
    parts = make_parts(tmp_path_factory.mktemp("bucket"))
    snapshot = parts.catalog.load()
    assert snapshot is not None
    app = create_app(parts.settings, parts)

    def seen(x_folders: Annotated[str, Header()] = "") -> Callable[[], View]:
        return lambda: View(snapshot, x_folders.split(","))

    app.dependency_overrides[view_source] = seen
    with serving(app) as client:
        yield client


@pytest.fixture
def scoped(service: httpx2.Client) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=service.base_url, headers=SCOPE) as client:
        yield client


def test_results_are_of_the_callers_folders(scoped: httpx2.Client) -> None:
    session = begin(scoped)
    found = scoped.post(f"{session}/search", files=files(OUTSIDE), data={"query": "a car", "k": "100"}).json()
    for answer in (
        found,
        ask(scoped, f"{session}/refine", feedback="a red car", pick=[0]),
        ask(scoped, f"{session}/undo"),
    ):
        assert set(keys(answer)) == {"nature/beach/waves.png", "nature/mountain view.jpg", "nature/sunset1.jpg"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("search", {"image_ids": [image_id_of(OUTSIDE)]}),
        ("search", {"query": "a car", "folders": ["vehicles"]}),
        ("refine", {"pick": [image_id_of(OUTSIDE)]}),
        ("refine", {"reject": [image_id_of(OUTSIDE)]}),
    ],
)
def test_pictures_outside_can_not_be_named(scoped: httpx2.Client, path: str, body: dict) -> None:
    session = begin(scoped)
    ask(scoped, f"{session}/search", query="a car")
    refused = scoped.post(f"{session}/{path}", json=body)
    assert refused.status_code == 404
    assert "vehicles/" not in refused.text


@pytest.mark.parametrize("headers", [OTHER, {}, {"x-folders": "nature,animals"}])
def test_other_callers_do_not_find_the_session(scoped: httpx2.Client, service: httpx2.Client, headers: dict) -> None:
    session = begin(scoped)
    scoped.post(f"{session}/search", files=files(OUTSIDE))
    (upload,) = scoped.get(session).json()["uploads"]
    with httpx2.Client(base_url=service.base_url, headers=headers) as other:
        answers = [
            other.get(session),
            other.delete(session),
            other.get(upload["thumbnail_url"]),
            other.post(f"{session}/search", json={"query": "a car"}),
            other.post(f"{session}/search", files=files(OUTSIDE)),
            other.post(f"{session}/refine", json={"feedback": "more snow"}),
            other.post(f"{session}/undo"),
            other.post(f"{session}/reset"),
        ]
    assert {answer.status_code for answer in answers} == {404}
    assert "nature" not in "".join(answer.text for answer in answers)
    assert len(scoped.get(session).json()["turns"]) == 1


def test_sessions_need_no_scope(service: httpx2.Client) -> None:
    session = begin(service)
    assert OUTSIDE in keys(ask(service, f"{session}/search", query="a car", k=100))
    assert session.startswith(SESSIONS)
