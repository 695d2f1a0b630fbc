"""The folder that ships: an ordinary pipeline of diffusers."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from scripts.train_demo_generator.drawing import draw, load_pipeline
from scripts.train_demo_generator.export import write_pipeline

_FOLDER = Path("models/demo-generator")


@pytest.fixture(scope="module")
def pipeline():
    return load_pipeline(_FOLDER)


def test_it_draws_what_its_seed_says(pipeline):
    pictures = draw(pipeline, ["a fox", "a fox", "a fox"], [1, 1, 2], steps=3)
    assert pictures.shape == (3, 96, 96, 3)
    assert pictures.std(axis=(1, 2)).max() > 10
    np.testing.assert_allclose(pictures[0].astype(int), pictures[1], atol=1)
    assert (pictures[0] != pictures[2]).mean() > 0.5


def test_the_words_decide_the_place(pipeline):
    night, white = draw(pipeline, ["a fox at night", "a fox on white"], [3, 3], steps=6)
    assert night[:12].mean() + 60 < white[:12].mean()


def test_it_is_loaded_for_any_processor(pipeline):
    parts = (pipeline.unet, pipeline.vae, pipeline.text_encoder)
    assert {weight.dtype for part in parts for weight in part.parameters()} == {torch.float32}


def test_an_export_loads_again_and_names_no_folder(pipeline, tmp_path):
    folder = tmp_path / "exported"
    (folder / "openvino").mkdir(parents=True)
    write_pipeline(load_pipeline(_FOLDER), folder)
    assert not (folder / "openvino").exists(), "graphs of other weights would be drawn with"
    assert str(load_pipeline(folder).unet.config.cross_attention_dim) == "128"
    for file in folder.rglob("*.json"):
        assert "_name_or_path" not in json.loads(file.read_text()), file


def test_it_stays_small():
    files = [file for file in _FOLDER.rglob("*") if file.is_file() and file.parent.name != "openvino"]
    assert sum(file.stat().st_size for file in files) <= 20e6
