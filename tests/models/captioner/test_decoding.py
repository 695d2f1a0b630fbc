"""Greedy and beam search over a decoder that is a table; `test_captioners` compares them with transformers'."""

import numpy as np
import pytest
from numpy.typing import NDArray

from app.models.captioner.decoding import Logits, Search, Tokens

START, END, A, B = range(4)

LIKELY = {
    (START,): {A: 0.6, B: 0.4},
    (START, A): {A: 0.3, B: 0.4, END: 0.3},
    (START, B): {A: 0.05, B: 0.05, END: 0.9},
}
"""The probability of the next token after some texts; END after all others."""


def next_logits(pictures: NDArray[np.intp], tokens: Tokens) -> Logits:
    """Of the second picture, A and B are exchanged."""
    logits = np.full((*tokens.shape[:2], 4), -30.0, np.float32)
    for row, picture in enumerate(pictures):
        swap = {A: B, B: A} if picture == 1 else {}
        for beam, text in enumerate(tokens[row].tolist()):
            likely = LIKELY.get(tuple(swap.get(token, token) for token in text), {END: 1.0})
            for token, share in likely.items():
                logits[row, beam, swap.get(token, token)] = np.log(share)
    return logits


def test_greedy_search_takes_the_likeliest_token_each_time() -> None:
    search = Search(START, (END,), 5)
    assert search.run(next_logits, 3) == [[A, B], [B, A], [A, B]]
    assert search.run(next_logits, 0) == []


@pytest.mark.parametrize("beams", [2, 3])
def test_beam_search_finds_the_likelier_text(beams: int) -> None:
    """0.4 x 0.9 for B and the end, against 0.6 x 0.4 for A and B."""
    search = Search(START, (END,), 5, beams, length_penalty=0.0)
    assert search.run(next_logits, 2) == [[B], [A]]


def test_the_longest_text_ends_without_its_mark() -> None:
    for beams in (1, 2):
        assert Search(START, (END,), 1, beams, length_penalty=0.0).run(next_logits, 2) == [[A], [B]]


def test_pictures_whose_text_has_ended_are_not_asked_about_again() -> None:
    asked = []

    def short_first(pictures: NDArray[np.intp], tokens: Tokens) -> Logits:
        asked.append(pictures.tolist())
        logits = np.zeros((*tokens.shape[:2], 4), np.float32)
        logits[..., A] = 1
        logits[pictures == 0, :, END] = 2
        return logits

    assert Search(START, (END,), 3).run(short_first, 2) == [[], [A, A, A]]
    assert asked == [[0, 1], [1], [1]]
