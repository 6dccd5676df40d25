from dataclasses import replace

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from medssl import lookup
from medssl.data.augment import augment, augment_labeled
from medssl.data.crops import Crops, LabeledCrops
from medssl.data.view_plans import plan
from medssl.data.view_work import carry_out
from medssl.data.views.affine import Affine
from medssl.data.views.bias_field import BiasField
from medssl.data.views.blur import Blur
from medssl.data.views.bss import BatchStyleStandardization
from medssl.data.views.crop_resize import CropResize
from medssl.data.views.cut_out import CutOut
from medssl.data.views.elastic import Elastic
from medssl.data.views.gamma import Gamma
from medssl.data.views.intensity_shift import IntensityShift
from medssl.data.views.low_resolution import LowResolution
from medssl.data.views.noise import Noise
from medssl.data.views.one_movement import OneMovement
from medssl.data.views.rician_noise import RicianNoise
from medssl.data.views.swap_patches import SwapPatches
from medssl.data.views.window_jitter import WindowJitter

SHAPES = [(9, 12), (9, 8, 7)]
FLIPS = (0.5, 0.5, 0.5)
QUIET = [
    Affine(flip=FLIPS), CropResize(), OneMovement(), Elastic(), BiasField(), IntensityShift(),
    Gamma(), Blur(), LowResolution(), CutOut(), SwapPatches(count=2), WindowJitter(),
]  # fmt: skip
# What a view's own seed says; what is drawn on the device stands last, for its generator is real.
EVERY = [*QUIET, Noise(), RicianNoise()]
STYLE = BatchStyleStandardization(side=(0.3, 0.9))


def test_every_operation_of_the_family_is_here():
    here = {type(operation) for operation in [*EVERY, STYLE]}
    family = "medssl.data.views"
    assert here == {lookup.find(family, name) for name in lookup.names(family)}


@pytest.fixture(params=SHAPES)
def crops(request):
    generator = torch.Generator().manual_seed(0)
    return Crops(
        image=torch.rand(3, 2, 1, *request.param, generator=generator),
        start=torch.randint(-3, 30, (3, 2, 3), generator=generator),
        axes=torch.arange(len(request.param)).repeat(3, 2, 1),
        seed=torch.arange(6).reshape(3, 2),
        volume=torch.tensor([0, 0, 1]),
        part=torch.tensor([0, 1, 0]),
        subject=torch.tensor([5, 5, 3]),
        extent=torch.full((3, 3), 30),
    )


@pytest.fixture
def labeled(crops):
    """Labels of six classes; the image is the label in other numbers."""
    label = (crops.image[:, 0, 0] * 6).long()
    none = torch.zeros(len(label), dtype=torch.bool)
    return LabeledCrops((label * 10).float()[:, None], label, crops.seed[:, 0], none)


def test_a_view_is_of_its_item_and_its_seed(crops):
    views = augment(crops, EVERY)
    assert views.images.shape == (2, 3, *crops.image.shape[2:])
    for item in range(3):
        for view in range(2):
            planned = plan(EVERY, [2 * item + view], tuple(crops.image.shape[3:]))
            alone = carry_out(planned, crops.image[item, view][None])[0]
            torch.testing.assert_close(views.images[view, item], alone, rtol=0, atol=1e-6)
    for key in ("volume", "part", "subject"):
        assert torch.equal(getattr(views, key), getattr(crops, key))


def test_other_seeds_give_other_views(crops):
    views, again = augment(crops, EVERY), augment(crops, EVERY)
    assert torch.equal(views.images, again.images)
    others = augment(crops._replace(seed=crops.seed + 6), EVERY)
    assert not (views.images == others.images).flatten(2).all(2).any()


@pytest.mark.parametrize("plain_views", [0, 1, 2])
def test_plain_views_stay_as_cut_and_the_others_do_not_notice(crops, plain_views):
    views = augment(crops, EVERY, plain_views=plain_views)
    cut = crops.image.transpose(0, 1)
    assert torch.equal(views.images[:plain_views], cut[:plain_views])
    torch.testing.assert_close(
        views.images[plain_views:], augment(crops, EVERY).images[plain_views:]
    )


