"""What people type, as words to look for: no text is an error."""

from hypothesis import given
from hypothesis import strategies as st

from app.words.analysis import name_codes
from app.words.query import MOST_WORDS, Word, parse
from tests.support.words import index_of

FTS_SYNTAX = st.sampled_from(
    ['"', "'", "*", "(", ")", "^", ":", "-", "+", "AND", "OR", "NOT", "NEAR", "dog", "{", "}", "\0"]
)


def texts(query: str) -> list[str]:
    return [word.text for word in parse(query).words]


def test_words_without_meaning_count_only_where_there_are_no_others() -> None:
    assert texts("the dog in a garden") == ["dog", "garden"]
    assert texts("un chien dans le jardin") == ["chien", "jardin"]
    assert texts("ein Hund mit dem Ball") == ["hund", "ball"]
    assert texts("the") == ["the"]
    assert texts('dog in "the" garden') == ["dog", "the", "garden"]


def test_words_in_quotation_marks_are_required() -> None:
    assert parse('big "red car" „Haus“ dog').words == (
        Word("big"),
        Word("red", True),
        Word("car", True),
        Word("haus", True),
        Word("dog"),
    )
    assert parse('24" screen').words == (Word("24"), Word("screen"))


def test_each_word_is_sought_once_and_required_if_any_time() -> None:
    assert parse('dog "Dog" DOG').words == (Word("dog", True),)


def test_a_suffix_of_pictures_is_no_word() -> None:
    query = parse("IMG_2041.JPG")
    assert [word.text for word in query.words] == ["img", "2041"]
    assert query.code == name_codes("IMG_2041")[0]
    assert texts("jpg") == ["jpg"]


def test_long_queries_are_cut_and_empty_ones_find_nothing() -> None:
    assert len(texts(" ".join(map(str, range(1, 900))))) == MOST_WORDS
    index = index_of({1: "dog.jpg"})
    for empty in ("", "  ", "👍🏽", '"', "___", "\0", '""'):
        assert index.search(empty, 5).hits == []


@given(st.one_of(st.text(max_size=200), st.lists(FTS_SYNTAX, max_size=30).map(" ".join), st.just("a" * 2000)))
def test_no_text_is_an_error(text: str) -> None:
    hits = INDEX.search(text, 5).hits
    assert all(0 < score <= 1 for _, score in hits)


INDEX = index_of({1: "dog.jpg", 2: "AND OR NOT.jpg", 3: "犬/near.jpg"})
