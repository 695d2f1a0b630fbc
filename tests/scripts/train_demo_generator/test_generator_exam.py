"""The exam's arithmetic and the contact sheet."""

import numpy as np

from scripts.train_demo_generator.contact_sheet import lay_out
from scripts.train_demo_generator.evaluate import psnr, ranks, share_in_top


def test_a_picture_that_fits_its_prompt_best_ranks_first():
    assert (ranks(np.eye(60)) == 1).all()


def test_a_picture_that_fits_its_prompt_worst_ranks_last():
    assert (ranks(-np.eye(60)) == 50).all()


def test_equal_scores_do_not_count_as_found():
    assert (ranks(np.zeros((60, 60))) == 50).all()


def test_chance_is_a_tenth():
    scores = np.random.default_rng(0).normal(size=(400, 400))
    assert 0.06 < share_in_top(ranks(scores)) < 0.14


def test_psnr_of_a_known_error():
    pictures = np.full((2, 4, 4, 3), 100, np.uint8)
    assert round(psnr(pictures, pictures + np.uint8(1)), 2) == 48.13


def test_the_sheet_holds_every_picture():
    pictures = [np.full((96, 96, 3), (10, 200, 30), np.uint8)] * 9
    sheet = np.asarray(lay_out(pictures, ["a fox"] * 9))
    green = (np.abs(sheet.astype(int) - (10, 200, 30)).max(2) < 3).sum()
    assert green == 9 * 144 * 144
