"""The trained model is the exported one, and the loss accepts captions that fit several pictures."""

import json

import pytest


@pytest.fixture(scope="module")
def tokenizer():
    from scripts.train_demo_clip.tokens import learn_tokenizer  # imports transformers, which takes seconds

    return learn_tokenizer(["a cat on the grass"] * 3, 600)


@pytest.fixture(scope="module")
def model(tokenizer):
    import torch

    from scripts.train_demo_clip.network import build_config, build_model

    torch.manual_seed(0)
    return build_model(build_config(tokenizer)).eval()


def test_training_forward_equals_the_library_s(model):
    import torch
    from transformers import CLIPModel

    from scripts.train_demo_clip.network import encode_images

    pixels = torch.rand(2, 3, 96, 96) * 2 - 1
    plain = CLIPModel(model.config).eval()
    plain.load_state_dict(model.state_dict())
    with torch.inference_mode():
        torch.testing.assert_close(
            encode_images(model, pixels), plain.vision_model(pixel_values=pixels).pooler_output, rtol=1e-3, atol=1e-4
        )


def test_an_exported_model_loads_as_any_other(model, tokenizer, tmp_path):
    import torch
    from transformers import AutoConfig, AutoModel, AutoProcessor, CLIPModel

    from scripts.train_demo_clip.export import export_model
    from scripts.train_demo_clip.network import NOTICE

    export_model(model, tokenizer, tmp_path)
    loaded, processor = AutoModel.from_pretrained(tmp_path), AutoProcessor.from_pretrained(tmp_path)
    assert isinstance(loaded, CLIPModel)
    assert loaded.dtype == torch.float32
    assert processor(text=["a cat"], return_tensors="pt")["input_ids"].shape[0] == 1
    assert AutoConfig.from_pretrained(tmp_path).image2search == {"notice": NOTICE}
    assert json.loads((tmp_path / "preprocessor_config.json").read_text())["crop_size"] == {"height": 96, "width": 96}


def test_pairs_that_are_true_as_well_do_not_count():
    import torch

    from scripts.train_demo_clip.network import contrastive_loss

    rows = torch.nn.functional.normalize(torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), dim=1)
    scale = torch.tensor(3.0)
    nothing = torch.eye(3, dtype=torch.bool)
    twins = nothing.clone()
    twins[0, 1] = twins[1, 0] = True
    assert contrastive_loss(rows, rows, twins, scale) < contrastive_loss(rows, rows, nothing, scale)


def test_a_miscounted_caption_costs_as_much_as_it_resembles_the_picture():
    import torch

    from scripts.train_demo_clip.network import counterfactual_loss

    picture, other = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    scale = torch.tensor(3.0)
    assert counterfactual_loss(picture, picture, other, scale) < 1e-6
    assert counterfactual_loss(picture, picture, picture, scale) == pytest.approx(0.6931, abs=1e-4)
    assert counterfactual_loss(picture, other, picture, scale) > 20
