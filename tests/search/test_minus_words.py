"""What a typed text says shall not be seen."""

import pytest

from app.encoder.encoder import IndexedPicture, Text
from app.search.minus_words import MINUS_WEIGHT, Understood, read_minus_words, understand
from app.search.query import Query, Weighted

READ = {
    "beach -people": ("beach", "people"),
    "-people beach": ("beach", "people"),
    'street -"red car" at night': ("street at night", "red car"),
    "street -“red car”": ("street", "red car"),
    "street -cars, -people": ("street", "cars", "people"),
    "red -t-shirt": ("red", "t-shirt"),
    "e-mail -spam": ("e-mail", "spam"),
    "beach –people": ("beach", "people"),
    "a house without windows": ("a house", "windows"),
    "a house without windows in the snow": ("a house in the snow", "windows"),
    "car not at night": ("car", "at night"),
    "octopus, but not in the sea at night": ("octopus, at night", "in the sea"),
    "a man without a hat but with a coat": ("a man but with a coat", "hat"),
    "A House WITHOUT Windows": ("A House", "Windows"),
    "beach not people": ("beach", "people"),
    "beach without -people": ("beach", "people"),
    "dogs, but not cats or horses, on grass": ("dogs, on grass", "cats", "horses"),
    "a man without a hat and without glasses": ("a man", "hat", "glasses"),
    "ein Strand ohne Menschen": ("ein Strand", "Menschen"),
    "une plage sans les gens": ("une plage", "gens"),
    "una playa sin gente ni coches": ("una playa", "gente", "coches"),
    'poster "house without windows" -red': ('poster "house without windows"', "red"),
    'sky without "hot air balloon"': ("sky", "hot air balloon"),
    "海滩 -人": ("海滩", "人"),
    "cat -dog -dog": ("cat", "dog"),
}


@pytest.mark.parametrize(("text", "expected"), READ.items())
def test_minus_words_are_read(text: str, expected: tuple[str, ...]) -> None:
    assert read_minus_words(text) == Understood(expected[0], expected[1:])


@pytest.mark.parametrize(
    "text",
    [
        *(
            "IMG-2041",
            "IMG -2041",
            "t-shirt",
            "New York - Paris",
            "1990-2000 cars",
            "the sea -",
            "fruit --verbose",
            "- -",
        ),
        *("-people", "-cats -dogs", "without trees", "not", "why not this one", "not only dogs but cats", "- a"),
        *("Sin City", "sin city poster", "comic sans font", "original sin", "do not enter sign", "forget me not"),
        *('"house without windows"', "without a dog", "x" * 2000, "-" * 2000, '"' * 2000, "not " * 500, "\ud83d -"),
    ],
)
def test_what_has_no_minus_words_stays_as_it_is(text: str) -> None:
    assert read_minus_words(text) is None


def test_a_query_gets_its_minus_words_as_terms() -> None:
    query, read = understand(Query.of(Text("beach -people"), minus_words=True))
    assert query.terms == (Weighted(Text("beach")), Weighted(Text("people"), MINUS_WEIGHT))
    assert query.text == "beach"
    assert read == Understood("beach", ("people",))


def test_what_fits_them_is_left_out_where_relevance_is_known() -> None:
    query, _ = understand(Query.of(Text("beach -people"), minus_words=True), exclude=True)
    assert query.terms[1] == Weighted(Text("people"), MINUS_WEIGHT, exclude=True)
    assert not query.terms[0].exclude


def test_a_text_beside_pictures_and_minus_terms_is_read() -> None:
    picture, water = Weighted(IndexedPicture("1")), Weighted(Text("water"), -1)
    query, read = understand(Query((picture, Weighted(Text("beach -people"), 2), water), minus_words=True))
    assert query.terms == (picture, Weighted(Text("beach"), 2), water, Weighted(Text("people"), MINUS_WEIGHT))
    assert read == Understood("beach", ("people",))


@pytest.mark.parametrize(
    "query",
    [
        Query.of(Text("beach -people")),
        Query.of(Text("beach"), minus_words=True),
        Query.of(Text("beach -people"), Text("sunset"), minus_words=True),
        Query((Weighted(Text("beach -people"), -1),), minus_words=True),
    ],
)
def test_only_one_text_is_read_and_only_when_asked(query: Query) -> None:
    assert understand(query) == (query, None)
