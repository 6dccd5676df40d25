import math

import pytest
import torch
from unmoved import unmoved

from medssl import lookup
from medssl.config.component import Component, build, described, recall
from medssl.data.views import Views
from medssl.errors import ConfigError
from medssl.methods.global_local import GlobalLocal
from medssl.models.decoders.unet import UNetDecoder
from medssl.models.decoders.upsampled_unet import UpsampledUNet
from medssl.models.encoders.basic_unet import BasicUNet
from medssl.models.encoders.unet import UNet
from medssl.objectives.global_contrast import GlobalContrast
from medssl.objectives.local_contrast import LocalContrast

FAMILY = "medssl.methods"


def parts(spatial_dims=2):
    torch.manual_seed(0)
    encoder = UNet(channels=(4, 6, 8), spatial_dims=spatial_dims)
    return encoder, UNetDecoder(encoder.channels, encoder.strides, encoder.spatial_dims)


def stage_1(spatial_dims=2, **more):
    encoder, _ = parts(spatial_dims)
    return GlobalLocal(encoder, global_objective=GlobalContrast(), hidden_dim=16, **more)


def stage_2(spatial_dims=2, **more):
    options = {"local_objective": LocalContrast(), "freeze_encoder": True} | more
    return GlobalLocal(*parts(spatial_dims), **options)


def views_of(num_views=2, spatial_dims=2, num_volumes=4, num_parts=2):
    shape = (num_views, num_volumes * num_parts, 1, *(16,) * spatial_dims)
    images = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    volume = torch.arange(num_volumes).repeat_interleave(num_parts)
    part = torch.arange(num_parts).repeat(num_volumes)
    return Views(images, volume, part, volume + 7, *unmoved(images))


