"""A server on loopback that answers as OpenAI's chat completions, with what a test says."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from tests.support.service import serving


def completion(text: str | None) -> Response:
    """An answer as vLLM, Ollama and OpenAI send it."""
    message = {"role": "assistant", "content": text, "refusal": None}
    return JSONResponse(
        {
            **{"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "small"},
            "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
            "usage": {"prompt_tokens": 200, "completion_tokens": 9, "total_tokens": 209},
        }
    )


def dripping(first: bytes = b"{", *, pause_s: float = 0.02) -> Response:
    """A little now and then, without end."""

    async def drops() -> AsyncIterator[bytes]:
        yield first
        while True:
            await asyncio.sleep(pause_s)
            yield b" "

    return StreamingResponse(drops(), media_type="application/json")


@dataclass
class ChatServer:
    url: str = ""
    answer: Callable[[], Response] = lambda: completion("a wet dog near waves")
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)


@contextmanager
def chat_server() -> Iterator[ChatServer]:
    server, app = ChatServer(), FastAPI(openapi_url=None)

    @app.post("/v1/chat/completions")
    async def complete(request: Request) -> Response:
        server.bodies.append(json.loads(await request.body()))
        server.headers.append(dict(request.headers))
        return server.answer()

    with serving(app) as client:
        server.url = f"{client.base_url}".rstrip("/") + "/v1"
        yield server
