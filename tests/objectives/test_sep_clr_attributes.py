"""SepCLR with known attributes against the specification's value and against loops."""

import math

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional

from medssl.objectives.sep_clr_attributes import SepCLRAttributes, attribute_alignment

IS_TARGET = torch.tensor([False, True, True, False, True, True, True])
CATEGORICAL = torch.tensor([True, False, False])


def drawn(seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    common_a, common_b, salient = (
        torch.randn(7, dim, generator=generator, dtype=dtype) for dim in (4, 4, 3)
    )
    attributes = torch.randn(7, 3, generator=generator, dtype=dtype) * 0.2
    attributes[:, 0] = torch.tensor([0, 1, 2, 0, 1, 2, 1], dtype=dtype)
    attributes[~IS_TARGET] = 0
    return [common_a, common_b, salient, attributes]


def compare(codes, is_target=IS_TARGET, **options):
    common_a, common_b, salient, attributes = codes
    return SepCLRAttributes(**options)(
        common_a, common_b, salient, is_target, attributes, CATEGORICAL
    )


def kernel(u, v):
    return math.exp(-float((u - v).square().sum()))


def by_loops(codes):
    """The supervised loss as the specification writes it, pair by pair."""
    unit = [functional.normalize(each, dim=1) for each in codes[:2]]
    salient, attributes = codes[2:]
    items = range(7)
    background = [i for i in items if not IS_TARGET[i]]
    targets = [i for i in items if IS_TARGET[i]]
    silenced = salient.clone()
    silenced[~IS_TARGET] = 0
    pairs = [(i, j) for i in items for j in items if i < j]

    def uniformity(codes):
        return math.log(sum(kernel(codes[i], codes[j]) for i, j in pairs) / len(pairs))

    aligned = sum(float((unit[0][i] - unit[1][i]).square().sum()) for i in items) / 7
    common = aligned + (uniformity(unit[0]) + uniformity(unit[1])) / 2
    total = 0.0
    for a in range(3):
        width, tau = (1e-5, 0.5) if CATEGORICAL[a] else (2 * 0.025, 0.025)
        own = [(i, j) for i, j in pairs if i in targets and j in targets]
        alike = sum(
            math.exp(-(float(attributes[i, a] - attributes[j, a]) ** 2) / width)
            * float(salient[i, a] - salient[j, a]) ** 2
            for i, j in own
        ) / len(own)
        silence = sum(float(salient[i, a]) ** 2 / (2 * tau) for i in background) / len(background)
        total += uniformity(silenced[:, a : a + 1]) + (alike + silence) / 2
    joint = (
        sum(
            math.log(
                sum(
                    kernel(unit[0][i], unit[0][j]) * kernel(silenced[i], silenced[j]) for j in items
                )
                / 7
            )
            for i in items
        )
        / 7
    )
    return common + 100 * total / 3 + 10 * joint


def test_alignment_of_one_attribute_is_the_specifications():
    salient, attribute = torch.tensor([[0.0], [1], [3]]), torch.tensor([[0.0], [0.1], [0.5]])
    found = attribute_alignment(
        salient, attribute, torch.tensor([False]), torch.ones(3, dtype=torch.bool)
    )
    assert found.item() == pytest.approx(0.3474736973, abs=1e-6)


def test_the_whole_loss_is_that_of_loops():
    codes = drawn()
    loss = compare(codes)
    assert loss.total.item() == pytest.approx(by_loops(codes), rel=1e-9)
    torch.testing.assert_close(loss.total, sum(loss.terms.values()))


def test_classes_are_alike_where_they_are_one_and_nowhere_else():
    salient, attribute = torch.tensor([[0.0], [1], [3]]), torch.tensor([[4.0], [5], [4]])
    everybody, categorical = torch.ones(3, dtype=torch.bool), torch.tensor([True])
    found = attribute_alignment(salient, attribute, categorical, everybody)
    assert found.item() == pytest.approx(9 / 3)


def test_a_target_alone_has_no_pair_to_be_alike():
    alone = torch.arange(7) == 1
    codes = drawn()
    assert compare(codes, alone).terms["salient_alignment"] == 0
    none = torch.zeros(7, dtype=torch.bool)
    assert compare(codes, none).total.isfinite()
    assert compare(codes, ~none).terms["background"] == 0


def test_what_attributes_the_background_has_changes_nothing():
    codes = drawn()
    other = [*codes[:3], codes[3].clone()]
    other[3][~IS_TARGET] = 5.0
    assert compare(other).total == compare(codes).total


def test_of_all_terms_only_the_backgrounds_own_moves_its_salient_code():
    codes = drawn()
    codes[2].requires_grad_()
    terms = compare(codes).terms
    for name in terms.keys() - {"common_alignment", "common_uniformity"}:
        term = terms[name]
        (gradient,) = torch.autograd.grad(term, codes[2], retain_graph=True, allow_unused=True)
        moved = gradient is not None and bool(gradient[~IS_TARGET].any())
        assert moved == (name == "background"), name


def test_the_gradient_is_the_derivative():
    codes = drawn()
    leaves = [each.requires_grad_() for each in codes[:3]]
    assert torch.autograd.gradcheck(lambda *c: compare([*c, codes[3]]).total, leaves)


def test_the_order_of_items_and_of_attributes_does_not_matter():
    codes = drawn()
    expected = compare(codes).total
    order = torch.randperm(7, generator=torch.Generator().manual_seed(1))
    shuffled = compare([each[order] for each in codes], IS_TARGET[order]).total
    torch.testing.assert_close(shuffled, expected)
    turned = [2, 0, 1]
    mixed = SepCLRAttributes()(
        *codes[:2], codes[2][:, turned], IS_TARGET, codes[3][:, turned], CATEGORICAL[turned]
    )
    torch.testing.assert_close(mixed.total, expected)


def test_it_computes_in_float32_whatever_surrounds_it():
    codes = drawn(dtype=torch.float32)
    expected = compare(codes).total
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(compare(codes).total, expected)
    half = [each.half() for each in codes]
    assert compare(half).total.dtype == torch.float32
    far = [*codes[:2], 100 * codes[2], codes[3]]
    assert compare(far).total.isfinite()


def test_there_is_no_synchronization_with_a_device():
    with FakeTensorMode(allow_non_fake_inputs=False):
        codes = [torch.randn(7, dim, device="cuda") for dim in (4, 4, 3, 3)]
        flags = torch.zeros(7, dtype=torch.bool, device="cuda")
        kinds = torch.zeros(3, dtype=torch.bool, device="cuda")
        loss = SepCLRAttributes()(*codes[:3], flags, codes[3], kinds)
        assert loss.total.device.type == "cuda"


def test_another_number_of_coordinates_than_attributes_is_refused():
    codes = drawn()
    with pytest.raises(ValueError, match="coordinate for each of 2 attributes, got 3; set the"):
        SepCLRAttributes()(*codes[:3], IS_TARGET, codes[3][:, :2], CATEGORICAL[:2])


def test_weights_are_not_negative():
    with pytest.raises(ValueError, match="must not be negative"):
        SepCLRAttributes(joint_entropy=-1)
