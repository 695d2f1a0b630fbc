"""Writing word files: read in blocks, laid out as a safetensors file."""

from pathlib import Path

import pytest
from safetensors.numpy import load_file

from app.words import build
from app.words.analysis import Document
from app.words.build import write_words
from app.words.compounds import compound_parts
from app.words.file import WordFile, WordFileError
from app.words.overlay import NONE
from tests.support.words import file_of

DOCUMENTS = [
    Document("a/IMG_1.jpg", "A dog, a dog and a Hund", ("dog",)),
    Document("a/b/dog.jpg"),
    Document("c/Hundehütte_1.jpg", "eine Hütte", ("Hunde", "Hütte")),
    Document("", None, ()),
    Document("a/IMG_2.jpg", "no animal at all"),
]


def contents(file: WordFile, terms: list[str]) -> list[tuple[list[int], list[int]]]:
    found = [file.find(term) for term in terms]
    return [(each.places.tolist(), each.weights.tolist()) for each in found if each]


def test_each_term_has_its_pictures_once_however_they_are_cut_into_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    terms = ["dog", "hund", "hunde", "hutte", "hundehutte", "img", "1", "2", "a", "b", "c", "animal"]
    whole = file_of(DOCUMENTS)
    assert contents(whole, ["dog", "img", "1"]) == [
        ([0, 1], whole.find("dog").weights.tolist()),
        ([0, 4], whole.find("img").weights.tolist()),
        ([0, 2], whole.find("1").weights.tolist()),
    ]
    assert (whole.count, whole.find("and"), whole.find("no"), whole.count_of("cat")) == (5, None, None, 0)
    monkeypatch.setattr(build, "BLOCK", 2)
    cut = file_of(DOCUMENTS)
    assert contents(cut, terms) == contents(whole, terms)
    assert len(cut) == len(whole)


def test_words_with_one_beginning_and_compounds_are_listed_with_their_numbers() -> None:
    file = file_of(DOCUMENTS)
    assert file.starting_with("hund", 10) == [("hund", 1), ("hunde", 1), ("hundehutte", 1)]
    assert file.starting_with("hund", 2) == file.starting_with("zebra", 9) == file.starting_with("1", 9) == []
    assert file.compounds_of("hutte", 9) == file.compounds_of("hunde", 9) == [("hundehutte", 1)]
    assert file.compounds_of("dog", 9) == file.compounds_of("unknown", 9) == []


def test_the_commonest_compounds_are_listed_each_once() -> None:
    """Of equally common ones the first in the alphabet. Words of changes need only end with the term."""
    captions = ["boathouse", "treehouse", "treehouse hothouse", "househouse house tree boat"]
    documents = [Document("x.jpg", caption) for caption in captions]
    commonest = [("treehouse", 2), ("boathouse", 1), ("househouse", 1)]
    file = file_of(documents)
    assert [file.compounds_of("house", most) for most in (0, 2, 9)] == [[], commonest[:2], commonest]
    overlay = NONE.changed(dict(enumerate(documents)))
    assert [overlay.compounds_of("house", most) for most in (0, 2, 3)] == [[], commonest[:2], commonest]


@pytest.mark.parametrize(
    ("term", "parts"),
    [
        ("hundehutte", ("hunde", "hutte")),
        ("arbeitszimmer", ("arbeit", "zimmer")),
        ("waterfall", ("water", "fall")),
        ("carpet", ()),
        ("zimmer", ()),
        ("unknownwords", ()),
    ],
)
def test_a_compound_consists_of_two_known_words(term: str, parts: tuple[str, ...]) -> None:
    known = {"hunde", "hutte", "arbeit", "zimmer", "water", "fall", "car", "pet"}
    assert compound_parts(term, known) == parts


def test_a_file_without_pictures_has_no_terms() -> None:
    file = file_of([])
    assert (len(file), file.count, file.find("dog"), file.starting_with("d", 9)) == (0, 0, None, [])
    assert file.called(7).tolist() == []


def test_other_programs_read_the_file_as_safetensors(tmp_path: Path) -> None:
    write_words(tmp_path / "words", DOCUMENTS)
    arrays = load_file(tmp_path / "words")
    assert len(arrays["term_ends"]) == len(WordFile.open(tmp_path / "words"))
    assert arrays["posting_ends"][-1] == len(arrays["places"]) == len(arrays["weights"])
    assert arrays["terms"].tobytes().startswith(b"1\n2\na\n")


@pytest.mark.parametrize("cut", [0, 4, 40, -1])
def test_what_is_no_word_file_is_told(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "words"
    write_words(path, DOCUMENTS)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(WordFileError):
        WordFile.open(path)
