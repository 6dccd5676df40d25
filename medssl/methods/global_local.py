"""Global and local contrast: first an encoder from whole views, then a decoder from regions.

Stage 1 has a `global_objective`. Stage 2 begins from its export, has a `local_objective`, freezes
the encoder and trains the first blocks of a decoder. Both objectives at once train both halves.

Source: Chaitanya, Erdil, Karani, Konukoglu, "Contrastive learning of global and local features
for medical image segmentation with limited annotations", NeurIPS 2020, arXiv:2006.10511.
Departs from the paper: where an encoder normalizes over the batch, its running statistics go on
from stage to stage instead of beginning anew; the heads as `medssl.models.projectors` says.
"""

from typing import NamedTuple, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from medssl.data.views import Views
from medssl.distributed import gather, rank
from medssl.methods import taken
from medssl.models.decoders import Decoder
from medssl.models.encoders import Encoder
from medssl.models.projectors import GlobalProjector, LocalProjector
from medssl.objectives import Loss, PartitionObjective, RegionObjective

__all__ = ["GlobalLocal"]


class Features(NamedTuple):
    """What the objectives are offered; None where the method has no objective for it.

    Args:
        z: A projection of each view of each item.
        regions_a: Projections of the regions of each item's last view but one.
        regions_b: Those of its last view, at the same places.
        volume: Number of the item's case among the batch's.
        part: In which part of its case the item lies.
        subject: Equal where two items are of one subject.
    """

    z: Float[Tensor, "view item dim"] | None
    regions_a: Float[Tensor, "item region dim"] | None
    regions_b: Float[Tensor, "item region dim"] | None
    volume: Int[Tensor, "item"]
    part: Int[Tensor, "item"]
    subject: Int[Tensor, "item"]


