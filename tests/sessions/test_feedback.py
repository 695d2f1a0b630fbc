"""Feedback in four languages to signed terms."""

import pytest

from app.errors import InvalidInput
from app.sessions.feedback import FOCUS, LESS, MINUS, PLUS, understand


@pytest.mark.parametrize(
    ("feedback", "terms"),
    [
        ("more blue sky", {"blue sky": PLUS}),
        ("without trees", {"trees": MINUS}),
        ("no trees, but more blue sky!", {"trees": MINUS, "blue sky": PLUS}),
        ("less dark", {"dark": LESS}),
        ("Focus on the dog", {"the dog": FOCUS}),
        ("only dogs, please", {"dogs": FOCUS}),
        ("a beach without people", {"a beach": PLUS, "people": MINUS}),
        ("without people and more dogs", {"people": MINUS, "dogs": PLUS}),
        ("red and blue", {"red and blue": PLUS}),
        ("with a hat", {"a hat": PLUS}),
        ("brighter", {"brighter": PLUS}),
        ("nocturnal animals", {"nocturnal animals": PLUS}),
        ("contrast", {"contrast": PLUS}),
        ("mehr Himmel, aber ohne Bäume", {"Himmel": PLUS, "Bäume": MINUS}),
        ("nur Hunde, bitte", {"Hunde": FOCUS}),
        ("keine Menschen", {"Menschen": MINUS}),
        ("weniger Schnee", {"Schnee": LESS}),
        ("sans arbres mais plus de ciel bleu", {"arbres": MINUS, "ciel bleu": PLUS}),
        ("moins d'arbres et plus d’eau", {"arbres": LESS, "eau": PLUS}),
        ("pas de neige", {"neige": MINUS}),
        ("sin gente y más perros", {"gente": MINUS, "perros": PLUS}),
        ("sólo gatos", {"gatos": FOCUS}),
        ("menos nieve", {"nieve": LESS}),
    ],
)
def test_markers_give_weights(feedback: str, terms: dict[str, float]) -> None:
    assert {term.text: term.weight for term in understand(feedback)} == terms


@pytest.mark.parametrize("feedback", ["more", "without", "...", "no, please"])
def test_markers_alone_say_nothing(feedback: str) -> None:
    with pytest.raises(InvalidInput, match="names nothing"):
        understand(feedback)


def test_the_last_weight_of_the_same_words_counts() -> None:
    assert [(term.text, term.weight) for term in understand("more trees, without Trees")] == [("Trees", MINUS)]
