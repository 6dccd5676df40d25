"""How much of its space a representation uses, from embeddings alone, without labels.

All are computed in float32 at least, without gradients. Compare them between equal numbers of
rows and dimensions only. They warn of collapse; they do not prove a representation good: noise
has full rank, too.

Source: Garrido, Balestriero, Najman, LeCun, "RankMe: Assessing the Downstream Performance of
Pretrained Self-Supervised Representations by Their Rank", ICML 2023, arXiv:2210.02885, Eqs. 1-2
(rank); Wang, Isola, "Understanding Contrastive Representation Learning through Alignment and
Uniformity on the Hypersphere", ICML 2020, arXiv:2005.10242, Sec. 4.1 (alignment, uniformity);
Chen, He, "Exploring Simple Siamese Representation Learning", CVPR 2021, arXiv:2011.10566,
Sec. 4.1 (deviation).
Departs from the paper: the deviation is scaled so that 1 is isotropic in any dimension; the rank
also comes centered, since a common mean dominates the singular values otherwise.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

EPS = 1e-7


@torch.no_grad()
def rank_me(z: Float[Tensor, "row dim"], *, centered: bool = False) -> float:
    """Return the effective rank: the exponential of the entropy of the singular values.

    Between 1 (all rows on one line) and min(row, dim), up to the `EPS` that the paper adds to
    each share. `centered` takes the rows' mean off first.
    """
    z = _precise(z)
    if centered:
        z = z - z.mean(dim=0)
    singular = torch.linalg.svdvals(z)
    total = singular.sum()
    if total == 0:  # all rows are zero: nothing spans nothing more than a point
        return 1.0
    share = singular / total + EPS
    return float((-(share * share.log()).sum()).exp())


@torch.no_grad()
def feature_deviation(z: Float[Tensor, "row dim"]) -> float:
    """Return sqrt(dim) times the mean over dimensions of the normalized rows' deviation.

    0 where all rows point the same way, about 1 where they point everywhere.
    """
    directions = F.normalize(_precise(z), dim=1)
    return float(directions.std(dim=0, correction=0).mean() * directions.shape[1] ** 0.5)


@torch.no_grad()
def alignment(z_a: Float[Tensor, "row dim"], z_b: Float[Tensor, "row dim"]) -> float:
    """Return the mean squared distance of two views of each case, normalized: 0 to 4."""
    a, b = (F.normalize(_precise(z), dim=1) for z in (z_a, z_b))
    return float((a - b).square().sum(dim=1).mean())


@torch.no_grad()
def uniformity(z: Float[Tensor, "row dim"]) -> float:
    """Return the log of the mean of exp(-2 d^2) over pairs of different rows, normalized.

    0 where all rows point the same way; the lower, the more evenly they cover the sphere.
    """
    if len(z) < 2:
        msg = f"uniformity needs at least 2 rows to have a pair, got {len(z)}"
        raise ValueError(msg)
    distance = torch.pdist(F.normalize(_precise(z), dim=1))
    return float((-2 * distance.square()).exp().mean().log())


def diagnose(z_a: Float[Tensor, "row dim"], z_b: Float[Tensor, "row dim"]) -> dict[str, float]:
    """Return all of it for two views of the same cases, and on how many rows it rests."""
    return {
        "rank_me": rank_me(z_a),
        "rank_me_centered": rank_me(z_a, centered=True),
        "deviation": feature_deviation(z_a),
        "alignment": alignment(z_a, z_b),
        "uniformity": uniformity(z_a),
        "num_rows": float(len(z_a)),
    }


def _precise(z: Tensor) -> Tensor:
    return z if z.dtype == torch.float64 else z.float()
