"""Words one after the other: greedy search and beam search in NumPy, with the results of transformers' `generate`.

A decoder is a function that gives the logits of the next token. Both searches work on several pictures at once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Tokens: TypeAlias = NDArray[np.int64]
"""(N, B, T): of each of N pictures B texts of equal length."""

Logits: TypeAlias = NDArray[np.float32]
"""(N, B, V): for each text, how likely each token of the vocabulary comes next."""

NextLogits: TypeAlias = Callable[[NDArray[np.intp], Tokens], Logits]
"""The logits of the next tokens of texts about the pictures (N,) with these numbers."""

NEVER: Final = -1.0e9
"""A score that no text has; transformers uses it too."""


@dataclass(frozen=True, slots=True)
class Search:
    """How a text is looked for."""

    start: int
    """The token that every text begins with."""
    ends: tuple[int, ...]
    """Tokens that end a text."""
    max_tokens: int
    """Most tokens after the start."""
    beams: int = 1
    """Texts of each picture that are followed at once; 1 takes the likeliest token each time."""
    length_penalty: float = 1.0
    """The score of a text is its log-probability, divided by its length to the power of this."""

    def run(self, next_logits: NextLogits, pictures: int) -> list[list[int]]:
        """For each picture the tokens of its text, without start and end."""
        found = (_greedy if self.beams == 1 else _beams)(self, next_logits, pictures)
        return [self._without_marks(tokens) for tokens in found]

    def _without_marks(self, tokens: Sequence[int]) -> list[int]:
        end = next((place for place, token in enumerate(tokens) if token in self.ends), len(tokens))
        return list(tokens[:end])


def _greedy(search: Search, next_logits: NextLogits, pictures: int) -> list[list[int]]:
    texts = np.full((pictures, 1, 1), search.start, np.int64)
    found: list[list[int]] = [[] for _ in range(pictures)]
    open_ = np.arange(pictures)
    for _ in range(search.max_tokens):
        tokens = next_logits(open_, texts).argmax(axis=2)
        for number, token in zip(open_, tokens[:, 0], strict=True):
            found[number].append(int(token))
        goes_on = ~np.isin(tokens[:, 0], search.ends)
        open_, texts = open_[goes_on], np.concatenate([texts, tokens[:, :, None]], axis=2)[goes_on]
        if not len(open_):
            break
    return found


def _beams(search: Search, next_logits: NextLogits, pictures: int) -> list[list[int]]:
    beams = [_Beams(search) for _ in range(pictures)]
    for _ in range(search.max_tokens):
        open_ = np.flatnonzero([not each.is_over for each in beams])
        if not len(open_):
            break
        texts = np.stack([beams[number].texts for number in open_])
        for number, rows in zip(open_, _log_softmax(next_logits(open_, texts)), strict=True):
            beams[number].extend(rows)
    return [each.best for each in beams]


class _Beams:
    """The texts of one picture: those that are still written, and the best that have ended.

    As `GenerationMixin._beam_search` of transformers 5 with `early_stopping=False`.
    """

    def __init__(self, search: Search) -> None:
        self._search = search
        self.texts = np.full((search.beams, 1), search.start, np.int64)
        self._scores = np.full(search.beams, NEVER, np.float32)
        self._scores[0] = 0  # the others are the same text: one must win the first step alone
        self._ended: list[tuple[float, list[int]]] = []
        """(score, tokens), best first, at most as many as there are beams."""
        self.is_over = False

    @property
    def best(self) -> list[int]:
        return self._ended[0][1] if self._ended else [int(token) for token in self.texts[0, 1:]]

    def extend(self, log_probabilities: NDArray[np.float32]) -> None:
        """By one token each; `log_probabilities` are (B, V)."""
        search = self._search
        scores = self._scores[:, None] + log_probabilities
        kept = max(2, 1 + len(search.ends)) * search.beams
        order = np.argsort(-scores, axis=None, kind="stable")[:kept]
        beams, tokens = np.unravel_index(order, scores.shape)
        texts, reached = np.column_stack([self.texts[beams], tokens]), scores[beams, tokens]
        length = texts.shape[1] - 1
        has_ended = np.isin(tokens, search.ends) | (length >= search.max_tokens)
        self._take_ended(texts, reached, has_ended, length)
        running = np.argsort(-(reached + np.float32(NEVER) * has_ended), kind="stable")[: search.beams]
        self.texts, self._scores = texts[running], reached[running] + np.float32(NEVER) * has_ended[running]
        self.is_over = bool(has_ended.all()) or not self._can_improve(length)

    def _take_ended(
        self, texts: NDArray[np.int64], scores: NDArray[np.float32], has_ended: NDArray[np.bool_], length: int
    ) -> None:
        """Only the first of the candidates, as many as there are beams, may end."""
        for place in np.flatnonzero(has_ended[: self._search.beams]):
            score = float(scores[place]) / length**self._search.length_penalty
            self._ended.append((score, [int(token) for token in texts[place, 1:]]))
        self._ended.sort(key=lambda each: -each[0])
        del self._ended[self._search.beams :]

    def _can_improve(self, length: int) -> bool:
        """Whether the best text that is still written could come before the worst of those that have ended."""
        if len(self._ended) < self._search.beams:
            return True
        return bool(float(self._scores[0]) / length**self._search.length_penalty > self._ended[-1][0])


def _log_softmax(logits: Logits) -> Logits:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    normal: Logits = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return normal
