"""After the last attention a tower computes only the token that it pools, and its vectors stay the same."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from app.models.agreement import TEXTS, sample_pictures
from app.models.base import ModelInputs
from app.models.checkpoint import find_checkpoint
from app.models.hugging_face import SourceModel
from app.models.openvino.core import CORE
from app.models.openvino.pooling import pool_early
from app.settings import ModelSettings
from app.types import Vectors

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

WIDTH, TOKENS = 8, 5


def run(network: Any, inputs: ModelInputs) -> Vectors:
    """The tower's vectors, computed in float32."""
    rows = CORE.compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(inputs)[0]
    return np.array(rows)


def is_for_one_token(network: Any, kind: str, name: str = "") -> list[bool]:
    """For each operation of this kind whose name contains `name`: whether it computes one token only."""
    return [
        node.output(0).get_partial_shape()[1] == 1
        for node in network.get_ordered_ops()
        if node.get_type_name() == kind and name in node.get_friendly_name()
    ]


@pytest.mark.parametrize(
    ("model", "kind", "feed_forward"),
    [
        ("tiny_clip", "text", "layers.{}.mlp"),
        ("tiny_clip", "image", "layers.{}.mlp"),
        ("tiny_siglip", "text", "layers.{}.mlp"),
        ("tiny_vision_text", "text", "layer.{}.intermediate"),
        ("tiny_vision_text", "image", "layers.{}.mlp"),
    ],
)
def test_the_last_feed_forward_is_for_one_token(
    request: pytest.FixtureRequest, model: str, kind: str, feed_forward: str
) -> None:
    from app.models.openvino.tracing import trace_tower

    source = SourceModel(find_checkpoint(ModelSettings(name=str(request.getfixturevalue(model)))))
    prepare = source.prepare
    inputs = prepare.texts(TEXTS) if kind == "text" else prepare.images(sample_pictures())
    network = trace_tower(source.load_network().eval(), kind, inputs)
    before = run(network, inputs)
    pool_early(network)
    first, last = (is_for_one_token(network, "MatMul", feed_forward.format(layer)) for layer in (0, 1))
    assert len(first) == len(last) > 0
    assert not any(first)
    assert all(last)
    np.testing.assert_allclose(run(network, inputs), before, atol=1e-5)


def tower(pool: Callable[["Tensor"], "Tensor"]) -> "Module":
    """Two linear layers over tokens, then `pool`."""
    import torch

    class Tower(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.first, self.last = torch.nn.Linear(WIDTH, WIDTH), torch.nn.Linear(WIDTH, WIDTH)
            self.norm, self.places = torch.nn.LayerNorm(WIDTH), torch.nn.Parameter(torch.randn(TOKENS, WIDTH))

        def get_image_features(self, pixel_values: torch.Tensor) -> torch.Tensor:
            tokens = torch.softmax(self.first(pixel_values), dim=1)  # sees all tokens
            return pool(self.norm(self.last(tokens) * 2 + self.places))

    return Tower().eval()


def by_content(tokens: "Tensor") -> "Tensor":
    """Picks the token after the largest of some numbers, as CLIP finds the end token."""
    import torch

    return tokens[torch.arange(len(tokens)), (tokens[:, :, 0] * 0).argmax(dim=1) + 2]


@pytest.mark.parametrize(
    ("pool", "is_early"),
    [
        (lambda tokens: tokens[:, 0], True),
        (lambda tokens: tokens[:, -1], True),
        (by_content, False),
        (lambda tokens: tokens.mean(dim=1), False),
        (lambda tokens: tokens[:, 0] + tokens.amax(dim=1), False),
        (lambda tokens: tokens[:, 0] + tokens[:, 1], False),
        (lambda tokens: tokens.cumsum(dim=1)[:, 2], False),
        (lambda tokens: tokens[:, :, 3], False),
    ],
    ids=["first", "last", "by content", "mean", "one and the largest", "two", "after a sum", "a feature"],
)
def test_other_ways_of_pooling_keep_their_work_and_their_vectors(
    pool: Callable[["Tensor"], "Tensor"], is_early: bool
) -> None:
    from app.models.openvino.tracing import trace_tower

    inputs = {"pixel_values": np.random.default_rng(0).standard_normal((3, TOKENS, WIDTH)).astype(np.float32)}
    network = trace_tower(tower(pool), "image", inputs)
    before = run(network, inputs)
    pool_early(network)
    np.testing.assert_allclose(run(network, inputs), before, atol=1e-5)
    assert is_for_one_token(network, "MVN") == [is_early]
