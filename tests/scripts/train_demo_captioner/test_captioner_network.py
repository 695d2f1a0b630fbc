"""The trained captioner is the exported one, a step lowers its loss, and the shipped model knows its samples."""

from pathlib import Path

import pytest

SHIPPED = Path("models/demo-captioner")
WORDS = ["a", "two", "cat", "cats", "on", "the", "grass"]
# One thing that each sample shows, as the model should call it.
SHOWN = {
    "animals/cat-on-grass": "cat", "animals/dog-in-snow": "dog", "animals/three-penguins-in-snow": "three penguins",
    "animals/lion-on-sand": "lion", "animals/two-zebras-on-grass": "two zebras", "animals/owl-at-night": "owl",
    "animals/crab-on-sand": "crab", "animals/turtle-on-sand": "turtle", "buildings/castle-at-night": "castle",
    "buildings/church-in-snow": "church", "food/pineapple-on-pink": "pineapple", "food/pear-on-white": "pear",
    "food/three-carrots-on-orange": "three", "vehicles/helicopter-in-the-sky": "helicopter",
    "vehicles/blue-car-on-white": "blue", "vehicles/bus-on-grass": "bus",
}  # fmt: skip
FLOOR = 0.6


@pytest.fixture(scope="module")
def tokenizer():
    from scripts.train_demo_captioner.tokens import build_tokenizer  # imports transformers, which takes seconds

    return build_tokenizer(WORDS)


@pytest.fixture
def clip():
    import torch
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(1)
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    vision = {**small, "image_size": 96, "patch_size": 16, "hidden_act": "gelu"}
    return CLIPModel(CLIPConfig(text_config={**small, "vocab_size": 9}, vision_config=vision, projection_dim=32)).eval()


@pytest.fixture
def model(clip, tokenizer):
    import torch

    from scripts.train_demo_captioner.network import build_model

    torch.manual_seed(2)
    return build_model(clip, tokenizer).eval()


@pytest.fixture
def batch(tokenizer):
    import torch

    pixels = torch.randint(0, 256, (4, 3, 96, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))
    texts = ["a cat on the grass", "two cats on the grass"] * 2
    return pixels, tokenizer(texts, padding="max_length", max_length=12, return_tensors="pt")["input_ids"]


def test_the_tower_sees_as_the_clip_does(clip, model, batch):
    import torch

    pixels = batch[0] / 255
    with torch.inference_mode():
        seen = model.git.image_encoder(pixel_values=pixels).last_hidden_state[:, 0]
        torch.testing.assert_close(seen, clip.vision_model(pixel_values=pixels).pooler_output, rtol=1e-4, atol=1e-4)


def test_training_forward_equals_the_library_s(model, batch):
    import torch

    from scripts.train_demo_captioner.network import Student

    pixels, tokens = batch[0] / 255, batch[1]
    with torch.inference_mode():
        expected = model(input_ids=tokens, pixel_values=pixels).logits[:, -tokens.shape[1] :]
        student = Student(model)
        torch.testing.assert_close(
            student.decode(student.encode_images(pixels), tokens), expected, rtol=1e-3, atol=1e-4
        )


def test_the_decoder_starts_with_clip_s_opinion_of_each_noun(clip, model, tokenizer):
    import torch
    from torch.nn.functional import normalize

    from scripts.train_demo_captioner.initial import start_decoder
    from scripts.train_demo_captioner.network import Student
    from scripts.train_demo_captioner.sentences import Noun
    from scripts.train_demo_clip.tokens import learn_tokenizer

    nouns = [Noun("cat", "cats"), Noun("grass", "grass"), Noun("two", "two")]
    pictures = (
        torch.rand(24, 3, 96, 96, generator=torch.Generator().manual_seed(4))
        * torch.linspace(0, 2, 24)[:, None, None, None]
    )
    clip_words = learn_tokenizer(["a cat", "a grass", "a two"] * 3, 600)
    clip.text_model.resize_token_embeddings(len(clip_words))
    start_decoder(model, clip, tokenizer, clip_words, nouns, pictures)
    with torch.inference_mode():
        student = Student(model)
        start = torch.full((24, 1), tokenizer.bos_token_id)
        logits = student.decode(student.encode_images(pictures), start)[:, 0]
        said = logits[:, tokenizer.convert_tokens_to_ids([noun.one for noun in nouns])]
        tokens = clip_words([f"a {noun.one}" for noun in nouns], padding=True, return_tensors="pt")
        words = normalize(clip.text_projection(clip.text_model(**tokens).pooler_output), dim=1)
        seen = clip.visual_projection(clip.vision_model(pixel_values=pictures).pooler_output)
        meant = normalize(seen - seen.mean(0), dim=1) @ normalize(words - words.mean(0), dim=1).T
    for own, clips in zip((said - said.mean(0)).T, (meant - meant.mean(0)).T, strict=True):
        assert torch.corrcoef(torch.stack([own, clips]))[0, 1] > 0.7


def test_steps_lower_the_loss_and_a_restored_learner_goes_on_alike(clip, model, tokenizer, batch):
    import torch

    from scripts.train_demo_captioner.network import build_model
    from scripts.train_demo_captioner.train import Learner, read_plan

    plan, cpu = read_plan(["--pictures", "400", "--batch", "4"]), torch.device("cpu")
    learner = Learner(model, plan, cpu)
    losses = [learner.learn(batch).item() for _ in range(12)]
    assert losses[-1] < 0.9 * losses[0]
    other = Learner(build_model(clip, tokenizer), plan, cpu)
    other.restore(learner.state())
    assert other.learn(batch).item() == pytest.approx(learner.learn(batch).item(), rel=1e-3)


def test_a_frozen_tower_does_not_move(model, batch):
    import torch

    from scripts.train_demo_captioner.train import Learner, read_plan

    learner = Learner(model, read_plan(["--pictures", "400", "--batch", "4"]), torch.device("cpu"))
    tower = model.git.image_encoder
    before = [value.clone() for value in tower.parameters()]
    learner.learn(batch)
    assert all(torch.equal(old, new) for old, new in zip(before, tower.parameters(), strict=True))


def test_an_exported_model_loads_as_any_other(model, tokenizer, tmp_path, batch):
    import torch
    from transformers import AutoConfig, AutoModelForImageTextToText, AutoTokenizer, GitForCausalLM

    from scripts.train_demo_captioner.network import NOTICE, export_model

    export_model(model, tokenizer, tmp_path)
    loaded = AutoModelForImageTextToText.from_pretrained(tmp_path)
    assert isinstance(loaded, GitForCausalLM)
    assert loaded.dtype == torch.float32
    assert AutoConfig.from_pretrained(tmp_path).image2search == {"notice": NOTICE}
    rows = loaded.generate(pixel_values=batch[0] / 255, max_new_tokens=4)
    assert rows.shape == (4, 5)
    words = AutoTokenizer.from_pretrained(tmp_path)
    assert (
        words.decode(words("two cats on the grass")["input_ids"], skip_special_tokens=True) == "two cats on the grass"
    )


def test_the_shipped_model_names_what_its_samples_show():
    from scripts.train_demo_captioner.evaluate import Speaker, open_picture

    captions = Speaker(SHIPPED).caption([open_picture(Path("samples") / f"{key}.jpg") for key in SHOWN])
    right = [word in caption for word, caption in zip(SHOWN.values(), captions, strict=True)]
    assert sum(right) >= FLOOR * len(right), dict(zip(SHOWN, captions, strict=True))
    assert sum(path.stat().st_size for path in SHIPPED.glob("*.safetensors")) < 15e6
