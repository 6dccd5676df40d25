import pytest
import torch

from medssl.heads.segmentation import SegmentationHead


@pytest.mark.parametrize("spatial", [(4, 3), (4, 3, 2)])
def test_a_voxels_logits_are_a_linear_map_of_its_features_alone(spatial):
    torch.manual_seed(0)
    head = SegmentationHead(5, 3, len(spatial))
    features = torch.randn(2, 5, *spatial)
    logits = head(features)
    weight, bias = head.logits.weight.flatten(1), head.logits.bias
    for voxel in torch.cartesian_prod(*map(torch.arange, spatial)).tolist():
        at = (slice(None), slice(None), *voxel)
        torch.testing.assert_close(logits[at], features[at] @ weight.T + bias)