@pytest.mark.parametrize(
    "operation",
    [
        Affine(rotation_deg=0.0, scale=(1.0, 1.0), shift=0.0),
        CropResize(ratio=(1.0, 1.0)),
        Elastic(strength=(0.0, 0.0)),
        BiasField(coefficient=0.0),
        IntensityShift(offset=(0.0, 0.0), contrast=(1.0, 1.0), clip=None),
        Gamma(exponent=(1.0, 1.0)),
        Blur(sigma_vox=(0.01, 0.01)),
        LowResolution(zoom=(1.0, 1.0)),
        WindowJitter(center=(0.0, 0.0), width=(1.0, 1.0)),
        Noise(std=(0.0, 0.0)),
        RicianNoise(std=(0.0, 0.0)),
    ],
    ids=lambda each: type(each).__name__,
)
def test_what_changes_nothing_changes_no_bit(operation, crops):
    """All but cut-out, whose box has a voxel at least, and styles: see the one of the reference."""
    assert torch.equal(augment(crops, [operation]).images, crops.image.transpose(0, 1))


def test_of_one_item_its_own_style_changes_no_bit(crops):
    one = Crops(*(part[:1] for part in crops))
    assert torch.equal(augment(one, [STYLE]).images, one.image.transpose(0, 1))


def test_without_operations_views_are_the_crops(crops):
    assert torch.equal(augment(crops, []).images, crops.image.transpose(0, 1))


def test_an_operation_more_does_not_change_what_those_before_draw():
    seeds, spatial = range(20), (9, 8, 7)
    fewer = plan([Affine(p=0.5), Gamma(p=0.5)], seeds, spatial)
    more = plan([Affine(p=0.5), Gamma(p=0.5), Noise(p=0.5), CropResize(p=0.0)], seeds, spatial)
    assert fewer.moved == more.moved
    assert torch.equal(fewer.matrices, more.matrices)
    assert fewer.changes[0].views == more.changes[0].views
    assert torch.equal(fewer.changes[0].parameters, more.changes[0].parameters)


def test_two_noises_have_fields_of_their_own():
    (one, other) = plan([Noise(), Noise()], [0, 1], (4, 4)).changes
    assert len({*one.seeds, *other.seeds}) == 4


def test_moves_are_composed_in_their_order():
    """Of moves by whole voxels, one resampling is as good as two."""
    quarter = Affine(rotation_deg=0.0, scale=(1.0, 1.0), shift=0.0, flip=(1.0, 0.0, 0.0))
    image = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))

    def one_by_one(operations):
        result = image
        for position in range(len(operations)):
            alone = [Affine(p=0.0)] * position
            result = carry_out(plan([*alone, operations[position]], [3], (8, 8)), result)
        return result

    corner = _Corner()
    for operations in ([quarter, corner], [corner, quarter]):
        together = carry_out(plan(operations, [3], (8, 8)), image)
        torch.testing.assert_close(together, one_by_one(operations))
    assert not torch.allclose(one_by_one([quarter, corner]), one_by_one([corner, quarter]))


class _Corner:
    """Shift by two voxels along the first axis."""

    p = 1.0

    def draw(self, generator, spatial_dims):
        return torch.zeros(1)

    def matrix(self, parameters, spatial):
        matrix = torch.eye(len(spatial) + 1).repeat(len(parameters), 1, 1)
        matrix[:, 0, -1] = 2.0
        return matrix


def test_a_label_moves_with_its_image(labeled):
    turned = Affine(rotation_deg=0.0, scale=(1.0, 1.0), shift=0.0, flip=FLIPS)
    views = augment_labeled(labeled, [turned])
    assert not torch.equal(views.label, labeled.label)
    torch.testing.assert_close(views.image[:, 0], views.label * 10.0, rtol=0, atol=1e-3)


