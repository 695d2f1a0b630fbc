"""The tokenizer: CLIP's format, its own words, any script."""

import pytest


@pytest.fixture(scope="module")
def tokenizer():
    from scripts.train_demo_clip.tokens import learn_tokenizer  # imports transformers, which takes seconds

    return learn_tokenizer(["two red apples on the grass", "zwei rote äpfel auf der wiese", "a cat at night"] * 5, 900)


def test_words_of_the_captions_become_single_pieces(tokenizer):
    assert tokenizer.tokenize("red apples") == ["red</w>", "apples</w>"]


def test_case_does_not_matter(tokenizer):
    assert tokenizer("Red APPLES")["input_ids"] == tokenizer("red apples")["input_ids"]


@pytest.mark.parametrize("text", ["赤いリンゴ", "красное яблоко", "تفاحة", "🍎", "ÄPFEL"])
def test_every_script_is_encoded_without_loss(tokenizer, text):
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.decode(ids, skip_special_tokens=True).replace(" ", "") == text.lower().replace(" ", "")


def test_texts_are_framed_and_cut_to_the_context(tokenizer):
    from scripts.train_demo_clip.tokens import CONTEXT, END, START

    ids = tokenizer("apples " * 100, truncation=True)["input_ids"]
    assert len(ids) == CONTEXT == tokenizer.model_max_length
    assert tokenizer.convert_ids_to_tokens([ids[0], ids[-1]]) == [START, END]


def test_it_survives_a_round_trip_through_a_folder(tokenizer, tmp_path):
    from transformers import AutoTokenizer

    tokenizer.save_pretrained(tmp_path)
    text = "zwei rote Äpfel"
    assert AutoTokenizer.from_pretrained(tmp_path)(text)["input_ids"] == tokenizer(text)["input_ids"]
