"""A network over a volume, window by window, against loops and against one pass."""

import itertools

import numpy as np
import pytest
import torch
from monai.data.utils import compute_importance_map

from medssl.data.crops._cutting import centered, cut, cut_stack
from medssl.inference.sliding_window import SlidingWindow


def pointwise(image):
    """Logits of three classes that depend on each voxel alone."""
    return torch.cat([2 * image[:, :1], -3 * image[:, :1], image[:, :1].square()], dim=1)


def volume(shape, channels=1):
    return torch.randn(channels, *shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("shape", [(9, 8, 7), (3, 11, 5), (4, 4, 4)])
@pytest.mark.parametrize("window", [(4, 4, 4), (4, 6), (16, 16, 16)])
def test_a_network_of_single_voxels_gives_what_one_pass_gives(shape, window):
    image = volume(shape)
    found = SlidingWindow(window_vox=window, batch_vox=90)(pointwise, image, 3)
    torch.testing.assert_close(found, pointwise(image[None])[0].softmax(dim=0))
    assert found.dtype == torch.float32


def test_a_network_of_slices_sees_slices_across_the_third_axis():
    image, seen = volume((6, 5, 4), channels=2), []

    def network(windows):
        seen.extend(windows)
        return pointwise(windows)

    SlidingWindow(window_vox=(6, 5), batch_vox=90)(network, image, 3)
    assert len(seen) == 4
    for number, window in enumerate(seen):
        assert torch.equal(window, image[..., number])


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("thickness", [3, 5])
def test_a_network_of_stacks_sees_each_slice_as_the_crops_of_training_show_it(thickness, channels):
    image, seen = volume((6, 5, 4), channels=channels), []

    def network(windows):
        seen.extend(windows.clone())
        return pointwise(windows)

    window = SlidingWindow(window_vox=(6, 5), thickness=thickness, batch_vox=90)
    found = window(network, image, 3)
    for k, stack in enumerate(seen):
        crop = cut_stack(
            lambda *box: image[:, *box].numpy(), (6, 5, 4), [0, 0, k], (6, 5), thickness=thickness
        )
        np.testing.assert_array_equal(stack, crop)
    # What the network says of a stack is said of its middle slice: of each, its first channel.
    first = torch.stack([stack[:1] for stack in seen])
    torch.testing.assert_close(found, pointwise(first).softmax(dim=1).movedim(0, 3))


def test_stacks_of_one_channel_take_no_memory_of_their_own():
    image = volume((6, 5, 40))
    stacks = SlidingWindow(window_vox=(6, 5), batch_vox=90, thickness=5)._stacks(image)
    assert stacks.shape == (40, 5, 6, 5)
    assert stacks.untyped_storage().nbytes() == 4 * 6 * 5 * (40 + 4)


def test_neighbors_are_averaged_under_a_gaussian():
    def network(windows):
        """Logits that grow along the window's first axis, wherever it lies."""
        ramp = torch.arange(windows.shape[2]).float().view(1, 1, -1, 1, 1)
        return torch.cat([ramp.expand_as(windows), torch.zeros_like(windows)], dim=1)

    image, window = torch.zeros(1, 6, 2, 2), (4, 2, 2)
    found = SlidingWindow(window_vox=window, batch_vox=90)(network, image, 2)
    weight = compute_importance_map(window, mode="gaussian", sigma_scale=0.125).numpy()
    sums, weights = np.zeros((6, 2, 2)), np.zeros((6, 2, 2))
    for start in (0, 2):
        for i, j, k in itertools.product(*map(range, window)):
            sums[start + i, j, k] += weight[i, j, k] * i
            weights[start + i, j, k] += weight[i, j, k]
    np.testing.assert_allclose(found[0], 1 / (1 + np.exp(-sums / weights)), rtol=1e-5)


def test_a_window_beyond_the_volume_is_centered_and_padded_as_a_crop_is():
    seen = []

    def network(windows):
        seen.append(windows.clone())
        return pointwise(windows)

    image = volume((3, 4, 4))
    SlidingWindow(window_vox=(6, 4, 4), batch_vox=90)(network, image, 3)
    crop = cut(lambda *box: image[:, *box].numpy(), (3, 4, 4), [centered(3, 6), 0, 0], (6, 4, 4))
    np.testing.assert_array_equal(seen[0][0], crop)


@pytest.mark.parametrize(("batch_vox", "at_once"), [(1, 1), (59, 1), (60, 2), (90, 3), (10**6, 4)])
def test_as_many_windows_are_seen_at_once_as_there_may_be_voxels(batch_vox, at_once):
    counts = []

    def network(windows):
        counts.append(len(windows))
        return pointwise(windows)

    SlidingWindow(window_vox=(6, 5), batch_vox=batch_vox)(network, volume((6, 5, 4)), 3)
    assert max(counts) == at_once
    assert sum(counts) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"window_vox": (4,)}, r"window_vox must be 2 or 3 positive numbers, got \(4,\)"),
        ({"window_vox": (4, 0, 4)}, r"window_vox must be .* got \(4, 0, 4\)"),
        ({"window_vox": (4, 4), "thickness": 4}, "thickness must be an odd number of .* got 4"),
        ({"window_vox": (4, 4, 4), "thickness": 3}, r"\(4, 4, 4\) are blocks, which have no thick"),
        ({"window_vox": (4, 4), "batch_vox": 0}, "batch_vox must be at least 1 voxel, got 0"),
        ({"window_vox": (4, 4), "overlap": 1.0}, r"overlap must be in \[0, 1\), got 1.0"),
    ],
)
def test_windows_that_cannot_be_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        SlidingWindow(**{"batch_vox": 90} | arguments)
