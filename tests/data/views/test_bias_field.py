import numpy as np
import pytest
import torch

from medssl.data.views.bias_field import BiasField

SHAPES = [(3, 2, 9, 12), (3, 1, 9, 8, 7), (3, 1, 6, 5, 1)]


@pytest.fixture(params=SHAPES)
def images(request):
    return 2 * torch.rand(request.param, generator=torch.Generator().manual_seed(0)) - 0.5


def drawn(operation, count, spatial_dims):
    generator = torch.Generator().manual_seed(1)
    return torch.stack([operation.draw(generator, spatial_dims) for _ in range(count)])


def literal_field(coefficients, spatial):
    """The exponential of the polynomial, voxel by voxel and term by term."""
    field = np.zeros(spatial)
    for voxel in np.ndindex(*spatial):
        place = [2 * v / (s - 1) - 1 if s > 1 else 0.0 for v, s in zip(voxel, spatial, strict=True)]
        for powers in np.ndindex(*coefficients.shape):
            term = np.prod([x**power for x, power in zip(place, powers, strict=True)])
            field[voxel] += coefficients[powers] * term
    return np.exp(field)


@pytest.mark.parametrize("order", [1, 3])
def test_a_view_is_times_the_exponential_of_its_polynomial(images, order):
    operation = BiasField(order=order)
    spatial = images.shape[2:]
    parameters = drawn(operation, 3, len(spatial))
    found = operation.apply(images, parameters, [])
    for view in range(3):
        coefficients = parameters[view].double().numpy().reshape((order + 1,) * len(spatial))
        expected = images[view].double().numpy() * literal_field(coefficients, spatial)
        np.testing.assert_allclose(found[view], expected, atol=1e-5)
    assert found.dtype == torch.float32


@pytest.mark.parametrize(("spatial_dims", "terms"), [(2, 9), (3, 19)])
def test_coefficients_fill_their_range_up_to_the_order_but_for_the_constant(spatial_dims, terms):
    operation = BiasField(coefficient=0.2, order=3)
    values = drawn(operation, 2000, spatial_dims).unflatten(1, (4,) * spatial_dims)
    used = (values != 0).any(0)
    assert used.sum() == terms
    assert all(0 < sum(powers) <= 3 for powers in used.nonzero().tolist())
    assert values[:, used].min(0).values.tolist() == pytest.approx([-0.2] * terms, abs=0.01)
    assert values[:, used].max(0).values.tolist() == pytest.approx([0.2] * terms, abs=0.01)


def test_no_coefficient_changes_no_bit(images):
    operation = BiasField(coefficient=0.0)
    parameters = drawn(operation, 3, images.ndim - 2)
    assert torch.equal(operation.apply(images, parameters, []), images)


def test_a_background_of_0_stays_0(images):
    operation = BiasField()
    background = images < 0.2
    images[background] = 0
    found = operation.apply(images, drawn(operation, 3, images.ndim - 2), [])
    assert found[background].eq(0).all()
    assert found[~background].ne(0).all()


def test_a_batch_gives_what_each_view_alone_gives(images):
    operation = BiasField()
    parameters = drawn(operation, 3, images.ndim - 2)
    alone = [operation.apply(images[k : k + 1], parameters[k : k + 1], []) for k in range(3)]
    together = operation.apply(images, parameters, [])
    torch.testing.assert_close(together, torch.cat(alone), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"coefficient": -0.1}, "coefficient must not be below 0, got -0.1"),
        ({"order": 0}, "order must be at least 1, got 0"),
    ],
)
def test_what_is_no_polynomial_is_refused(arguments, line):
    with pytest.raises(ValueError, match=line):
        BiasField(**arguments)
