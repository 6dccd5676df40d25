"""Dice with cross entropy against the sums written out, and against MONAI's."""

import numpy as np
import pytest
import torch
from monai.losses import DiceCELoss

from medssl.objectives.dice_cross_entropy import DiceCrossEntropy


def case(shape=(3, 4, 5, 2, 3)):
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(shape, dtype=torch.float64, generator=generator)
    label = torch.randint(shape[1], (shape[0], *shape[2:]), generator=generator)
    return logits, label


def literal(logits, label, *, background, pooled, smooth):
    """Both terms as loops over items, classes and voxels."""
    items, classes = logits.shape[:2]
    logits = logits.numpy().reshape(items, classes, -1)
    label = label.numpy().reshape(items, -1)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    entropies = [
        -np.log(probabilities[n, label[n, v], v])
        for n in range(items)
        for v in range(label.shape[1])
    ]
    shared, total = np.zeros((items, classes)), np.zeros((items, classes))
    for n in range(items):
        for c in range(classes):
            for v in range(label.shape[1]):
                shared[n, c] += probabilities[n, c, v] * (label[n, v] == c)
                total[n, c] += probabilities[n, c, v] + (label[n, v] == c)
    if pooled:
        shared, total = shared.sum(axis=0, keepdims=True), total.sum(axis=0, keepdims=True)
    kept = range(0 if background else 1, classes)
    losses = [
        1 - (2 * shared[n, c] + smooth) / (total[n, c] + smooth)
        for n in range(len(shared))
        for c in kept
    ]
    return {"dice": np.mean(losses), "cross_entropy": np.mean(entropies)}


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("shape", [(3, 4, 5, 2, 3), (2, 3, 4, 5)])
def test_the_terms_are_the_sums_written_out(background, pooled, shape):
    logits, label = case(shape)
    how = {"background": background, "pooled": pooled, "smooth": 0.7}
    terms = DiceCrossEntropy(dice=3.0, cross_entropy=5.0, **how)(logits, label).terms
    expected = literal(logits, label, **how)
    assert terms["dice"].item() == pytest.approx(3 * expected["dice"])
    assert terms["cross_entropy"].item() == pytest.approx(5 * expected["cross_entropy"])


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("pooled", [False, True])
def test_the_total_is_monais(background, pooled):
    logits, label = case()
    oracle = DiceCELoss(
        include_background=background,
        to_onehot_y=True,
        softmax=True,
        batch=pooled,
        lambda_dice=3.0,
        lambda_ce=5.0,
    )
    ours = DiceCrossEntropy(dice=3.0, cross_entropy=5.0, background=background, pooled=pooled)
    torch.testing.assert_close(ours(logits, label).total, oracle(logits, label[:, None]))


def test_a_certain_and_right_answer_costs_nothing_and_a_wrong_one_much():
    _, label = case()
    logits = 60 * torch.nn.functional.one_hot(label).movedim(-1, 1).double()
    assert DiceCrossEntropy()(logits, label).total.item() == pytest.approx(0, abs=1e-6)
    assert DiceCrossEntropy()(logits.roll(1, dims=1), label).terms["dice"] > 0.99


def test_the_gradient_is_the_derivative():
    logits, label = case((2, 3, 2, 3))
    objective = DiceCrossEntropy(dice=3.0, cross_entropy=5.0)
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: objective(x, label).total, logits)


def test_it_computes_in_float32_whatever_surrounds_it():
    logits, label = case()
    expected = DiceCrossEntropy()(logits.float(), label).total
    with torch.autocast("cpu", torch.bfloat16):
        inside = DiceCrossEntropy()(logits.float(), label).total
    torch.testing.assert_close(inside, expected, rtol=0, atol=0)
    assert DiceCrossEntropy()(logits.bfloat16(), label).total.dtype == torch.float32


def test_a_single_class_is_refused_by_name():
    with pytest.raises(ValueError, match=r"DiceCrossEntropy needs at least 2 classes, got 1"):
        DiceCrossEntropy()(torch.zeros(1, 1, 4, 4), torch.zeros(1, 4, 4, dtype=torch.long))
