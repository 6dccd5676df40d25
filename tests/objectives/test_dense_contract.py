"""What every objective on partitions or regions keeps, found by its file alone."""

import inspect

import pytest
import torch

from medssl import lookup
from medssl.errors import ConfigError
from medssl.objectives import PairObjective, PartitionObjective, RegionObjective

FAMILY = "medssl.objectives"


def taking(*arguments):
    found = {
        name: inspect.signature(lookup.find(FAMILY, name).forward).parameters.keys()
        for name in lookup.names(FAMILY)
    }
    return [name for name, taken in found.items() if set(arguments) <= taken]


PARTITION, REGION = taking("z", "volume"), taking("regions_a", "regions_b")
ONE_WAY = ["local_partition_contrast"]  # the paper's anchors are of one view alone


def test_there_are_some_of_each():
    assert PARTITION
    assert REGION


def offered(name):
    generator = torch.Generator().manual_seed(0)
    if name in PARTITION:
        volume = torch.arange(4).repeat_interleave(3)
        z = torch.randn(3, 12, 5, dtype=torch.float64, generator=generator)
        fields = {"volume": volume, "part": torch.arange(3).repeat(4), "subject": volume + 7}
        return {"z": z}, fields
    num_regions = len(lookup.build(FAMILY, name).lattice((16, 16)))
    pair = torch.randn(2, 4, num_regions, 5, dtype=torch.float64, generator=generator)
    volume = torch.arange(4) // 2
    fields = {"volume": volume, "part": torch.arange(4) % 2, "subject": volume + 7}
    return dict(zip(("regions_a", "regions_b"), pair, strict=True)), fields


@pytest.fixture(params=PARTITION + REGION)
def case(request):
    """An objective, the features it takes, and what else it takes."""
    objective = lookup.build(FAMILY, request.param)
    features, fields = offered(request.param)
    taken = inspect.signature(objective.forward).parameters
    return objective, features, {key: value for key, value in fields.items() if key in taken}


def test_it_is_what_its_arguments_say(case):
    objective, features, _ = case
    protocol = PartitionObjective if "z" in features else RegionObjective
    assert isinstance(objective, protocol)
    lookup.check_fit(protocol, type(objective).__module__.rpartition(".")[2])


def test_a_method_without_maps_refuses_it_by_name(case):
    name = type(case[0]).__module__.rpartition(".")[2]
    given = (
        r"of which a PairObjective is given only \['z_a', 'z_b', 'group'\]; "
        r"these fit: \['barlow_twins', 'dcl', 'ntxent', 'vicreg'\]"
    )
    with pytest.raises(ConfigError, match=rf"{name} takes \[.*\], {given}"):
        lookup.check_fit(PairObjective, name)


def test_the_total_is_the_sum_of_finite_terms(case):
    objective, features, fields = case
    loss = objective(**features, **fields)
    assert loss.total.isfinite()
    torch.testing.assert_close(loss.total, sum(loss.terms.values()))


def test_the_order_of_views_does_not_matter_but_where_anchors_are_of_one(case):
    objective, features, fields = case
    if "z" in features:
        swapped = {"z": features["z"].flip(0)}
    else:
        swapped = dict(zip(features, reversed(features.values()), strict=True))
    total = objective(**features, **fields).total
    same = torch.allclose(objective(**swapped, **fields).total, total)
    assert same == (type(objective).__module__.rpartition(".")[2] not in ONE_WAY)


def test_the_order_of_items_does_not_matter(case):
    objective, features, fields = case
    axis = 1 if "z" in features else 0
    num_items = next(iter(features.values())).shape[axis]
    order = torch.randperm(num_items, generator=torch.Generator().manual_seed(1))
    shuffled = objective(
        **{key: value.index_select(axis, order) for key, value in features.items()},
        **{key: value[order] for key, value in fields.items()},
    )
    torch.testing.assert_close(shuffled.total, objective(**features, **fields).total)


def test_the_length_of_a_vector_does_not_matter(case):
    objective, features, fields = case
    scaled = {
        key: value
        * torch.tensor([[3.0], [5.0], [7.0]]).repeat(value.shape[1] // 3 + 1, 1)[: value.shape[1]]
        for key, value in features.items()
    }
    total = objective(**features, **fields).total
    torch.testing.assert_close(objective(**scaled, **fields).total, total)


def test_the_gradient_is_the_derivative(case):
    objective, features, fields = case
    values = [value.requires_grad_() for value in features.values()]

    def total(*changed):
        return objective(**dict(zip(features, changed, strict=True)), **fields).total

    assert torch.autograd.gradcheck(total, values)


def test_it_computes_in_float32_whatever_surrounds_it(case):
    objective, features, fields = case
    single = {key: value.float() for key, value in features.items()}
    expected = objective(**single, **fields).total
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(objective(**single, **fields).total, expected, rtol=0, atol=0)
    half = {key: value.bfloat16() for key, value in features.items()}
    assert objective(**half, **fields).total.dtype == torch.float32


def test_the_inputs_are_left_as_they_were(case):
    objective, features, fields = case
    before = {key: value.clone() for key, value in (features | fields).items()}
    objective(**features, **fields)
    for key, value in (features | fields).items():
        torch.testing.assert_close(value, before[key], rtol=0, atol=0)


def test_a_vector_of_zeros_has_a_finite_gradient(case):
    objective, features, fields = case
    values = {key: torch.zeros_like(value).requires_grad_() for key, value in features.items()}
    objective(**values, **fields).total.backward()
    assert all(value.grad.isfinite().all() for value in values.values())
