"""Our Muon in float32 takes the same steps as torch's Muon in bfloat16."""

import pytest


@pytest.mark.parametrize("shape", [(16, 16), (16, 40), (40, 16)])
def test_matrices_are_made_orthogonal(shape: tuple[int, int]) -> None:
    import torch  # takes seconds: not when tests are collected

    from scripts.train_demo_clip.muon import orthogonalise

    matrices = torch.randn(3, *shape, generator=torch.Generator().manual_seed(1))
    values = torch.linalg.svdvals(orthogonalise(matrices))
    assert values.min() > 0.5
    assert values.max() < 1.3


def test_its_steps_are_those_of_torch() -> None:
    import torch

    from scripts.train_demo_clip.muon import Muon

    generator = torch.Generator().manual_seed(2)
    start = [torch.randn(shape, generator=generator) for shape in ((24, 24), (24, 24), (24, 8), (8, 24))]
    ours, theirs = ([torch.nn.Parameter(matrix.clone()) for matrix in start] for _ in range(2))
    optimisers = (
        Muon(ours, lr=0.02, weight_decay=0.1),
        torch.optim.Muon(theirs, lr=0.02, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw"),
    )
    for _ in range(3):
        gradients = [torch.randn(matrix.shape, generator=generator) for matrix in start]
        for matrices, optimiser in zip((ours, theirs), optimisers, strict=True):
            for matrix, gradient in zip(matrices, gradients, strict=True):
                matrix.grad = gradient.clone()
            optimiser.step()
    for before, mine, reference in zip(start, ours, theirs, strict=True):
        moved = (reference - before).norm()
        assert (mine - reference).norm() < 0.02 * moved
        assert (mine - before).norm() > 0.5 * moved


def test_a_matrix_without_gradient_stays() -> None:
    import torch

    from scripts.train_demo_clip.muon import Muon

    matrix = torch.nn.Parameter(torch.ones(3, 3))
    Muon([matrix], lr=0.1, weight_decay=0.1).step()
    assert torch.equal(matrix, torch.ones(3, 3))
