import math
from itertools import product

import pytest
import torch

from medssl.data.views.swap_patches import SwapPatches


def by_hand(image, parameters, count, side):
    """Swap box by box, voxel by voxel."""
    image = image.clone()
    spatial = image.shape[1:]
    sides = [math.ceil(side * size) for size in spatial]
    for boxes in parameters.reshape(count, 2, len(spatial)):
        first, second = (
            [int(place * (n - s + 1)) for place, n, s in zip(box, spatial, sides, strict=True)]
            for box in boxes.tolist()
        )
        if not any(abs(a - b) >= s for a, b, s in zip(first, second, sides, strict=True)):
            continue
        for step in product(*map(range, sides)):
            one = tuple(a + k for a, k in zip(first, step, strict=True))
            other = tuple(b + k for b, k in zip(second, step, strict=True))
            kept = image[:, *one].clone()
            image[:, *one] = image[:, *other]
            image[:, *other] = kept
    return image


@pytest.mark.parametrize("shape", [(2, 13, 10), (1, 9, 8, 11)])
@pytest.mark.parametrize("side", [0.2, 0.4])
def test_boxes_change_places_pair_after_pair(shape, side):
    images = torch.rand(4, *shape, generator=torch.Generator().manual_seed(0))
    operation = SwapPatches(count=6, side=side)
    drawn = torch.stack(
        [operation.draw(torch.Generator().manual_seed(k), len(shape) - 1) for k in range(4)]
    )
    swapped = operation.apply(images, drawn, range(4))
    for image, parameters, found in zip(images, drawn, swapped, strict=True):
        assert torch.equal(found, by_hand(image, parameters, 6, side))
    assert not torch.equal(swapped, images)


def test_nothing_is_lost_and_nothing_comes_in():
    images = torch.rand(3, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    operation = SwapPatches()
    drawn = torch.stack([operation.draw(torch.Generator().manual_seed(k), 2) for k in range(3)])
    swapped = operation.apply(images, drawn, range(3))
    assert torch.equal(swapped.flatten(1).sort(1).values, images.flatten(1).sort(1).values)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"side": 0.6}, r"side must be in \(0, 0.5\]"), ({"count": 0}, "at least 1 pair, got 0")],
)
def test_boxes_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        SwapPatches(**options)
