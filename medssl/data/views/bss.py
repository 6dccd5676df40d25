"""BSS, batch style standardization: all items of a view get one item's low frequencies.

Source: batch styles standardization (Scalbert et al., "Towards domain-invariant self-supervised
learning with batch styles standardization", ICLR 2024), after Fourier domain adaptation (Yang
and Soatto, CVPR 2020): amplitudes are taken over, phases stay.
Departs from the paper: nowhere that is known; its code was not at hand, so the range of the
window's side is assumed, not theirs.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from medssl.data.randomness import uniform
from medssl.data.views._shared import check_probability, check_range

__all__ = ["BatchStyleStandardization"]


@dataclass(frozen=True, kw_only=True)
class BatchStyleStandardization:
    """For MR, ultrasound and histology, never for CT, whose low frequencies are densities.

    Each view has an item whose style it takes, which stays as it is, and a window of its own.
    All means become that item's where they have its sign. Intensities may leave their range.
    Of a batch from one scanner there is no style to take away: mix sites.

    Args:
        side: Smallest and largest side of the window about the lowest frequency, as a share of
            the spectrum's; below two voxels of it the mean alone is taken over.
        p: Probability that a view is touched at all, in all items.
    """

    side: tuple[float, float] = (0.02, 0.1)
    p: float = 1.0

    def __post_init__(self) -> None:
        check_range("side", self.side)
        check_probability("p", self.p)
        if not 0 <= self.side[0] <= self.side[1] <= 1:
            msg = f"side must be in [0, 1], a share of the spectrum, got {self.side}"
            raise ValueError(msg)

    def draw(self, generator: torch.Generator, spatial_dims: int) -> Float[Tensor, "parameter"]:
        """Return the window's side, and from 0 to 1 which item's style is taken."""
        return torch.cat([uniform(generator, *self.side), uniform(generator, 0, 1)])

    def apply_together(
        self,
        images: Float[Tensor, "view item channel *spatial"],
        parameters: Float[Tensor, "view parameter"],
    ) -> Float[Tensor, "view item channel *spatial"]:
        """Return the views with the amplitudes of their references within the window."""
        spatial = images.shape[3:]
        axes = tuple(range(3, images.ndim))
        # Of a real image half of the spectrum says all; in 16 bits it would overflow.
        spectrum = torch.fft.rfftn(images.float(), dim=axes)
        amplitude = spectrum.abs()
        count = images.shape[1]
        chosen = (parameters[:, 1] * count).long().clamp(max=count - 1)
        reference = amplitude.take_along_dim(chosen.reshape(-1, *(1,) * (images.ndim - 1)), dim=1)
        # As a difference: the reference and what is outside the window change in no bit.
        phase = torch.where(amplitude > 0, spectrum / amplitude, 1)
        change = phase * (reference - amplitude)
        change = change * _window(parameters[:, 0], tuple(spatial))[:, None, None]
        return images + torch.fft.irfftn(change, s=spatial, dim=axes)


def _window(side: Float[Tensor, "view"], spatial: tuple[int, ...]) -> Bool[Tensor, "view *half"]:
    """Return which frequencies are low: as many below 0 as above, so that images stay real."""
    within = torch.ones((), dtype=torch.bool, device=side.device)
    for axis, size in enumerate(spatial):
        last = axis == len(spatial) - 1
        frequency = torch.arange(size // 2 + 1 if last else size, device=side.device)
        frequency = frequency.minimum(size - frequency)
        along = frequency <= (side[:, None] * size / 2).floor()
        shape = [-1 if each == axis else 1 for each in range(len(spatial))]
        within = within & along.unflatten(1, shape)
    return within
