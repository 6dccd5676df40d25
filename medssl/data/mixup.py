"""Mixup: the crops of a batch are blended with its crops in another order.

Source: Zhang, Cisse, Dauphin, Lopez-Paz, "mixup: Beyond Empirical Risk Minimization", ICLR 2018,
arXiv:1710.09412, Sec. 2.
Departs from the paper: labels are not blended; a method blends the losses of both, which for cross
entropy is the same, and for Dice is not.
"""

from collections.abc import Sequence

import numpy as np
import torch

from medssl.data.randomness import seed_of
from medssl.data.views import LabeledViews


def mixup(views: LabeledViews, seeds: Sequence[int], *, alpha: float) -> LabeledViews:
    """Return the batch blended with itself, by one share and one order that its seeds say.

    Args:
        views: Augmented crops.
        seeds: Those of the crops; none of them decides alone.
        alpha: Of the Beta distribution that the share is drawn from; small ones blend little.
    """
    rng = np.random.default_rng(seed_of(*seeds, "mixup"))
    share = float(rng.beta(alpha, alpha))
    order = torch.from_numpy(rng.permutation(len(views.image))).to(views.image.device)
    return LabeledViews(
        share * views.image + (1 - share) * views.image[order],
        views.label,
        views.is_pseudo,
        views.label[order],
        share,
    )