def test_a_label_takes_the_nearest_class_and_background_beyond_the_border(labeled):
    views = augment_labeled(labeled, [Affine(rotation_deg=40.0, shift=0.3), Noise(), Gamma()])
    assert views.label.dtype == torch.int64
    assert set(views.label.unique().tolist()) <= set(range(6))
    solid = labeled._replace(label=torch.ones_like(labeled.label), image=labeled.image * 0 + 1)
    views = augment_labeled(solid, [Affine(rotation_deg=0.0, scale=(0.5, 0.5), shift=0.0)])
    assert set(views.label.unique().tolist()) == {0, 1}
    inside = np.prod(views.label.shape[1:]) * 0.5 ** (views.label.ndim - 1)
    assert views.label[0].sum().item() == pytest.approx(inside, rel=0.35)
    assert (views.image[:, 0][views.label == 0] < 0.8).all()


def test_intensities_leave_the_label_alone(labeled):
    views = augment_labeled(labeled, [IntensityShift(), Gamma(), Noise(), Blur()])
    assert torch.equal(views.label, labeled.label)
    assert not torch.equal(views.image, labeled.image)


def on_a_device(planned, images):
    """Carry out on `cuda` tensors that are fake, where what asks for a number raises."""
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        return carry_out(planned, mode.from_tensor(images).to("cuda"))


@pytest.mark.parametrize("spatial", SHAPES)
@pytest.mark.parametrize("p", [1.0, 0.5])
@pytest.mark.parametrize("operation", [*QUIET, STYLE], ids=lambda each: type(each).__name__)
def test_everything_happens_on_the_device_of_the_images_and_waits_for_nothing(
    operation, p, spatial
):
    """Without the noises, whose generator needs the real device."""
    planned = plan([replace(operation, p=p)], range(8), spatial, batches=4)
    touched = planned.moved or [view for change in planned.changes for view in change.views]
    assert 0 < len(touched) <= 8
    # one of its movements is none
    assert (len(touched) == 8) == (p == 1) or type(operation) is OneMovement
    images = torch.rand(8, 1, *spatial, generator=torch.Generator().manual_seed(0))
    found = on_a_device(planned, images)
    assert found.device.type == "cuda"
    assert found.shape == images.shape


def test_what_waits_for_the_device_is_found():
    """A test of the test above."""

    class Waiting(Gamma):
        def apply(self, images, parameters, seeds):
            return images * images.mean().item()

    planned = plan([Waiting()], range(2), (4, 4))
    with pytest.raises(DataDependentOutputException):
        on_a_device(planned, torch.zeros(2, 1, 4, 4))


@pytest.mark.parametrize("spatial", SHAPES)
def test_all_together_happen_on_the_device_of_the_images(spatial):
    planned = plan([*QUIET, STYLE], range(4), spatial, batches=2)
    found = on_a_device(planned, torch.zeros(4, 1, *spatial))
    assert found.device.type == "cuda"


@pytest.mark.gpu
@pytest.mark.parametrize("spatial", SHAPES)
def test_a_gpu_gives_what_the_cpu_gives_but_for_the_noise(spatial):
    planned = plan([*QUIET, STYLE], range(4), spatial, batches=2)
    images = torch.rand(4, 1, *spatial, generator=torch.Generator().manual_seed(0))
    found = carry_out(planned, images.cuda()).cpu()
    torch.testing.assert_close(found, carry_out(planned, images), rtol=0, atol=1e-4)
    for operation in (Noise(), RicianNoise()):
        noise = plan([operation], range(4), spatial)
        assert torch.equal(carry_out(noise, images.cuda()), carry_out(noise, images.cuda()))


@pytest.mark.parametrize("operations", [EVERY, [Affine(), STYLE, Blur(), STYLE, Noise()]])
def test_it_makes_no_difference_how_many_views_are_worked_on_at_a_time(
    crops, monkeypatch, operations
):
    whole = augment(crops, operations)
    monkeypatch.setattr("medssl.data.view_work.PIECE_BYTES", 1)
    pieces = augment(crops, operations)
    assert all(torch.equal(one, other) for one, other in zip(whole, pieces, strict=True))


def test_labels_are_moved_with_their_images_however_many_at_a_time(labeled, monkeypatch):
    whole = augment_labeled(labeled, EVERY)
    monkeypatch.setattr("medssl.data.view_work.PIECE_BYTES", 1)
    pieces = augment_labeled(labeled, EVERY)
    assert torch.equal(whole.image, pieces.image)
    assert torch.equal(whole.label, pieces.label)
