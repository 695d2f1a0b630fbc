"""A rewriter at another address, which answers as OpenAI's API: POST `{REWRITE_URL}/chat/completions`.

vLLM, Ollama, llama.cpp, LM Studio and OpenAI itself do. Redirects are not followed: the key would go with them.
"""

import logging
from typing import Annotated, Final

import httpx2
from pydantic import BaseModel, Field, ValidationError

from app.errors import RewriteFailed
from app.models.rewriter.answers import search_text
from app.models.rewriter.base import Conversation, Deadline
from app.models.rewriter.prompts import messages
from app.settings import RewriteSettings

log = logging.getLogger(__name__)

MAX_BYTES: Final = 1 << 20
"""Of an answer."""

SHOWN_CHARS: Final = 300
"""Of a refusal, in the log."""


class _Message(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    message: _Message


class _Completion(BaseModel):
    choices: Annotated[list[_Choice], Field(min_length=1)]


class EndpointRewriter:
    """The `Rewriter` for a model at `REWRITE_URL`. Thread-safe."""

    def __init__(self, settings: RewriteSettings) -> None:
        self._settings = settings
        url = httpx2.URL(settings.url)
        self.name = f"{settings.model} at {url.host}"
        headers = {"User-Agent": "image2search"}
        if settings.key:
            headers["Authorization"] = f"Bearer {settings.key}"
        self._client = httpx2.Client(base_url=url, headers=headers, follow_redirects=False)

    def rewrite(self, conversation: Conversation, deadline: Deadline) -> str:
        """As `Rewriter.rewrite`."""
        body = {
            "model": self._settings.model,
            "messages": messages(conversation),
            "max_tokens": self._settings.max_tokens,
            "temperature": 0,
        }
        try:
            with self._client.stream("POST", "chat/completions", json=body, timeout=deadline.left_s) as answer:
                content = _read(answer, deadline)
        except httpx2.TimeoutException as error:
            raise _too_late() from error
        except httpx2.HTTPError as error:
            raise RewriteFailed("The rewriter's endpoint does not answer.") from error
        if not answer.is_success:
            said = content[:SHOWN_CHARS].decode(errors="replace")
            log.warning("REWRITE_URL answers %s: %s", answer.status_code, said)
            raise RewriteFailed(f"The rewriter's endpoint refuses the request ({answer.status_code}).")
        return search_text(_content_of(content), conversation)

    def close(self) -> None:
        """As `Rewriter.close`."""
        self._client.close()


def _read(answer: httpx2.Response, deadline: Deadline) -> bytes:
    """A server that sends a little now and then does not hold the thread for longer."""
    content = b""
    for chunk in answer.iter_bytes():
        content += chunk
        if deadline.is_over:
            raise _too_late()
        if len(content) > MAX_BYTES:
            raise RewriteFailed("The rewriter's endpoint sends more than an answer.")
    return content


def _content_of(answer: bytes) -> str:
    try:
        return _Completion.model_validate_json(answer).choices[0].message.content or ""
    except ValidationError as error:
        raise RewriteFailed("The rewriter's endpoint does not answer as OpenAI's API does.") from error


def _too_late() -> RewriteFailed:
    return RewriteFailed("The rewriter's endpoint did not answer in time.")
