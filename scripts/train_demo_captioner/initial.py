"""Starting weights of the decoder, so that it names things from its first step as the demo CLIP does.

CLIP's own projections bring the picture's class token and every noun into one space. The decoder's first layer copies
the class token to each place of the text, and the output's rows are the nouns' features: a noun scores as in CLIP.
"""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional
from transformers import CLIPModel, CLIPTokenizer, GitForCausalLM, PreTrainedTokenizerFast

from scripts.train_demo_captioner.sentences import Noun, with_article

_NOUN_SCALE = 1.5  # rows of the output meet hidden rows with a norm of about 14: scores of 20 times the cosine
_COPY = 1.5  # the copied token against what stands at the place itself
_FOCUS = 10.0  # how much higher the class token scores in the first layer's attention


@torch.no_grad()
def start_decoder(
    model: GitForCausalLM, clip: CLIPModel, words: PreTrainedTokenizerFast, clip_words: CLIPTokenizer,
    nouns: Sequence[Noun], pictures: torch.Tensor,
) -> None:  # fmt: skip
    """Set the weights in place; `pictures` (N, 3, H, W), preprocessed, are a sample to take averages of."""
    seen = clip.vision_model(pixel_values=pictures).last_hidden_state
    seen = clip.vision_model.post_layernorm(seen)
    _start_projection(model.git.visual_projection.visual_projection[0], clip, seen)
    tokens = model.git.visual_projection(seen)
    sign = _class_sign(tokens)
    _start_copying(model.git.encoder.layer[0].attention, sign)
    places = model.git.embeddings.position_embeddings.weight
    places -= 2 * places.norm(dim=1).mean() * sign / sign.norm()  # the text is not what it looks for
    _start_output(model.output, words, nouns, _noun_features(clip, clip_words, nouns))


def _start_projection(projection: nn.Linear, clip: CLIPModel, seen: torch.Tensor) -> None:
    projection.weight.copy_(clip.visual_projection.weight)
    projection.bias.copy_(-clip.visual_projection(seen[:, 0]).mean(0))


def _class_sign(tokens: torch.Tensor) -> torch.Tensor:
    """(W,): Fisher's direction; its product with a class token is 1 higher than with a patch, on average."""
    own, patches = tokens[:, 0], tokens[:, 1:].flatten(0, 1)
    spread = torch.cov(own.T) + torch.cov(patches.T)
    difference = own.mean(0) - patches.mean(0)
    sign = torch.linalg.solve(spread + 0.01 * torch.eye(len(spread)), difference)
    return sign / (sign @ difference)


def _start_copying(attention: nn.Module, sign: torch.Tensor) -> None:
    """Every head of a `GitAttention` looks for the class token."""
    reading = attention.self
    size, width = reading.attention_head_size, len(sign)
    for start in range(0, width, size):
        reading.key.weight[start] = sign
        reading.query.weight[start] = 0
        reading.query.bias[start] = _FOCUS * size**0.5
    for matrix in (reading.value.weight, attention.output.dense.weight):
        matrix.copy_(_COPY**0.5 * torch.eye(width))


def _noun_features(clip: CLIPModel, words: CLIPTokenizer, nouns: Sequence[Noun]) -> torch.Tensor:
    """(N, W) unit rows of the shared space; what all nouns have in common is taken out."""
    texts = [with_article(f"{noun.colour} {noun.one}" if noun.colour else noun.one) for noun in nouns]
    tokens = words(texts, padding=True, truncation=True, return_tensors="pt")
    rows = functional.normalize(clip.text_projection(clip.text_model(**tokens).pooler_output), dim=-1)
    return functional.normalize(rows - rows.mean(0), dim=-1)


def _start_output(
    output: nn.Linear, words: PreTrainedTokenizerFast, nouns: Sequence[Noun], features: torch.Tensor
) -> None:
    """The row of a word is the mean of the nouns that have it; "of" and "pair" stand in many and mean little."""
    own: dict[str, list[int]] = {}
    for number, noun in enumerate(nouns):
        for word in {*noun.one.split(), *noun.many.split()}:
            own.setdefault(word, []).append(number)
    for word, numbers in own.items():
        output.weight[words.convert_tokens_to_ids(word)] = _NOUN_SCALE * features[numbers].mean(0)
