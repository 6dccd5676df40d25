import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from medssl.data.view_plans import plan
from medssl.data.view_work import carry_out
from medssl.data.views.crop_resize import CropResize


def test_a_box_of_whole_voxels_is_what_torch_resizes():
    image = torch.rand(1, 1, 12, 8, generator=torch.Generator().manual_seed(0))
    # Of twelve voxels six, from 1; of eight voxels four, from 3.
    place = torch.tensor([[0.5, (1 - 3) / 3, (3 - 2) / 2]])
    matrix = CropResize().matrix(place, (12, 8))
    planned = plan([], [0], (12, 8))._replace(
        moved=[0], matrices=matrix, bends=torch.zeros(1, 2, 0, 0)
    )
    box = image[..., 1:7, 3:7]
    resized = interpolate(box, size=(12, 8), mode="bilinear", align_corners=False)
    # At the border of the box torch repeats it, where here the image goes on.
    found = carry_out(planned, image)
    torch.testing.assert_close(found[..., 1:-1, 1:-1], resized[..., 1:-1, 1:-1])


@pytest.mark.parametrize("spatial", [(12, 8), (12, 8, 6)])
@pytest.mark.parametrize("through_plane", [False, True])
def test_boxes_of_the_ratio_reach_both_borders_and_leave_neither(spatial, through_plane):
    operation = CropResize(ratio=(0.4, 0.6), through_plane=through_plane)
    matrices = plan([operation], range(400), spatial).matrices.numpy()
    dims = len(spatial)
    corners = np.array([matrices[:, :dims, :dims] @ (np.array(spatial) / 2 * s) for s in (-1, 1)])
    lower, upper = (corners + matrices[:, :dims, dims]) / np.array(spatial) + 0.5
    cut = slice(None) if through_plane else slice(2)
    ratios = (upper - lower)[:, cut]
    assert 0.4 <= ratios.min() + 1e-6 < 0.41
    assert 0.59 < ratios.max() <= 0.6 + 1e-6
    np.testing.assert_allclose(ratios, np.repeat(ratios[:, :1], ratios.shape[1], 1), atol=1e-6)
    assert -1e-6 <= lower[:, cut].min() < 0.02
    assert 0.98 < upper[:, cut].max() <= 1 + 1e-6
    if dims == 3 and not through_plane:
        assert set(lower[:, 2]) == {0}
        assert set(upper[:, 2]) == {1}


def test_the_whole_image_keeps_every_bit():
    image = torch.rand(1, 2, 5, 6, 7, generator=torch.Generator().manual_seed(0))
    planned = plan([CropResize(ratio=(1.0, 1.0), through_plane=True)], [0], (5, 6, 7))
    assert torch.equal(carry_out(planned, image), image)


@pytest.mark.parametrize("ratio", [(0.0, 0.5), (0.6, 0.5), (0.5, 1.5)])
def test_a_ratio_that_is_none_is_refused(ratio):
    with pytest.raises(ValueError, match=r"ratio must .* got \(0"):
        CropResize(ratio=ratio)
