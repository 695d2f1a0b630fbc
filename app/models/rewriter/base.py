"""What a model that rewrites queries can do, here or at another address."""

import time
from typing import NamedTuple, Protocol


class Conversation(NamedTuple):
    """What a search session knows in words. All of it is data that users wrote, or models about their pictures."""

    query: str
    """Empty where only pictures were sent."""
    feedback: tuple[str, ...] = ()
    """What the user said of the results, the oldest first."""
    captions: tuple[str, ...] = ()
    """Of pictures that fit."""


class Deadline:
    """The time that one rewriting may take. Thread-safe."""

    def __init__(self, after_s: float) -> None:
        self._ends_at = time.monotonic() + after_s

    @property
    def left_s(self) -> float:
        """Seconds, 0 when the time is over."""
        return max(0.0, self._ends_at - time.monotonic())

    @property
    def is_over(self) -> bool:
        return self.left_s == 0

    def end(self) -> None:
        """The caller no longer waits for the answer."""
        self._ends_at = float("-inf")


class Rewriter(Protocol):
    """Makes one caption-like query of a conversation."""

    name: str
    """For people: the hub's name and commit, the folder's own name, or the name at the endpoint with its host."""

    def rewrite(self, conversation: Conversation, deadline: Deadline) -> str:
        """One line of at most `answers.MAX_CHARS` characters, only to be searched for. Raises RewriteFailed."""
        ...

    def close(self) -> None:
        """Free memory and connections. It is not used afterwards."""
        ...
