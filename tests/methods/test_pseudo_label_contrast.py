import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from medssl.data.views import LabeledViews
from medssl.heads.segmentation import SegmentationHead
from medssl.methods.pseudo_label_contrast import PseudoLabelContrast
from medssl.models.decoders.unet import UNetDecoder
from medssl.models.encoders.small_conv import SmallConv
from medssl.models.encoders.unet import UNet
from medssl.models.network import DenseNetwork
from medssl.objectives.class_contrast import ClassContrast
from medssl.objectives.dice_cross_entropy import DiceCrossEntropy


def network(encoder):
    decoder = UNetDecoder(encoder.channels, encoder.strides, encoder.spatial_dims)
    head = SegmentationHead(decoder.channels[-1], 3, encoder.spatial_dims)
    return DenseNetwork(encoder, decoder, head)


def made(dims=2, **options):
    torch.manual_seed(0)
    parts = {"objective": DiceCrossEntropy(), "dense_objective": ClassContrast()}
    return PseudoLabelContrast(network(UNet(channels=(4, 8), spatial_dims=dims)), **parts | options)


def views(pseudo, dims=2):
    generator = torch.Generator().manual_seed(0)
    shape = (8,) * dims
    return LabeledViews(
        torch.randn(len(pseudo), 1, *shape, generator=generator),
        torch.randint(3, (len(pseudo), *shape), generator=generator),
        torch.tensor(pseudo),
    )


@pytest.mark.parametrize("dims", [2, 3])
def test_people_teach_the_logits_and_everyone_the_embedding(dims):
    method, batch = made(dims, weight=0.3), views([True, False, True, False], dims)
    found = method(batch).terms
    own = [1, 3]
    taught = DiceCrossEntropy()(method.network(batch.image[own]), batch.label[own]).terms
    finest = method.network.decoder(method.network.encoder(batch.image))[-1]
    is_of = torch.stack([batch.label == 1, batch.label == 2], dim=1)
    contrast = ClassContrast()(method.projector(finest), is_of).total
    assert found.keys() == {*taught, "contrast/classes"}
    for name, term in taught.items():
        torch.testing.assert_close(found[name], term, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found["contrast/classes"], 0.3 * contrast)


@pytest.mark.parametrize("pseudo", [[False, True], [True, True]])
def test_every_weight_has_a_gradient_whoever_labeled(pseudo):
    method = made()
    method(views(pseudo)).total.backward()
    assert [n for n, p in method.named_parameters() if p.grad is None] == []
    head = method.network.head.logits.weight.grad
    assert head.ne(0).any() != all(pseudo)


def test_the_projector_is_thrown_away():
    assert [*made().exports()] == ["encoder", "decoder", "head"]


def test_a_step_runs_on_a_gpu_that_need_not_be_there():
    method, batch = made(), views([False, True, False, True])
    with FakeTensorMode() as mode:
        state = {
            name: mode.from_tensor(tensor).to("cuda")
            for name, tensor in (*method.named_parameters(), *method.named_buffers())
        }
        image, label = (mode.from_tensor(part).to("cuda") for part in batch[:2])
        moved = batch._replace(image=image, label=label)
        loss = torch.func.functional_call(method, state, (moved,))
    assert {term.device.type for term in loss.terms.values()} == {"cuda"}


def test_what_can_not_be_read_voxel_by_voxel_is_refused():
    coarse = network(SmallConv(spatial_dims=2, width=4))
    with pytest.raises(ValueError, match=r"as large as the image, got one of stride 2"):
        PseudoLabelContrast(coarse, objective=DiceCrossEntropy(), dense_objective=ClassContrast())
    with pytest.raises(ValueError, match="weight must be positive, got 0"):
        made(weight=0)
