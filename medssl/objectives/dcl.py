"""DCL: contrast against the negatives alone, with the positive out of the denominator.

Source: Yeh, Hong, Hsu, Liu, Chen, LeCun, "Decoupled Contrastive Learning", ECCV 2022,
arXiv:2110.06848, Eq. 6 and its negative von Mises-Fisher weights (DCLW).
Departs from the paper: views of another case of the same subject are no negatives.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from medssl.objectives import Loss, full_precision

__all__ = ["DCL"]


class DCL(nn.Module):
    """Decoupled contrastive loss; it may be negative.

    Args:
        temperature: Divides the cosine similarities; smaller weighs hard negatives more.
        sigma: Width of the von Mises-Fisher weights, which give more to positives that are far
            apart (0.5 in the paper); None weighs all alike.
    """

    def __init__(self, *, temperature: float = 0.1, sigma: float | None = None) -> None:
        super().__init__()
        if temperature <= 0 or (sigma is not None and sigma <= 0):
            msg = f"temperature and sigma must be positive, got {temperature} and {sigma}"
            raise ValueError(msg)
        self.temperature, self.sigma = temperature, sigma

    @full_precision
    def forward(
        self,
        z_a: Float[Tensor, "batch dim"],
        z_b: Float[Tensor, "batch dim"],
        group: Int[Tensor, "batch"],
    ) -> Loss:
        """Compare two views' projections, which are normalized here, of subjects `group`."""
        if len(z_a) < 2:
            msg = f"DCL needs a batch of at least 2 to have negatives, got {len(z_a)}"
            raise ValueError(msg)
        z_a, z_b = F.normalize(z_a, dim=1), F.normalize(z_b, dim=1)
        z, subject = torch.cat([z_a, z_b]), torch.cat([group, group])
        same = subject[:, None] == subject
        similarity = (z @ z.T / self.temperature).masked_fill(same, -torch.inf)
        positive = (z_a * z_b).sum(dim=1)
        attraction = self.weights(positive.detach()) * positive / self.temperature
        return Loss({"dcl": similarity.logsumexp(dim=1).mean() - attraction.mean()})

    def weights(self, positive: Float[Tensor, "batch"]) -> Float[Tensor, "batch"]:
        """Return what the positive pairs of these cosines weigh; the mean is 1."""
        if self.sigma is None:
            return torch.ones_like(positive)
        return 2 - len(positive) * (positive / self.sigma).softmax(dim=0)
