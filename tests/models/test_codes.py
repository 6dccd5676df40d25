"""Both codes as one network: what stands where, and how far an image is from the background."""

import pytest
import torch

from medssl.models.codes import Code, Codes
from medssl.models.encoders.small_conv import SmallConv


def parts(dims=2):
    torch.manual_seed(0)
    encoders = [SmallConv(spatial_dims=dims, width=4) for _ in range(2)]
    channels = encoders[0].channels[-1]
    return encoders, Code(channels, 5, 8), Code(channels, 3, 8)


@pytest.mark.parametrize("dims", [2, 3])
def test_the_four_vectors_stand_side_by_side_under_their_names(dims):
    (encoder, own), common, salient = parts(dims)
    codes = Codes(encoder, common, salient, own)
    image = torch.randn(2, 1, *(16,) * dims)
    (found,) = codes(image)
    assert found.shape == (2, 16, *(1,) * dims)
    pooled, pooled_by_own = (one(image)[-1].flatten(2).mean(2) for one in (encoder, own))
    expected = {
        "common": common(pooled),
        "common_projection": common.project(pooled),
        "salient": salient(pooled_by_own),
        "salient_projection": salient.project(pooled_by_own),
    }
    names = [column.partition(".")[0] for column in codes.columns]
    assert len(names) == found.shape[1] == codes.channels[-1]
    for space, values in expected.items():
        own_columns = [place for place, name in enumerate(names) if name == space]
        torch.testing.assert_close(found.flatten(1)[:, own_columns], values)
        assert [codes.columns[place] for place in own_columns] == [
            f"{space}.{number}" for number in range(values.shape[1])
        ]


def test_with_a_shared_trunk_both_are_of_one_encoder():
    (encoder, _), common, salient = parts()
    image = torch.randn(2, 1, 16, 16)
    pooled = encoder(image)[-1].flatten(2).mean(2)
    (found,) = Codes(encoder, common, salient)(image)
    torch.testing.assert_close(found.flatten(1)[:, 10:13], salient(pooled))
    torch.testing.assert_close(
        Codes(encoder, common, salient).salience(image), salient.project(pooled).norm(dim=1)
    )


def test_salience_is_the_distance_from_the_backgrounds_constant():
    (encoder, own), common, salient = parts()
    image = torch.randn(2, 1, 16, 16)
    codes = Codes(encoder, common, salient, own, constant=0.5)
    projected = salient.project(own(image)[-1].flatten(2).mean(2))
    expected = (projected - 0.5).square().sum(dim=1).sqrt()
    torch.testing.assert_close(codes.salience(image), expected)
