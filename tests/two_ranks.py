"""Run by `test_distributed.py`: one step on one process, then the same step on two ranks.

Fabric starts the second rank by running this file again.
"""

import atexit
import sys

import torch
from torch import distributed
from torch.optim import SGD
from unmoved import unmoved

from medssl.data.views import GroupedViews, Views
from medssl.methods.global_local import GlobalLocal
from medssl.methods.joint_embedding import JointEmbedding
from medssl.methods.supervised_embedding import SupervisedEmbedding
from medssl.models.decoders.unet import UNetDecoder
from medssl.models.encoders.small_conv import SmallConv
from medssl.models.encoders.unet import UNet
from medssl.objectives.dcl import DCL
from medssl.objectives.global_contrast import GlobalContrast
from medssl.objectives.local_contrast import LocalContrast
from medssl.objectives.ntxent import NTXent
from medssl.objectives.supervised_contrast import SupervisedContrast
from medssl.objectives.vicreg import VICReg
from medssl.training.fabric import start


def joint(objective):
    return lambda: JointEmbedding(SmallConv(spatial_dims=2), objective=objective)


def supervised():
    return SupervisedEmbedding(SmallConv(spatial_dims=2), objective=SupervisedContrast())


def first_stage():
    encoder = UNet(channels=(4, 6, 8), spatial_dims=2)
    return GlobalLocal(encoder, global_objective=GlobalContrast(), hidden_dim=16)


def second_stage():
    encoder = UNet(channels=(4, 6, 8), spatial_dims=2)
    decoder = UNetDecoder(encoder.channels, encoder.strides, 2)
    objective = LocalContrast(window_vox=1)
    options = {"freeze_encoder": True, "decoder_blocks": 1}
    return GlobalLocal(encoder, decoder, local_objective=objective, **options)


def views_of(num_volumes, num_parts):
    """Return volumes of several parts; of eight the last two are of one subject."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, num_volumes * num_parts, 1, 16, 16, generator=generator)
    volume = torch.arange(num_volumes).repeat_interleave(num_parts)
    part = torch.arange(num_parts).repeat(num_volumes)
    return Views(images, volume, part, volume.clamp(max=6), *unmoved(images))


def grouped_views():
    """Return views of which the first rank has two targets and the second one."""
    nothing = torch.zeros(8, 0), torch.zeros(0, dtype=torch.bool)
    return GroupedViews(views_of(8, 1), torch.arange(8) % 3 == 0, *nothing)


CASES = {
    "ntxent": (joint(NTXent()), views_of(8, 1)),
    "dcl": (joint(DCL(sigma=0.5)), views_of(8, 1)),
    "vicreg": (joint(VICReg(variance=2.0, invariance=3.0, covariance=5.0)), views_of(8, 1)),
    "supervised": (supervised, grouped_views()),
    "global": (first_stage, views_of(4, 2)),
    "global, partners on two ranks": (first_stage, views_of(2, 3)),
    "local": (second_stage, views_of(4, 1)),
}

PLAIN = {"device": "cpu", "num_nodes": 1, "precision": "32-true"}


def share(views, rank, num_ranks):
    """Return a rank's volumes, counted from 0 as its loader does."""
    if isinstance(views, GroupedViews):
        known = (each.chunk(num_ranks)[rank] for each in (views.is_target, views.attributes))
        return GroupedViews(share(views.views, rank, num_ranks), *known, views.is_categorical)
    mine = slice(*(len(views.volume) * number // num_ranks for number in (rank, rank + 1)))
    volume = views.volume[mine] - views.volume[mine][0]
    images = views.images[:, mine]
    return Views(images, volume, views.part[mine], views.subject[mine], *unmoved(images))


def weights_after_a_step(fabric, make, views):
    torch.manual_seed(0)
    method = make()
    wrapped, optimizer = fabric.setup(method, SGD(method.parameters(), lr=1.0))
    fabric.backward(wrapped(share(views, fabric.global_rank, fabric.world_size)).total)
    optimizer.step()
    return torch.cat([p.detach().flatten() for p in method.parameters()])


def main():
    # what is registered first is called last
    atexit.register(lambda: print(f"the group was left: {not distributed.is_initialized()}"))
    single = start(devices=1, strategy="auto", **PLAIN)
    alone = {name: weights_after_a_step(single, *case) for name, case in CASES.items()}
    fabric = start(devices=2, strategy="ddp", **PLAIN)
    for name, case in CASES.items():
        together = weights_after_a_step(fabric, *case)
        torch.testing.assert_close(
            together, alone[name], rtol=1e-3, atol=1e-4, msg=lambda m, n=name: f"{n}: {m}"
        )
    print(f"rank {fabric.global_rank} of {fabric.world_size} agrees")


if __name__ == "__main__":
    sys.exit(main())