def train(method, views, steps=2):
    optimizer = torch.optim.AdamW(method.parameters(), lr=1e-2, weight_decay=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        method(views).total.backward()
        optimizer.step()


def copied(module):
    return {key: value.clone() for key, value in module.state_dict().items()}


def changed(module, before):
    return [not torch.equal(value, before[key]) for key, value in module.state_dict().items()]


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_stage_1_contrasts_projections_of_whole_views(spatial_dims):
    method, views = stage_1(spatial_dims), views_of(3, spatial_dims)
    loss = method(views)
    z = torch.stack([method.global_projector(method.encoder(view)[-1]) for view in views.images])
    by_hand = GlobalContrast()(z, views.volume, views.part, views.subject).terms
    assert set(loss.terms) == {"global/views", "global/volumes"}
    for name, term in by_hand.items():
        torch.testing.assert_close(loss.terms[f"global/{name}"], term, rtol=1e-4, atol=1e-4)
    assert method.exports() == {"encoder": method.encoder}


@pytest.mark.parametrize("spatial_dims", [2, 3])
@pytest.mark.parametrize("window_vox", [1, 3])
def test_stage_2_contrasts_regions_of_the_last_two_views(spatial_dims, window_vox):
    objective = LocalContrast(window_vox=window_vox)
    method, views = stage_2(spatial_dims, local_objective=objective), views_of(3, spatial_dims)
    loss = method(views)
    starts = objective.lattice((16,) * spatial_dims)
    regions = [
        method.local_projector(method.decoder(method.encoder(view))[-1], starts)
        for view in views.images[1:]
    ]
    torch.testing.assert_close(
        loss.terms["local/regions"], objective(*regions).total, rtol=1e-4, atol=1e-4
    )
    assert method.exports() == {"encoder": method.encoder, "decoder": method.decoder}


def test_both_objectives_add_up_and_train_both_halves():
    method = stage_2(global_objective=GlobalContrast(), freeze_encoder=False, hidden_dim=16)
    views = views_of(3)
    loss = method(views)
    assert set(loss.terms) == {"global/views", "global/volumes", "local/regions"}
    alone = stage_2(freeze_encoder=False)
    alone.load_state_dict(method.state_dict(), strict=False)
    torch.testing.assert_close(
        loss.terms["local/regions"], alone(views).total, rtol=1e-4, atol=1e-4
    )
    loss.total.backward()
    assert all(parameter.grad is not None for parameter in method.parameters())


def test_stage_2_leaves_the_encoder_and_later_blocks_bit_for_bit():
    method = stage_2(decoder_blocks=1)
    before = (
        copied(method.encoder),
        *map(copied, method.decoder.blocks),
        copied(method.local_projector),
    )
    train(method, views_of())
    modules = method.encoder, *method.decoder.blocks, method.local_projector
    moved = [changed(module, old) for module, old in zip(modules, before, strict=True)]
    assert [any(some) for some in moved] == [False, True, False, True]
    assert all(moved[1])


@pytest.mark.parametrize("freeze_bn_stats", [False, True])
def test_stage_2_leaves_the_weights_of_an_encoder_with_batch_norm_and_its_statistics_if_told(
    freeze_bn_stats,
):
    torch.manual_seed(0)
    encoder = BasicUNet(channels=(4, 6, 8), spatial_dims=2, norm="batch")
    decoder = UpsampledUNet(encoder.channels, encoder.strides, 2, norm="batch")
    method = GlobalLocal(
        encoder,
        decoder,
        local_objective=LocalContrast(),
        freeze_encoder=True,
        freeze_bn_stats=freeze_bn_stats,
        over_batch=True,
    )
    weights = {name: weight.clone() for name, weight in encoder.named_parameters()}
    statistics = {name: buffer.clone() for name, buffer in encoder.named_buffers()}
    train(method.train(), views_of())
    assert all(torch.equal(weight, weights[name]) for name, weight in encoder.named_parameters())
    moved = [not torch.equal(buffer, statistics[name]) for name, buffer in encoder.named_buffers()]
    assert any(moved) != freeze_bn_stats
    assert all(moved) != freeze_bn_stats
    # the mode of the rest is the one that was asked for
    assert method.decoder.training
    assert method.local_projector.training
    assert encoder.training != freeze_bn_stats
    assert not method.eval().encoder.training


def test_regions_of_an_image_see_the_others_where_the_projector_normalizes_over_the_batch():
    method, views = stage_2(over_batch=True), views_of()
    images = views.images.clone()
    images[:, 1] = 3.0
    one, other = method.embed(views), method.embed(views._replace(images=images))
    assert not torch.allclose(one.regions_a[0], other.regions_a[0], atol=1e-3)


def test_stage_1_moves_the_encoder():
    method = stage_1()
    before = copied(method.encoder)
    train(method, views_of())
    assert any(changed(method.encoder, before))


def test_regions_of_an_image_see_no_other_image():
    method, views = stage_2(), views_of()
    images = views.images.clone()
    images[:, 1] = 3.0
    one, other = method.embed(views), method.embed(views._replace(images=images))
    kept = [0, *range(2, 8)]
    torch.testing.assert_close(one.regions_a[kept], other.regions_a[kept])
    assert not torch.allclose(one.regions_a[1], other.regions_a[1])


@pytest.mark.parametrize("decoder", lookup.names("medssl.models.decoders"))
@pytest.mark.parametrize("encoder", lookup.names("medssl.models.encoders"))
def test_both_stages_run_on_every_encoder_and_decoder(encoder, decoder):
    torch.manual_seed(0)
    backbone = lookup.build("medssl.models.encoders", encoder, spatial_dims=2)
    parts = (backbone.channels, backbone.strides, 2)
    upwards = lookup.build("medssl.models.decoders", decoder, *parts)
    images = torch.randn(2, 8, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    views = views_of()._replace(images=images)
    both = GlobalLocal(
        backbone,
        upwards,
        global_objective=GlobalContrast(),
        local_objective=LocalContrast(),
        decoder_blocks=len(upwards.channels),
        hidden_dim=16,
    )
    both(views).total.backward()
    assert [n for n, p in both.named_parameters() if p.grad is None] == []


def test_a_collapsed_encoder_leaves_a_uniform_guess():
    method = stage_1()
    torch.nn.init.zeros_(method.global_projector.layers[2].weight)
    # zero vectors have cosine 0 to all: 2 views of the 4 items of the other part are negatives
    assert method(views_of()).total.item() == pytest.approx(math.log(1 + 8))


def test_one_view_has_no_partner_for_its_regions():
    with pytest.raises(ValueError, match=r"compares regions of 2 views .* got 1"):
        stage_2()(views_of(1))


@pytest.mark.parametrize(
    ("options", "with_decoder", "message"),
    [
        (
            {"local_objective": LocalContrast(), "freeze_bn_stats": True},
            True,
            "keeps statistics of a frozen encoder alone: set freeze_encoder, too",
        ),
        ({}, False, "a global_objective, a local_objective or both, got neither"),
        ({"local_objective": LocalContrast()}, False, "has a local_objective, .* got no decoder"),
        ({"global_objective": GlobalContrast()}, True, "got a decoder but no local_objective"),
        (
            {"global_objective": GlobalContrast(), "freeze_encoder": True},
            False,
            "global_objective, which trains the encoder: unset freeze_encoder",
        ),
        (
            {"local_objective": LocalContrast(), "decoder_blocks": 3},
            True,
            r"decoder_blocks must be in \[1, 2\], got 3",
        ),
    ],
)
def test_parts_that_have_nothing_to_do_are_refused(options, with_decoder, message):
    encoder, decoder = parts()
    with pytest.raises(ValueError, match=message):
        GlobalLocal(encoder, decoder if with_decoder else None, **options)


def test_a_config_names_its_objectives():
    tree = {"name": "global_local", "global_objective": {"name": "global_contrast"}}
    component = recall(FAMILY, tree)
    assert component.params["local_objective"] is None
    assert isinstance(component.params["global_objective"], Component)
    assert described(component)["global_objective"]["variant"] == "partition_pairs"
    assert recall(FAMILY, described(component)) == component
    assert isinstance(build(component, parts()[0]).global_objective, GlobalContrast)


@pytest.mark.parametrize(
    ("tree", "line"),
    [
        (
            {"name": "joint_embedding", "objective": {"name": "local_contrast"}},
            r"local_contrast takes \['regions_a', 'regions_b'\], of which a PairObjective is given "
            r"only \['z_a', 'z_b', 'group'\]",
        ),
        (
            {"name": "global_local", "global_objective": {"name": "local_contrast"}},
            r"of which a PartitionObjective is given only \['z', 'volume', 'part', 'subject'\]",
        ),
        (
            {"name": "global_local", "local_objective": {"name": "ntxent"}},
            r"ntxent takes \['z_a', 'z_b', 'group'\], of which a RegionObjective is given only",
        ),
        (
            {
                "name": "global_local",
                "global_objective": {"name": "global_contrast", "variant": "all"},
            },
            r"global_objective: variant: .*'random'.*, got 'all'",
        ),
    ],
)
def test_a_config_with_an_objective_that_does_not_fit_is_refused(tree, line):
    with pytest.raises(ConfigError, match=line):
        recall(FAMILY, tree)
