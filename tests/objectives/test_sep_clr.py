"""SepCLR against the specification's values and properties."""

import math

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from medssl.objectives.sep_clr import SepCLR

IS_TARGET = torch.tensor([False, False, True, True])
CIRCLE = [[1.0, 0], [0, 1], [-1, 0], [0, -1]]
CODES = [
    CIRCLE,
    [[0.6, 0.8], *CIRCLE[1:]],
    [[0.1, 0], [0, 0.2], [1, 0], [0, 2]],
    [[0, 0.1], [0.2, 0], [1, 1], [0, 2]],
]


def nothing(codes):
    return [codes[place].new_zeros(0, codes[place].shape[1]) for place in (0, 2)]


def compare(codes, is_target=IS_TARGET, **options):
    return SepCLR(**options)(*codes, is_target, *nothing(codes))


@pytest.fixture
def codes():
    return [torch.tensor(each, dtype=torch.float64) for each in CODES]


def drawn(items=10, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(items, dim, generator=generator, dtype=dtype) for dim in (5, 5, 3, 3)]


HALF = torch.arange(10) % 2 == 1


def test_the_whole_loss_is_the_specifications(codes):
    loss = compare(codes)
    terms = {name: term.item() for name, term in loss.terms.items()}
    assert terms == pytest.approx(
        {
            "common_alignment": 0.2,
            "common_uniformity": -2.3399886130 - 1.7647357650,
            "salient_alignment": 0.5,
            "salient_uniformity": -1.2156360524 - 1.4252866920,
            "background": 10 * 0.025,
            "joint_entropy": 10 * -1.2030825655,
        },
        abs=1e-6,
    )
    assert loss.total.item() == pytest.approx(-17.8264727650, abs=1e-6)


def test_order_of_items_and_of_views_do_not_matter():
    codes = drawn()
    expected = compare(codes, HALF).total
    order = torch.randperm(10, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(compare([c[order] for c in codes], HALF[order]).total, expected)
    swapped = [codes[place] for place in (1, 0, 3, 2)]
    torch.testing.assert_close(compare(swapped, HALF).total, expected)


def test_of_all_terms_only_the_backgrounds_own_moves_its_salient_code():
    codes = [each.requires_grad_() for each in drawn()]
    terms = compare(codes, HALF).terms
    for name, term in terms.items():
        for gradient in torch.autograd.grad(term, codes[2:], retain_graph=True, allow_unused=True):
            moved = gradient is not None and bool(gradient[~HALF].any())
            assert moved == (name == "background"), name


def test_turning_the_common_code_changes_nothing():
    codes = drawn()
    turned = torch.linalg.qr(drawn(5, seed=1)[0])[0]
    after = compare([codes[0] @ turned, codes[1] @ turned, *codes[2:]], HALF)
    torch.testing.assert_close(after.total, compare(codes, HALF).total)


def test_a_longer_salient_code_costs_its_square_in_the_background_alone():
    codes = drawn()
    longer = [*codes[:2], 3 * codes[2], 3 * codes[3]]
    before, after = compare(codes, HALF).terms, compare(longer, HALF).terms
    torch.testing.assert_close(after["background"], 9 * before["background"])
    for name in ("common_alignment", "common_uniformity"):
        assert torch.equal(after[name], before[name])


def test_a_constant_elsewhere_is_a_shift():
    codes = drawn()
    shifted = [*codes[:2], codes[2] + 2.5, codes[3] + 2.5]
    after = compare(shifted, HALF, constant=2.5)
    torch.testing.assert_close(after.total, compare(codes, HALF).total)
    torch.testing.assert_close(after.notes, compare(codes, HALF).notes)


def test_without_targets_the_salient_code_is_silent_and_the_joint_entropy_the_common_ones():
    codes = drawn()
    loss = compare(codes, torch.zeros(10, dtype=torch.bool))
    assert loss.terms["salient_alignment"] == 0
    assert loss.terms["salient_uniformity"].item() == pytest.approx(0, abs=1e-12)
    assert loss.notes["shared_information"].item() == pytest.approx(0, abs=1e-12)
    assert loss.total.isfinite()
    assert compare(codes, torch.ones(10, dtype=torch.bool)).terms["background"] == 0


@pytest.mark.parametrize("silent", [2, 5, 9])
def test_uniformity_is_written_down_above_what_the_background_leaves_of_it(silent):
    codes = drawn()
    far = [*codes[:2], 1e3 * codes[2], 1e3 * codes[3]]
    is_target = torch.arange(10) >= silent
    loss = compare(far, is_target, salient=1.0, uniform=1.0)
    floor = math.log(silent * (silent - 1) / 90)
    assert loss.terms["salient_uniformity"].item() == pytest.approx(floor)
    assert loss.notes["salient_uniformity_above_floor"].item() == pytest.approx(0, abs=1e-6)


def test_earlier_codes_push_and_are_not_pushed():
    codes = [each.requires_grad_() for each in drawn()]
    past = [drawn(6, seed=2)[place].requires_grad_() for place in (0, 2)]
    loss = SepCLR()(*codes, HALF, *past)
    assert not torch.equal(loss.total, compare(codes, HALF).total)
    near = [codes[place][:6].detach() for place in (0, 2)]
    common = torch.nn.functional.normalize(near[0], dim=1)
    crowded = SepCLR()(*codes, HALF, common, near[1]).terms
    assert crowded["common_uniformity"] > compare(codes, HALF).terms["common_uniformity"]


def test_half_precision_is_widened():
    codes = drawn(dtype=torch.float32)
    exact = compare(codes, HALF).total
    with torch.autocast("cpu", torch.bfloat16):
        half = compare([each.half() for each in codes], HALF).total
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, exact, rtol=1e-3, atol=1e-3)


def test_it_reads_nothing_off_the_device():
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        codes = [mode.from_tensor(each).to("cuda") for each in drawn(dtype=torch.float32)]
        loss = compare(codes, mode.from_tensor(HALF).to("cuda"))
    assert loss.total.device.type == "cuda"


def test_without_joint_entropy_there_is_no_such_term_and_negative_weights_are_refused():
    assert "joint_entropy" not in compare(drawn(), HALF, joint_entropy=0).terms
    with pytest.raises(ValueError, match="must not be negative"):
        SepCLR(background=-1)
