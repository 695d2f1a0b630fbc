"""Captioners as two networks that can be traced: `Picture` looks at a picture once, `Words` finds the next word.

What passes between them is the keys and values that every layer of the text decoder attends to in the picture. So the
picture costs nothing more while words are found. Imports PyTorch.
"""

import math
from typing import Any

import torch

Tensor = torch.Tensor


class GitPicture(torch.nn.Module):
    """Pixels to (N, L, 2, H, P, D): keys and values of P patches in L layers of a GIT.

    The patches attend to each other alone, so no word changes them.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.git = network.git

    def forward(self, pixel_values: Tensor) -> Tensor:
        states = self.git.visual_projection(self.git.image_encoder(pixel_values).last_hidden_state)
        found = []
        for layer in self.git.encoder.layer:
            keys, values = _keys_and_values(layer.attention.self, states)
            found.append(torch.stack([keys, values], dim=1))
            mixed = _joined(torch.softmax(_scores(layer.attention.self, states, keys), dim=-1) @ values)
            states = layer.feed_forward_chunk(layer.attention.output(mixed, states))
        return torch.stack(found, dim=1)


class GitWords(torch.nn.Module):
    """What `GitPicture` gives and tokens (N, B, T) to the logits (N, B, V) of the next token."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.git, self.output = network.git, network.output

    def forward(self, seen: Tensor, tokens: Tensor) -> Tensor:
        pictures, texts, length = tokens.shape
        states = self.git.embeddings(tokens.reshape(pictures * texts, length))
        for number, layer in enumerate(self.git.encoder.layer):
            attention = layer.attention.self
            keys, values = _keys_and_values(attention, states)
            of_words = _scores(attention, states, keys) + _causal(length, states)
            of_picture = _scores_of_picture(attention, states, seen[:, number, 0], texts)
            weights = torch.softmax(torch.cat([of_picture, of_words], dim=-1), dim=-1)
            patches = seen.shape[4]
            mixed = _picture_values(weights[..., :patches], seen[:, number, 1], texts)
            mixed = _joined(mixed + weights[..., patches:] @ values)
            states = layer.feed_forward_chunk(layer.attention.output(mixed, states))
        logits: Tensor = self.output(states[:, -1])
        return logits.reshape(pictures, texts, -1)


class BlipPicture(torch.nn.Module):
    """As `GitPicture`, of a BLIP: the keys and values of its cross-attention."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.vision, self.layers = network.vision_model, network.text_decoder.bert.encoder.layer

    def forward(self, pixel_values: Tensor) -> Tensor:
        states = self.vision(pixel_values=pixel_values)[0]
        return torch.stack(
            [torch.stack(_keys_and_values(layer.crossattention.self, states), dim=1) for layer in self.layers], dim=1
        )


class BlipWords(torch.nn.Module):
    """As `GitWords`, of a BLIP."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.bert, self.head = network.text_decoder.bert, network.text_decoder.cls

    def forward(self, seen: Tensor, tokens: Tensor) -> Tensor:
        pictures, texts, length = tokens.shape
        states = self.bert.embeddings(tokens.reshape(pictures * texts, length))
        for number, layer in enumerate(self.bert.encoder.layer):
            keys, values = _keys_and_values(layer.attention.self, states)
            weights = torch.softmax(_scores(layer.attention.self, states, keys) + _causal(length, states), dim=-1)
            states = layer.attention.output(_joined(weights @ values), states)
            of_picture = _scores_of_picture(layer.crossattention.self, states, seen[:, number, 0], texts)
            mixed = _joined(_picture_values(torch.softmax(of_picture, dim=-1), seen[:, number, 1], texts))
            states = layer.feed_forward_chunk(layer.crossattention.output(mixed, states))
        logits: Tensor = self.head(states[:, -1])
        return logits.reshape(pictures, texts, -1)


GRAPHS = {"git": (GitPicture, GitWords), "blip": (BlipPicture, BlipWords)}
"""By `model_type`."""


def _heads(attention: Any, states: Tensor) -> Tensor:
    """(N, T, H x D) to (N, H, T, D)."""
    return states.view(*states.shape[:2], attention.num_attention_heads, attention.attention_head_size).transpose(1, 2)


def _joined(heads: Tensor) -> Tensor:
    """(N, H, T, D) to (N, T, H x D)."""
    return heads.transpose(1, 2).flatten(2)


def _keys_and_values(attention: Any, states: Tensor) -> tuple[Tensor, Tensor]:
    return _heads(attention, attention.key(states)), _heads(attention, attention.value(states))


def _scores(attention: Any, states: Tensor, keys: Tensor) -> Tensor:
    """(N, H, T, S) of T states and S keys."""
    query = _heads(attention, attention.query(states))
    return query @ keys.transpose(-1, -2) / math.sqrt(attention.attention_head_size)


def _scores_of_picture(attention: Any, states: Tensor, keys: Tensor, texts: int) -> Tensor:
    """(N x B, H, T, P). All B texts of a picture ask for the same keys (N, H, P, D), which are not repeated for it."""
    query = _heads(attention, attention.query(states))
    scores = _together(query, texts) @ keys.transpose(-1, -2) / math.sqrt(attention.attention_head_size)
    return _apart(scores, texts)


def _picture_values(weights: Tensor, values: Tensor, texts: int) -> Tensor:
    """(N x B, H, T, D), the values (N, H, P, D) mixed by the weights (N x B, H, T, P)."""
    return _apart(_together(weights, texts) @ values, texts)


def _together(rows: Tensor, texts: int) -> Tensor:
    """(N x B, H, T, X) to (N, H, B x T, X)."""
    return rows.reshape(-1, texts, *rows.shape[1:]).transpose(1, 2).flatten(2, 3)


def _apart(rows: Tensor, texts: int) -> Tensor:
    """The inverse of `_together`."""
    return rows.reshape(*rows.shape[:2], texts, -1, rows.shape[3]).transpose(1, 2).flatten(0, 1)


def _causal(length: int, like: Tensor) -> Tensor:
    """(T, T): minus infinity where a word would see a later one."""
    ones = torch.ones((length, length), dtype=like.dtype, device=like.device)
    return torch.triu(ones, diagonal=1) * -1.0e9
