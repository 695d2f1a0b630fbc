"""Prompts against a list of words and phrases."""

from pathlib import Path

import pytest

from app.errors import InvalidSettings
from app.generation.blocklist import blocking, load_blocklist, no_screen

SCREEN = blocking(["Dragon", "hot air  balloon", "naïve", " ", "straße", "火山"])


@pytest.mark.parametrize(
    "prompt",
    [
        "a dragon",
        "DRAGON!",
        "a red-dragon, flying",
        "snake_dragon",
        "a hot, air balloon",
        "hot\nair\u00a0balloon",
        "a naive painter",
        "a NAI\u0308VE painter",
        "the STRASSE at night",
        "\uff44\uff52\uff41\uff47\uff4f\uff4e",
        "dra\u00adgon",
        "dra\u200bgon",
        "火山",
    ],
)
def test_whole_words_without_case_and_accents(prompt: str) -> None:
    assert "GENERATION_BLOCKLIST" in (SCREEN(prompt) or "")


@pytest.mark.parametrize("prompt", ["dragonfly", "snapdragon", "hot balloon air", "a hot air", "", "!?", "naiveté"])
def test_parts_of_words_and_of_phrases_are_fine(prompt: str) -> None:
    assert SCREEN(prompt) is None
    assert no_screen(prompt) is None


def test_the_phrase_is_named_as_it_is_in_the_list() -> None:
    assert "'hot air  balloon'" in (SCREEN("HOT AIR BALLOON") or "")


def test_a_file_with_comments(tmp_path: Path) -> None:
    file = tmp_path / "blocked.txt"
    file.write_text("\ufeff# what we do not draw\ndragon  # the beast\n\n", encoding="utf-8")
    screen = load_blocklist(file)
    assert "'dragon'" in (screen("a dragon") or "")
    assert screen("the beast") is None


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="GENERATION_BLOCKLIST"):
        load_blocklist(tmp_path / "missing.txt")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    with pytest.raises(InvalidSettings, match="UTF-8"):
        load_blocklist(tmp_path / "latin.txt")
