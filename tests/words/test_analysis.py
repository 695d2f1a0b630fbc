"""Texts as terms: the same for pictures and queries."""

import pytest

from app.words.analysis import Document, name_codes, terms_of, words_of


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("IMG_2041", ["img", "2041"]),
        ("2023-07-14_holiday (3)", ["2023", "7", "14", "holiday", "3"]),
        ("CamelCaseName", ["camelcasename", "camel", "case", "name"]),
        ("HTTPServer2", ["httpserver", "http", "server", "2"]),
        ("iPhone12", ["iphone", "i", "phone", "12"]),
        ("DSC00012", ["dsc", "12"]),
        ("0000", ["0"]),
        ("20230714_183059", ["20230714", "2023", "183059"]),
        ("Straße ÉTÉ Łódź smørrebrød", ["strasse", "ete", "lodz", "smorrebrod"]),
        ("cafe\u0301 = caf\u00e9", ["cafe", "cafe"]),
        ("dog's", ["dog", "s"]),
        ("x² ① ﬁn", ["x", "2", "1", "fin"]),
        ("हिन्दी", ["हिन्दी"]),
        ("犬が走る", ["犬", "が", "走", "る", "犬が", "が走", "走る"]),
        ("3犬", ["3", "犬"]),
        ("👍🏽 --- __", []),
    ],
)
def test_words_lose_case_and_accents_and_names_fall_into_parts(text: str, terms: list[str]) -> None:
    assert terms_of(text) == terms


def test_parts_of_random_names_are_no_words() -> None:
    assert terms_of("3fa9c1e77b2d9e10") == ["3fa9c1e77b2d9e10"]


@pytest.mark.parametrize(
    "text", ["IMG_2041", "CamelCase01", "2023-07-14", "20230714", "犬が走る beach", "犬", "3fa9c1e77b2d9e10"]
)
def test_a_query_looks_for_terms_that_a_picture_of_that_name_has(text: str) -> None:
    assert words_of(text)
    assert set(words_of(text)) <= set(terms_of(text))


@pytest.mark.parametrize(
    ("key", "name", "folder"),
    [
        ("a/b/Dog (3).JPG", "Dog (3)", "a/b"),
        ("dog.2023", "dog.2023", ""),
        ("a/archive.tar.gz", "archive.tar", "a"),
    ],
)
def test_the_name_of_a_picture_is_its_file_name_without_the_suffix(key: str, name: str, folder: str) -> None:
    document = Document(key)
    assert (document.name, document.folder) == (name, folder)


def test_names_are_equal_apart_from_punctuation_and_case_and_then_apart_from_numbers() -> None:
    exact, apart = name_codes("IMG_2041")
    assert name_codes("img 2041") == name_codes("Img-2041") == (exact, apart)
    assert name_codes("img") == (apart,)
    assert name_codes("IMG_2042")[0] != exact
    assert name_codes("Été_1")[1] == name_codes("ete")[0]
    assert len(name_codes("2041")) == len(name_codes("")) == 1
