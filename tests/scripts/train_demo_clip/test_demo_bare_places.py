"""The last step of the training: words for places by themselves."""

import pytest


@pytest.fixture(scope="module")
def taught() -> tuple[object, object, object]:
    """A model before and after, and its tokenizer; untrained, so that every word begins far from every phrase."""
    import copy

    import torch
    from transformers import CLIPModel

    from scripts.train_demo_clip.bare_places import ALONE, teach
    from scripts.train_demo_clip.network import build_config
    from scripts.train_demo_clip.tokens import learn_tokenizer

    tokenizer = learn_tokenizer([word for words in ALONE.values() for word in words.split("|")] * 3, 900)
    torch.manual_seed(0)
    model = CLIPModel(build_config(tokenizer)).eval()
    before = copy.deepcopy(model)
    teach(model, tokenizer, ["a dog", "two red cars", "a cat on the grass"], steps=12)
    return before, model, tokenizer


def test_words_come_near_the_phrases_of_their_place(taught: tuple) -> None:
    from scripts.train_demo_clip.bare_places import embed, place_vector

    before, after, tokenizer = taught
    aim = place_vector(before, tokenizer, "snow")
    was, now = (float(embed(model, tokenizer, ["schnee"])[0].detach() @ aim) for model in (before, after))
    assert now > was + 0.5 * (1 - was)


def test_the_picture_tower_stays_as_it_is(taught: tuple) -> None:
    before, after, _ = taught
    for name, weight in after.vision_model.state_dict().items():
        assert weight.equal(before.vision_model.state_dict()[name])
    assert after.visual_projection.weight.equal(before.visual_projection.weight)


def test_places_are_those_that_are_drawn() -> None:
    from scripts.train_demo_clip.backgrounds import BACKGROUNDS, PLAIN
    from scripts.train_demo_clip.bare_places import ALONE, UNSEEN

    assert set(ALONE) == set(BACKGROUNDS) - set(PLAIN)
    taught = {word for words in ALONE.values() for word in words.split("|")}
    assert not taught & {word for words in UNSEEN.values() for word in words.split("|")}
