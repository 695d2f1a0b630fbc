"""A batch holds stored pictures, their captions, captions with a wrong number, and entries of the dictionary."""

import numpy as np
import pytest

from scripts.train_demo_clip.captions import Captioner
from scripts.train_demo_clip.looks import LOOKS
from scripts.train_demo_clip.scene_store import open_store
from scripts.train_demo_clip.scenes import ScenePlanner, find_own_colours

LAST = 100


@pytest.fixture
def store(vocabulary, sheet, tmp_path, monkeypatch):
    monkeypatch.setattr("scripts.train_demo_clip.scene_store.CHUNK", 60)
    monkeypatch.setattr("scripts.train_demo_clip.scene_store.POOL", 1)
    return open_store(tmp_path / "scenes", ScenePlanner(vocabulary, sheet), 240, 1)


@pytest.fixture
def stream(vocabulary, sheet, store):
    from scripts.train_demo_clip.batches import SceneStream  # imports PyTorch, which takes seconds
    from scripts.train_demo_clip.tokens import learn_tokenizer

    words = ["two three four five six cats on the grass", "a red apple next to 3 blue cars at night"] * 20
    looks = np.zeros((2, len(vocabulary.glyphs), 2 * LOOKS), np.float32)
    return SceneStream(
        store, ScenePlanner(vocabulary, sheet), Captioner(vocabulary, find_own_colours(sheet)),
        learn_tokenizer(words, 600), looks, 24, 3, 0, LAST,
    )  # fmt: skip


def read_texts(stream, rows) -> list[str]:
    return stream.tokenizer.batch_decode(rows, skip_special_tokens=True)


def test_miscounted_captions_stand_beside_the_scenes_that_hold_several(stream):
    batch = stream.make(LAST - 1)
    assert batch["pixels"].shape == (24, 3, 96, 96)
    assert 0 < len(batch["counted"]) == len(batch["miscounted"]) < 24
    assert (batch["facts"]["objects"][batch["counted"]] > 1).all()
    texts = [read_texts(stream, rows) for rows in (batch["tokens"][0][batch["counted"]], batch["miscounted"])]
    assert all(right != wrong for right, wrong in zip(*texts, strict=True))


def test_a_batch_depends_on_its_number_only(stream):
    first, again, other = (stream.make(number) for number in (50, 50, 51))
    assert first["pixels"].equal(again["pixels"])
    assert first["miscounted"].equal(again["miscounted"])
    assert not first["pixels"].equal(other["pixels"])


def test_a_batch_without_counted_scenes_has_no_miscounted_captions(stream):
    stream.size = 1
    empty = next(batch for number in range(40) if not len((batch := stream.make(number))["counted"]))
    assert empty["miscounted"].shape == (0, 1)


def test_captions_name_glyphs_of_their_scene(stream):
    batch = stream.make(60)
    for named in batch["named"]:
        assert (named <= batch["facts"]["glyphs"]).all()
        assert named.sum() > 0


def test_a_word_of_the_dictionary_means_every_thing_that_it_fits(stream, vocabulary):
    batch = stream.make(60)
    texts = [text.strip().removeprefix("the ").removeprefix("a ") for text in read_texts(stream, batch["words"])]
    rows = [row for row, text in enumerate(texts) if text == "car"]
    both = {vocabulary.by_label["automobile"], vocabulary.by_label["racing car"]}
    assert rows
    assert all(set(batch["meant"][row].nonzero().flatten().tolist()) == both for row in rows)


def test_scenes_become_harder_and_then_stay_so(stream):
    rng = np.random.default_rng(0)
    easy, hard = (np.concatenate([stream.picker.pick(rng, progress, 3) for _ in range(50)]) for progress in (0.0, 0.5))
    assert np.median(easy) < 0.2 * len(stream.store) < np.median(hard)


def test_stored_scenes_are_painted_once(store, vocabulary, sheet, tmp_path):
    again = open_store(tmp_path / "scenes", ScenePlanner(vocabulary, sheet), 240, 1)
    assert np.array_equal(again.pixels, store.pixels)
    assert store.pixels.any(axis=(1, 2, 3)).all()
    assert store.scene(7) == again.scene(7)


def test_painting_goes_on_where_it_was_interrupted(store, vocabulary, sheet, tmp_path):
    folder, before = tmp_path / "scenes", np.array(store.pixels)
    done = np.load(folder / "done.npy", mmap_mode="r+")
    done[1] = False
    np.load(folder / "pixels.npy", mmap_mode="r+")[60:120] = 0
    assert np.array_equal(open_store(folder, ScenePlanner(vocabulary, sheet), 240, 1).pixels, before)


def test_another_seed_paints_other_scenes(store, vocabulary, sheet, tmp_path):
    before = np.array(store.pixels)
    assert not np.array_equal(open_store(tmp_path / "scenes", ScenePlanner(vocabulary, sheet), 240, 2).pixels, before)
