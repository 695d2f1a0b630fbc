"""A batch holds pictures, their captions, and captions with a wrong number."""

import multiprocessing

import numpy as np
import pytest

from scripts.train_demo_clip.captions import Captioner
from scripts.train_demo_clip.looks import LOOKS
from scripts.train_demo_clip.scenes import ScenePainter, ScenePlanner, find_own_colours


@pytest.fixture
def stream(vocabulary, sheet):
    from scripts.train_demo_clip.batches import SceneStream  # imports PyTorch, which takes seconds
    from scripts.train_demo_clip.tokens import learn_tokenizer

    # The painter draws a new pool of backgrounds for each seed: a small pool is enough here.
    words = ["two three four five six cats on the grass", "a red apple next to 3 blue cars at night"] * 20
    looks = np.zeros((2, len(vocabulary.glyphs), 2 * LOOKS), np.float32)
    return SceneStream(
        ScenePlanner(vocabulary, sheet), ScenePainter(sheet, 1, pool=1), Captioner(vocabulary, find_own_colours(sheet)),
        learn_tokenizer(words, 600), looks, 24, 3, 0, multiprocessing.Value("d", 1.0),
    )  # fmt: skip


def test_miscounted_captions_stand_beside_the_scenes_that_hold_several(stream):
    batch = stream.make(np.random.default_rng(5), 1.0)
    assert batch["pixels"].shape == (24, 3, 96, 96)
    assert 0 < len(batch["counted"]) == len(batch["miscounted"]) < 24
    assert (batch["facts"]["objects"][batch["counted"]] > 1).all()
    texts = [stream.tokenizer.batch_decode(rows, skip_special_tokens=True) for rows in
             (batch["tokens"][0][batch["counted"]], batch["miscounted"])]  # fmt: skip
    assert all(right != wrong for right, wrong in zip(*texts, strict=True))


def test_the_same_seed_gives_the_same_batch(stream):
    first, again = (stream.make(np.random.default_rng(5), 0.5) for _ in range(2))
    assert first["pixels"].equal(again["pixels"])
    assert first["miscounted"].equal(again["miscounted"])


def test_a_batch_without_counted_scenes_has_no_miscounted_captions(stream):
    stream.size = 1
    batches = (stream.make(np.random.default_rng(seed), 0.0) for seed in range(40))
    empty = next(batch for batch in batches if not len(batch["counted"]))
    assert empty["miscounted"].shape == (0, 1)
