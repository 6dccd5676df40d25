"""What every self-supervised method keeps, found by its file, under every objective that fits it.

A method is self-supervised if it takes `Views`, `MultiViews` or `GroupedViews`. A new one is tested
unasked.
"""

import inspect
from itertools import product
from typing import get_args, get_type_hints

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from unmoved import unmoved

from medssl import lookup
from medssl.data.views import GroupedViews, MultiViews, Views
from medssl.errors import ConfigError
from medssl.methods import Method
from medssl.models.decoders import Decoder
from medssl.models.decoders.unet import UNetDecoder
from medssl.models.encoders import Encoder
from medssl.models.encoders.unet import UNet

FAMILY = "medssl.methods"


TAKEN = (Views, MultiViews, GroupedViews)
EXPORTED = {"encoder", "decoder", "salient_encoder", "common_code", "salient_code"}


def self_supervised():
    for name in lookup.names(FAMILY):
        if get_type_hints(lookup.find(FAMILY, name).embed).get("views") in TAKEN:
            yield name


def protocol_in(hint):
    """Return the family's protocol that an annotation names, alone or beside None."""
    return next((part for part in (hint, *get_args(hint)) if lookup.family_of(part)), None)


def fits(protocol, name):
    try:
        lookup.check_fit(protocol, name)
    except ConfigError:
        return False
    return True


def cases():
    """Yield each method with each choice of components for its arguments."""
    for name in self_supervised():
        method = lookup.find(FAMILY, name)
        hints = get_type_hints(method.__init__)
        slots = {
            parameter.name: protocol
            for parameter in inspect.signature(method).parameters.values()
            if parameter.kind is parameter.KEYWORD_ONLY
            and (protocol := protocol_in(hints[parameter.name]))
        }
        members = [
            [n for n in lookup.names(protocol.__module__) if fits(protocol, n)]
            for protocol in slots.values()
        ]
        for chosen in product(*members):
            yield name, tuple(zip(slots, slots.values(), chosen, strict=True))


CASES = list(cases())


def test_there_are_methods_and_each_is_tested():
    assert {name for name, _ in CASES} == set(self_supervised()) >= {"joint_embedding"}


@pytest.fixture(params=CASES, ids=lambda case: "-".join([case[0], *(c for *_, c in case[1])]))
def method(request):
    torch.manual_seed(0)
    name, slots = request.param
    made = lookup.find(FAMILY, name)
    encoder = UNet(channels=(4, 6, 8), spatial_dims=2)
    known = {
        Encoder: encoder,
        Decoder: UNetDecoder(encoder.channels, encoder.strides, encoder.spatial_dims),
    }
    hints = get_type_hints(made.__init__)
    parts = [
        known[protocol_in(hints[parameter.name])]
        for parameter in inspect.signature(made).parameters.values()
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    ]
    components = {key: lookup.build(p.__module__, chosen) for key, p, chosen in slots}
    return made(*parts, **components)


@pytest.fixture
def views(method):
    """What the method takes."""

    def of_size(num_views, side):
        generator = torch.Generator().manual_seed(side)
        images = torch.randn(num_views, 8, 1, side, side, generator=generator)
        volume = torch.arange(4).repeat_interleave(2)
        return Views(images, volume, torch.arange(2).repeat(4), volume + 7, *unmoved(images))

    wanted = get_type_hints(type(method).embed)["views"]
    if wanted is MultiViews:
        return MultiViews(of_size(2, 16), of_size(3, 8))
    if wanted is GroupedViews:
        generator = torch.Generator().manual_seed(1)
        known = torch.randn(8, 32, generator=generator)  # as many as a salient code has numbers
        is_target, kinds = torch.arange(8) % 2 == 1, torch.arange(32) % 2 == 1
        return GroupedViews(of_size(3, 16), is_target, known, kinds)
    return of_size(3, 16)


def each(views, change, change_flags=lambda flags: flags):
    """Return views of which those of each size are changed."""
    if isinstance(views, GroupedViews):
        known = change_flags(views.is_target), change_flags(views.attributes)
        return GroupedViews(change(views.views), *known, views.is_categorical)
    return MultiViews(*map(change, views)) if isinstance(views, MultiViews) else change(views)


def loss_of(method, views):
    """Return the loss, whatever was drawn before."""
    torch.manual_seed(0)
    return method(views)


def test_it_is_a_method_with_an_encoder_that_it_exports(method):
    assert isinstance(method, Method)
    exports = method.exports()
    assert exports["encoder"] is method.encoder
    assert exports.keys() <= EXPORTED


def test_its_call_compares_what_it_embeds(method, views):
    loss = loss_of(method, views)
    torch.manual_seed(0)
    by_hand = method.compare(method.embed(views))
    assert loss.total.isfinite()
    assert loss.terms.keys() == by_hand.terms.keys()
    torch.testing.assert_close(loss.total, by_hand.total)
    torch.testing.assert_close(loss.total, sum(loss.terms.values()))


def test_an_item_is_embedded_alone(method, views):
    def third(views):
        items = {k: getattr(views, k)[2:3] for k in ("volume", "part", "subject", "extent")}
        of_views = {k: getattr(views, k)[:, 2:3] for k in ("images", "matrix", "bend")}
        return views._replace(**items, **of_views)

    alone = each(views, third, lambda flags: flags[2:3])
    pairs = zip(method.embed(alone), method.embed(views), strict=True)
    for one, other in (pair for pair in pairs if pair[0] is not None):
        axis = 0 if len(one) == 1 else 1
        rows = other.index_select(axis, torch.tensor([2]))
        torch.testing.assert_close(one, rows, rtol=1e-3, atol=1e-3)


def test_each_weight_that_may_move_has_a_gradient(method, views):
    """DDP waits for every one of them."""
    method(views).total.backward()
    missing = [n for n, p in method.named_parameters() if p.requires_grad and p.grad is None]
    assert missing == []


def test_another_batch_gives_another_loss(method, views):
    def mixed(views):
        return views._replace(images=views.images.roll(1, dims=1) + views.images)

    other = each(views, mixed)
    assert not torch.isclose(loss_of(method, views).total, loss_of(method, other).total)


def test_it_computes_its_loss_in_float32_under_mixed_precision(method, views):
    with torch.autocast("cpu", torch.bfloat16):
        loss = loss_of(method, views)
    assert all(term.dtype == torch.float32 for term in loss.terms.values())
    torch.testing.assert_close(loss.total, loss_of(method, views).total, rtol=0.1, atol=0.1)


def test_a_step_runs_on_a_gpu_that_need_not_be_there(method, views):
    with FakeTensorMode() as mode:
        state = {
            name: mode.from_tensor(tensor).to("cuda")
            for name, tensor in (*method.named_parameters(), *method.named_buffers())
        }
        moved = each(
            views,
            lambda views: Views(*(mode.from_tensor(part).to("cuda") for part in views)),
            lambda flags: mode.from_tensor(flags).to("cuda"),
        )
        if isinstance(moved, GroupedViews):
            kinds = mode.from_tensor(moved.is_categorical).to("cuda")
            moved = moved._replace(is_categorical=kinds)
        loss = torch.func.functional_call(method, state, (moved,))
    assert {term.device.type for term in loss.terms.values()} == {"cuda"}
    assert loss.total.shape == ()
