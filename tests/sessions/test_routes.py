"""/api/v1/sessions over HTTP: search, refine, undo, reset, history, uploads, and what does not work."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

from app.settings import SessionSettings
from app.types import image_id_of
from tests.support.captions import FakeCaptioner, lazily
from tests.support.service import KEYS, encoded, make_parts, picture, serving_parts, wait_until

SESSIONS = "/api/v1/sessions"
IDS = [image_id_of(key) for key in KEYS]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    with serving_parts(make_parts(tmp_path_factory.mktemp("bucket"))) as client:
        yield client


@pytest.fixture
def session(service: httpx2.Client) -> str:
    """The path of a new session."""
    return begin(service)


def begin(service: httpx2.Client) -> str:
    answer = service.post(SESSIONS)
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"].endswith(answer.json()["session_id"])
    return f"{SESSIONS}/{answer.json()['session_id']}"


def ask(service: httpx2.Client, path: str, **body: object) -> dict:
    answer = service.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def keys(answer: dict) -> list[str]:
    return [result["object_key"] for result in answer["results"]]


def files(*names: str) -> list[tuple[str, tuple[str, bytes]]]:
    return [("files", (name, encoded(picture(name)))) for name in names]


def problem(answer: httpx2.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return str(answer.json()["detail"])


def test_a_search_answers_as_every_search_does(service: httpx2.Client, session: str) -> None:
    answer = ask(service, f"{session}/search", query="a cat", k=3)
    plain = service.post("/api/v1/search/text", json={"query": "a cat", "k": 3, "auto_folder": False}).json()
    assert answer["results"] == plain["results"]
    assert answer["turn"] == 1
    assert answer["query"] == [{"role": "query", "weight": 1.0, "text": "a cat", "image_ids": [], "upload_id": None}]


def test_a_form_may_have_words_alone(service: httpx2.Client, session: str) -> None:
    answer = service.post(f"{session}/search", files={"query": (None, "a cat"), "k": (None, "3")})
    assert keys(answer.json()) == keys(ask(service, f"{session}/search", query="a cat", k=3))


def test_ids_can_not_be_guessed(service: httpx2.Client) -> None:
    ids = {begin(service).rpartition("/")[2] for _ in range(3)}
    assert len(ids) == 3
    assert all(len(each) >= 32 for each in ids)


def test_feedback_picks_and_rejects_become_terms(service: httpx2.Client, session: str) -> None:
    first = ask(service, f"{session}/search", query="a cat", k=7)
    best, last = first["results"][0], first["results"][-1]
    answer = ask(
        service, f"{session}/refine", feedback="without trees, focus on the sky", pick=[6], reject=[best["image_id"]]
    )
    assert [(term["role"], term["text"], term["weight"] > 0) for term in answer["query"]] == [
        ("query", "a cat", True),
        ("feedback", "trees", False),
        ("feedback", "the sky", True),
        ("picked", None, True),
        ("rejected", None, False),
    ]
    assert answer["query"][3]["image_ids"] == [last["image_id"]]
    assert best["object_key"] not in keys(answer)
    assert len(keys(answer)) == len(KEYS) - 1
    assert keys(answer).index(last["object_key"]) < keys(first).index(last["object_key"])


def test_the_latest_judgement_of_a_picture_counts(service: httpx2.Client, session: str) -> None:
    ask(service, f"{session}/search", query="a cat")
    cat = image_id_of("animals/cat1.jpg")
    ask(service, f"{session}/refine", reject=[cat])
    answer = ask(service, f"{session}/refine", pick=[cat])
    assert [term["role"] for term in answer["query"]] == ["query", "picked"]
    assert "animals/cat1.jpg" in keys(answer)


def test_an_index_is_of_the_turn_that_is_named(service: httpx2.Client, session: str) -> None:
    first = ask(service, f"{session}/search", query="a cat")
    second = ask(service, f"{session}/search", query="a mountain")
    assert keys(first)[0] != keys(second)[0]
    answer = ask(service, f"{session}/refine", pick=[0], turn=first["turn"])
    assert answer["query"][-1]["image_ids"] == [first["results"][0]["image_id"]]


def test_undo_takes_back_one_turn_after_the_other(service: httpx2.Client, session: str) -> None:
    first = ask(service, f"{session}/search", query="a cat")
    second = ask(service, f"{session}/refine", feedback="more snow")
    ask(service, f"{session}/refine", reject=[0])
    back = ask(service, f"{session}/undo")
    assert (back["turn"], keys(back), back["query"]) == (second["turn"], keys(second), second["query"])
    assert keys(ask(service, f"{session}/undo")) == keys(first)
    assert "first search" in problem(service.post(f"{session}/undo"), 400)
    assert ask(service, f"{session}/refine", feedback="at night")["turn"] == 4  # no number is given twice


def test_the_history_has_every_turn(service: httpx2.Client, session: str) -> None:
    first = ask(service, f"{session}/search", query="a cat")
    ask(service, f"{session}/refine", feedback="without trees", pick=[1])
    info = service.get(session).json()
    assert [(turn["turn"], turn["kind"], turn["said"]) for turn in info["turns"]] == [
        (1, "search", "a cat"),
        (2, "refine", "without trees"),
    ]
    assert info["turns"][0]["results"] == [result["image_id"] for result in first["results"]]
    assert info["turns"][1]["picked"] == [first["results"][1]["image_id"]]
    assert info["idle_s"] == 1800


def test_pictures_are_searched_alone_and_with_words(service: httpx2.Client, session: str) -> None:
    answer = service.post(f"{session}/search", files=files("top.png"))
    assert answer.status_code == 200, answer.text
    assert keys(answer.json())[0] == "top.png"
    (upload,) = service.get(session).json()["uploads"]
    assert answer.json()["query"][0]["upload_id"] == upload["upload_id"]
    both = ask(service, f"{session}/search", query="at night", upload_ids=[upload["upload_id"]])
    assert [(term["text"], term["upload_id"]) for term in both["query"]] == [
        ("at night", None),
        (None, upload["upload_id"]),
    ]
    indexed = ask(service, f"{session}/search", image_ids=[image_id_of("top.png")])
    assert keys(indexed)[0] == "top.png"


def test_the_thumbnail_of_an_upload_is_shown(service: httpx2.Client, session: str) -> None:
    service.post(f"{session}/search", files=files("top.png"), data={"query": "a car"})
    (upload,) = service.get(session).json()["uploads"]
    shown = service.get(upload["thumbnail_url"])
    assert (shown.status_code, shown.headers["content-type"]) == (200, "image/webp")
    assert shown.content[8:12] == b"WEBP"
    assert service.head(upload["thumbnail_url"]).headers["content-length"] == str(len(shown.content))
    assert "was sent" in problem(service.get(f"{session}/uploads/0000"), 404)


def test_a_session_keeps_only_so_many_uploads(service: httpx2.Client, session: str) -> None:
    answer = service.post(f"{session}/search", files=files(*KEYS[:3]))
    assert answer.status_code == 200
    assert [term["weight"] for term in answer.json()["query"]] == pytest.approx([1 / 3] * 3)
    refused = service.post(f"{session}/search", files=files(*KEYS[:3]))
    assert "SESSION_UPLOADS" in problem(refused, 400)
    assert len(service.get(session).json()["uploads"]) == 3
    assert service.post(f"{session}/search", files=files(*KEYS[:2])).status_code == 200


def test_only_so_many_pictures_are_searched_for_together(service: httpx2.Client, session: str) -> None:
    service.post(f"{session}/search", files=files(*KEYS[:3]))
    uploads = [upload["upload_id"] for upload in service.get(session).json()["uploads"]]
    answer = service.post(f"{session}/search", json={"upload_ids": uploads, "image_ids": IDS[:3]})
    assert "At most 5" in problem(answer, 400)


def test_reset_forgets_uploads_and_turns(service: httpx2.Client, session: str) -> None:
    service.post(f"{session}/search", files=files("top.png"))
    (upload,) = service.get(session).json()["uploads"]
    info = service.post(f"{session}/reset").json()
    assert (info["uploads"], info["turns"]) == ([], [])
    assert service.get(upload["thumbnail_url"]).status_code == 404
    assert "not searched yet" in problem(service.post(f"{session}/refine", json={"feedback": "more snow"}), 400)


def test_a_deleted_session_is_gone(service: httpx2.Client, session: str) -> None:
    assert service.delete(session).status_code == 204
    for answer in (
        service.get(session),
        service.delete(session),
        service.post(f"{session}/search", json={"query": "a cat"}),
        service.post(f"{session}/undo"),
        service.post(f"{session}/reset"),
    ):
        assert "POST /api/v1/sessions" in problem(answer, 404)


@pytest.mark.parametrize(
    ("path", "body", "status", "says"),
    [
        ("search", {}, 400, "empty"),
        ("search", {"query": "  "}, 400, "empty"),
        ("search", {"image_ids": ["0" * 16]}, 404, "No indexed picture"),
        ("search", {"upload_ids": ["0" * 16]}, 400, "no picture"),
        ("search", {"query": "a cat", "folders": ["unknown"]}, 404, "unknown"),
        ("search", {"query": "a cat", "k": 101}, 422, "k"),
        ("search", {"image_ids": IDS[:6]}, 422, "image_ids"),
        ("refine", {}, 422, "say what to change"),
        ("refine", {"pick": [99]}, 400, "no picture 99"),
        ("refine", {"pick": [0], "turn": 77}, 400, "turn 77"),
        ("refine", {"pick": [0], "reject": [0]}, 400, "picked and rejected"),
        ("refine", {"reject": ["0" * 16]}, 404, "No indexed picture"),
        ("refine", {"feedback": "more"}, 400, "names nothing"),
    ],
)
def test_mistakes_are_told(service: httpx2.Client, path: str, body: dict, status: int, says: str) -> None:
    session = begin(service)
    ask(service, f"{session}/search", query="a dog")
    answer = service.post(f"{session}/{path}", json=body)
    assert answer.status_code == status, answer.text
    assert says in answer.text
    assert len(service.get(session).json()["turns"]) == 1


def test_feedback_has_an_end(service: httpx2.Client, session: str) -> None:
    ask(service, f"{session}/search", query="a dog")
    for number in range(8):
        ask(service, f"{session}/refine", feedback=f"more word{number}")
    assert "At most 8" in problem(service.post(f"{session}/refine", json={"feedback": "more snow"}), 400)
    ask(service, f"{session}/refine", feedback="more WORD3")  # the same words count once


def test_folders_are_searched_alone(service: httpx2.Client, session: str) -> None:
    answer = ask(service, f"{session}/search", query="a dog", folders=["animals", "nature/beach"])
    assert set(keys(answer)) == {"animals/cat1.jpg", "animals/dog2.png", "nature/beach/waves.png"}
    answer = ask(service, f"{session}/refine", feedback="more snow", reject=[image_id_of(KEYS[0])])
    assert set(keys(answer)) == {"animals/dog2.png", "nature/beach/waves.png"}


def test_a_broken_upload_changes_nothing(service: httpx2.Client, session: str) -> None:
    refused = service.post(f"{session}/search", files=[("files", ("a.jpg", b"no picture"))])
    assert refused.status_code in (400, 415), refused.text
    assert service.get(session).json()["uploads"] == []


def test_uploads_are_captioned_where_a_captioner_is_set(tmp_path: Path) -> None:
    captioner = FakeCaptioner()
    parts = replace(make_parts(tmp_path / "bucket"), captioner=lazily(captioner))
    with serving_parts(parts) as service:
        session = begin(service)
        answer = service.post(f"{session}/search", files=files("top.png")).json()
        (upload,) = service.get(session).json()["uploads"]
        assert upload["caption"]
        assert "could not be described" not in str(answer["note"])
        assert [(term["role"], term["text"]) for term in answer["query"]] == [
            ("query", None),
            ("caption", upload["caption"]),
        ]
        captioner.refused.add(upload["caption"])
        answer = service.post(f"{session}/search", files=files("top.png")).json()
        assert "could not be described" in answer["note"]
        assert [term["role"] for term in answer["query"]] == ["query"]


def test_idle_sessions_end_and_the_number_is_bounded(tmp_path: Path) -> None:
    parts = make_parts(tmp_path / "bucket", sessions=SessionSettings(idle_s=0.3, max=2))
    with serving_parts(parts) as service:
        session, _ = begin(service), begin(service)
        refused = service.post(SESSIONS)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        wait_until(lambda: service.post(SESSIONS).status_code == 201)
        assert "0.3 seconds" in problem(service.get(session), 404)
