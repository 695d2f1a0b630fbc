"""A rewriter at another address, over the wire, with what goes wrong there."""

import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from pydantic import ValidationError
from starlette.responses import JSONResponse, RedirectResponse, Response

from app.errors import RewriteFailed
from app.models.rewriter.base import Conversation, Deadline
from app.models.rewriter.endpoint import MAX_BYTES
from app.models.rewriter.loading import calls_at_once, load_rewriter
from app.models.rewriter.prompts import messages
from app.settings import RewriteSettings
from tests.support.chat_server import ChatServer, chat_server, completion, dripping

ASKED = Conversation("a dog", ("on the beach",), ("a brown dog runs",))
LONG_S = 60.0
SHORT_S = 0.3


@pytest.fixture(scope="module")
def running() -> Iterator[ChatServer]:
    with chat_server() as server:
        yield server


@pytest.fixture
def server(running: ChatServer) -> ChatServer:
    running.answer = lambda: completion("a wet dog near waves")
    running.bodies.clear()
    running.headers.clear()
    return running


def rewrite(url: str, deadline_s: float = LONG_S, **changed: object) -> str:
    with closing(load_rewriter(RewriteSettings(model="small", url=url, **changed))) as rewriter:
        return rewriter.rewrite(ASKED, Deadline(deadline_s))


def test_it_asks_as_openais_documents_say(server: ChatServer) -> None:
    assert rewrite(f"{server.url}/", key="secret", max_tokens=50) == "a wet dog near waves"
    assert server.bodies == [{"model": "small", "messages": messages(ASKED), "max_tokens": 50, "temperature": 0}]
    assert server.headers[0]["authorization"] == "Bearer secret"


def test_no_key_is_sent_where_none_is_set(server: ChatServer) -> None:
    rewrite(server.url)
    assert "authorization" not in server.headers[0]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda: completion(""), "wrote nothing"),
        (lambda: completion(None), "wrote nothing"),
        (lambda: completion("a dog"), "repeated what it was given"),
        (lambda: JSONResponse({"choices": []}), "does not answer as OpenAI's API does"),
        (lambda: JSONResponse(["a dog"]), "does not answer as OpenAI's API does"),
        (lambda: Response(b"<html>", media_type="text/html"), "does not answer as OpenAI's API does"),
        (lambda: JSONResponse({"error": {"message": "Incorrect API key"}}, 401), r"refuses the request \(401\)"),
        (lambda: Response(b"", 500), r"refuses the request \(500\)"),
        (lambda: RedirectResponse("http://localhost:1/elsewhere"), r"refuses the request \(307\)"),
        (lambda: Response(b" " * (MAX_BYTES + 1)), "sends more than an answer"),
    ],
)
def test_an_answer_that_is_none(server: ChatServer, answer: Callable[[], Response], said: str) -> None:
    server.answer = answer
    with pytest.raises(RewriteFailed, match=said):
        rewrite(server.url)
    assert len(server.bodies) == 1


def test_the_log_has_what_the_endpoint_said(server: ChatServer, caplog: pytest.LogCaptureFixture) -> None:
    server.answer = lambda: JSONResponse({"error": {"message": "the model 'small' is unknown"}}, 404)
    with caplog.at_level(logging.WARNING), pytest.raises(RewriteFailed) as caught:
        rewrite(server.url)
    assert "the model 'small' is unknown" in caplog.text
    assert "unknown" not in str(caught.value), "the error is for clients"


def test_a_server_that_drips_is_left_when_the_time_is_over(server: ChatServer) -> None:
    server.answer = dripping
    with pytest.raises(RewriteFailed, match="did not answer in time"):
        rewrite(server.url, SHORT_S)


def test_a_server_that_says_nothing_is_left_when_the_time_is_over() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(RewriteFailed, match="did not answer in time"):
        rewrite(f"http://127.0.0.1:{silent.getsockname()[1]}/v1", SHORT_S)


def test_no_server_is_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with pytest.raises(RewriteFailed, match="The rewriter's endpoint does not answer"):
        rewrite(f"http://127.0.0.1:{port}/v1")


def test_several_requests_run_at_once() -> None:
    assert calls_at_once(RewriteSettings(model="small", url="http://localhost:1/v1")) > 1
    assert calls_at_once(RewriteSettings(model="small")) == 1


@pytest.mark.parametrize("url", ["localhost:11434", "ftp://host/v1", "http://user:key@host/v1", "http://host/v1?key=x"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="no address of an API"):
        RewriteSettings(url=url)
