"""Starting weights with which a small vision transformer learns from little data.

Mimetic initialisation (Trockman & Kolter, arXiv:2305.09828, section 4: alpha = beta = 0.7 for queries and keys, 0.4 for
values and projection) with two-dimensional sine-cosine positions (arXiv:2205.01580).
"""

import torch
from torch import nn
from transformers import CLIPModel

_QUERY_KEY, _VALUE_OUT = 0.7, 0.4
_POSITION_SCALE = 0.7  # sines have a mean square of 1/2, patches of about 1/4
_PATCH_SCALE, _WHITENING_FLOOR = 0.5, 0.02


def start_vision_tower(model: CLIPModel) -> None:
    """Set positions and attention weights of the vision tower in place."""
    tower = model.vision_model
    positions = tower.embeddings.position_embedding.weight
    side = round((positions.shape[0] - 1) ** 0.5)
    with torch.no_grad():
        positions[1:] = _POSITION_SCALE * sine_positions(side, positions.shape[1])
        positions[0] = 0
        for layer in tower.encoder.layers:
            _start_attention(layer.self_attn)


def sine_positions(side: int, width: int) -> torch.Tensor:
    """(side * side, width): sines and cosines of row and column; each takes a quarter of the width."""
    quarter = width // 4
    rates = 1 / 100 ** (torch.arange(quarter) / quarter)
    row, column = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    angles = [place.flatten()[:, None] * rates[None] for place in (row, column)]
    return torch.cat([wave(angle) for angle in angles for wave in (torch.sin, torch.cos)], 1)


def _start_attention(attention: nn.Module) -> None:
    width, size = attention.q_proj.weight.shape[0], attention.head_dim
    for start in range(0, width, size):
        left, right = _factors(_noisy_identity(width, _QUERY_KEY, _QUERY_KEY), size)
        attention.q_proj.weight[start : start + size] = left.T
        attention.k_proj.weight[start : start + size] = right.T
    left, right = _factors(_noisy_identity(width, _VALUE_OUT, -_VALUE_OUT), width)
    attention.v_proj.weight.copy_(left.T)
    attention.out_proj.weight.copy_(right)


def _noisy_identity(width: int, noise: float, identity: float) -> torch.Tensor:
    return noise * torch.randn(width, width) / width**0.5 + identity * torch.eye(width)


def _factors(matrix: torch.Tensor, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    """`left @ right.T` is the best approximation of `matrix` with `rank` columns."""
    u, s, vh = torch.linalg.svd(matrix)
    root = s[:rank].sqrt()
    return u[:, :rank] * root, vh[:rank].T * root


def start_patches(model: CLIPModel, pictures: torch.Tensor) -> None:
    """Make the patch embedding a whitening of real patches, as arXiv:2404.00498 (section 3.2) does for convolutions.

    `pictures` (N, 3, H, W), preprocessed. Neighbouring pixels are similar, so random filters would all see little more
    than the mean colour. Whitened filters see shapes from the first step on.
    """
    kernel = model.vision_model.embeddings.patch_embedding.weight
    width, size = kernel.shape[0], kernel.shape[-1]
    patches = nn.functional.unfold(pictures, size, stride=size).transpose(1, 2).reshape(-1, 3 * size * size)
    variance, basis = torch.linalg.eigh(torch.cov(patches.T))
    leading = basis.flip(1)[:, :width] / (variance.flip(0)[:width, None].T + _WHITENING_FLOOR).sqrt()
    with torch.no_grad():
        kernel.copy_((_PATCH_SCALE * leading.T).view_as(kernel))