class GlobalLocal(nn.Module):
    """An encoder under a partition objective, a decoder under a region objective, or both.

    Args:
        encoder: The backbone.
        decoder: Made for the encoder; there if and only if there is a `local_objective`.
        global_objective: Compares projections of whole views; sees the items of all ranks.
        local_objective: Compares regions of the decoder's map in an item's last two views,
            between which no voxel may have changed its place.
        decoder_blocks: How many of the decoder's blocks run and train.
        freeze_encoder: Whether the encoder's weights stay as they are.
        freeze_bn_stats: Whether a frozen encoder that normalizes over the batch does so by its
            running statistics and keeps them; in the paper it goes by the batch's and they move on.
        over_batch: Whether the local projector normalizes over the batch, as in the paper.
        grid: Cells along each axis to which the coarsest map is pooled before it is projected.
        hidden_dim: Width of the global projector's hidden layer.
        projection_dim: Length of a projection.
    """

    def __init__(  # noqa: PLR0913  # two halves, each with its own few
        self,
        encoder: Encoder,
        decoder: Decoder | None = None,
        *,
        global_objective: PartitionObjective | None = None,
        local_objective: RegionObjective | None = None,
        decoder_blocks: int = 2,
        freeze_encoder: bool = False,
        freeze_bn_stats: bool = False,
        over_batch: bool = False,
        grid: int = 2,
        hidden_dim: int = 1024,
        projection_dim: int = 128,
    ) -> None:
        super().__init__()
        _check(decoder, global_objective, local_objective, freeze_encoder=freeze_encoder)
        if freeze_bn_stats and not freeze_encoder:
            msg = "GlobalLocal keeps statistics of a frozen encoder alone: set freeze_encoder, too"
            raise ValueError(msg)
        self.encoder, self.decoder = encoder, decoder
        self.global_objective, self.local_objective = global_objective, local_objective
        self.decoder_blocks, self.freeze_encoder = decoder_blocks, freeze_encoder
        self.freeze_bn_stats = freeze_bn_stats
        dims = encoder.spatial_dims
        if freeze_encoder:
            cast(nn.Module, encoder).requires_grad_(requires_grad=False).train(not freeze_bn_stats)
        if global_objective is not None:
            self.global_projector = GlobalProjector(
                encoder.channels[-1], dims, grid=grid, hidden_dim=hidden_dim, out_dim=projection_dim
            )
        if local_objective is not None and decoder is not None:
            channels = _narrow(decoder, decoder_blocks)
            side = local_objective.window_vox
            self.local_projector = LocalProjector(
                channels, dims, window_vox=side, out_dim=projection_dim, over_batch=over_batch
            )

    def train(self, mode: bool = True) -> "GlobalLocal":  # noqa: FBT001, FBT002  # nn.Module's own
        """Set the mode, but of an encoder whose statistics are to stay as they are."""
        super().train(mode)
        if self.freeze_bn_stats:
            cast(nn.Module, self.encoder).eval()
        return self

    def embed(self, views: Views) -> Features:
        """Project whole views, regions of the last two, or both, from one pass of the encoder."""
        images = views.images if self.global_objective is not None else views.images[-2:]
        num_views, num_items = images.shape[:2]
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.freeze_encoder):
            maps = self.encoder(images.flatten(0, 1))
        z = regions_a = regions_b = None
        if self.global_objective is not None:
            z = self.global_projector(maps[-1]).unflatten(0, (num_views, num_items))
        if self.local_objective is not None:
            if num_views < 2:
                msg = f"GlobalLocal compares regions of 2 views of each item, got {num_views}"
                raise ValueError(msg)
            pair = tuple(feature[-2 * num_items :] for feature in maps)
            regions_a, regions_b = self.regions(pair).chunk(2)
        return Features(z, regions_a, regions_b, views.volume, views.part, views.subject)

    def regions(self, maps: tuple[Tensor, ...]) -> Float[Tensor, "image region dim"]:
        """Decode as far as is trained and project the regions of the last map."""
        decoder = cast(Decoder, self.decoder)
        objective = cast(RegionObjective, self.local_objective)
        decoded = decoder(maps, blocks=self.decoder_blocks)[-1]
        return self.local_projector(decoded, objective.lattice(decoded.shape[2:]))

    def compare(self, features: Features) -> Loss:
        """Return the terms of both objectives, as `global/...` and `local/...`."""
        terms: dict[str, Tensor] = {}
        if self.global_objective is not None and features.z is not None:
            # every rank counts its volumes from 0
            first = rank() * (features.volume.max() + 1)
            offered = features._replace(
                z=gather(features.z, dim=1),
                volume=gather(features.volume + first),
                part=gather(features.part),
                subject=gather(features.subject),
            )
            terms |= _named("global", self.global_objective, offered)
        if self.local_objective is not None:
            terms |= _named("local", self.local_objective, features)
        return Loss(terms)

    def forward(self, views: Views) -> Loss:
        """Return the loss of one batch of views."""
        return self.compare(self.embed(views))

    def after_step(self, progress: float) -> None:
        """Do nothing: the optimizer moves all there is."""

    def exports(self) -> dict[str, nn.Module]:
        """Return the encoder and, where there is one, the decoder; projectors are thrown away."""
        parts = {"encoder": self.encoder, "decoder": self.decoder}
        return {name: cast(nn.Module, part) for name, part in parts.items() if part is not None}


def _named(
    stage: str, objective: PartitionObjective | RegionObjective, offered: Features
) -> dict[str, Tensor]:
    loss: Loss = objective(**{name: getattr(offered, name) for name in taken(objective)})
    return {f"{stage}/{name}": term for name, term in loss.terms.items()}


def _narrow(decoder: Decoder, blocks: int) -> int:
    """Leave only the first blocks to be trained; return the channels of the last one's map."""
    if not 1 <= blocks <= len(decoder.channels):
        msg = f"decoder_blocks must be in [1, {len(decoder.channels)}], got {blocks}"
        raise ValueError(msg)
    decoder.blocks[blocks:].requires_grad_(requires_grad=False)
    return decoder.channels[blocks - 1]


def _check(
    decoder: Decoder | None,
    global_objective: PartitionObjective | None,
    local_objective: RegionObjective | None,
    *,
    freeze_encoder: bool,
) -> None:
    """Refuse parts that have nothing to train or to be trained by."""
    if global_objective is None and local_objective is None:
        msg = "GlobalLocal needs a global_objective, a local_objective or both, got neither"
    elif local_objective is not None and decoder is None:
        msg = "GlobalLocal has a local_objective, which compares decoder maps, but got no decoder"
    elif local_objective is None and decoder is not None:
        msg = "GlobalLocal got a decoder but no local_objective that would train it"
    elif global_objective is not None and freeze_encoder:
        msg = "GlobalLocal has a global_objective, which trains the encoder: unset freeze_encoder"
    else:
        return
    raise ValueError(msg)
