import pytest
import torch

from medssl.data.views import LabeledViews
from medssl.heads.segmentation import SegmentationHead
from medssl.methods.segmentation import Segmentation
from medssl.models.decoders.unet import UNetDecoder
from medssl.models.encoders.small_conv import SmallConv
from medssl.models.encoders.unet import UNet
from medssl.models.network import DenseNetwork
from medssl.objectives.dice_cross_entropy import DiceCrossEntropy


def network(encoder, num_classes=3):
    decoder = UNetDecoder(encoder.channels, encoder.strides, encoder.spatial_dims)
    head = SegmentationHead(decoder.channels[-1], num_classes, encoder.spatial_dims)
    return DenseNetwork(encoder, decoder, head)


def views(spatial_dims, items=2):
    generator = torch.Generator().manual_seed(0)
    shape = (16,) * spatial_dims
    return LabeledViews(
        torch.randn(items, 1, *shape, generator=generator),
        torch.randint(3, (items, *shape), generator=generator),
        torch.zeros(items, dtype=torch.bool),
    )


@pytest.mark.parametrize("spatial_dims", [2, 3])
@pytest.mark.parametrize("encoder", [UNet, SmallConv])
def test_logits_are_at_the_images_resolution(spatial_dims, encoder):
    arguments = {"channels": (4, 8)} if encoder is UNet else {"width": 4}
    dense = network(encoder(spatial_dims=spatial_dims, **arguments))
    assert dense(views(spatial_dims).image).shape == (2, 3, *(16,) * spatial_dims)


def test_the_step_is_the_objective_of_the_networks_logits():
    torch.manual_seed(0)
    objective = DiceCrossEntropy(dice=3.0, cross_entropy=5.0)
    method = Segmentation(network(UNet(channels=(4, 8))), objective=objective)
    batch = views(3)
    expected = objective(method.network(batch.image), batch.label).terms
    torch.testing.assert_close(method(batch).terms, expected)
    torch.testing.assert_close(method.compare(method.embed(batch)).terms, expected)


def test_losses_of_blended_crops_are_blended_as_the_images_were():
    torch.manual_seed(0)
    method = Segmentation(network(UNet(channels=(4, 8))), objective=DiceCrossEntropy())
    batch = views(3)
    blended = batch._replace(blended_label=batch.label.flip(0), share=0.7)
    own = method(batch).terms
    other = method(batch._replace(label=batch.label.flip(0))).terms
    found = method(blended).terms
    assert found.keys() == own.keys()
    for name, term in found.items():
        torch.testing.assert_close(term, 0.7 * own[name] + 0.3 * other[name])
    # of cross entropy that is the loss of blended labels
    hot = [
        torch.nn.functional.one_hot(label, 3).movedim(-1, 1)
        for label in (batch.label, blended.blended_label)
    ]
    soft = 0.7 * hot[0] + 0.3 * hot[1]
    expected = torch.nn.functional.cross_entropy(method.network(batch.image), soft)
    torch.testing.assert_close(found["cross_entropy"], expected)


def test_steps_along_the_gradient_fit_a_crop():
    torch.manual_seed(0)
    method = Segmentation(network(UNet(channels=(8, 16)), 2), objective=DiceCrossEntropy())
    batch = views(3, items=1)
    batch = batch._replace(label=(batch.image[:, 0] > 1).long())
    optimizer = torch.optim.AdamW(method.parameters(), lr=1e-2)
    before = method(batch).total.item()
    for _ in range(30):
        optimizer.zero_grad()
        method(batch).total.backward()
        optimizer.step()
    assert method(batch).total.item() < 0.3 * before
    found = method.network(batch.image).argmax(dim=1)
    assert 2 * (found & batch.label).sum() / (found.sum() + batch.label.sum()) > 0.9


def test_every_part_is_exported_and_learns():
    method = Segmentation(network(UNet(channels=(4, 8))), objective=DiceCrossEntropy())
    assert [*method.exports()] == ["encoder", "decoder", "head"]
    method(views(3)).total.backward()
    for part, module in method.exports().items():
        assert all(weight.grad is not None for weight in module.parameters()), part
    kept = sum(p.numel() for part in method.exports().values() for p in part.parameters())
    assert kept == sum(p.numel() for p in method.parameters())
