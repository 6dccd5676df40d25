"""What others make two views with: the same operations in the same ranges, as their users do.

Each case of its own, by one chain of transforms called twice. The chain runs in this process on
all threads, or in workers of a thread each: which is faster is for the bench to find out.
TorchIO has no contrast and brightness; its `Lambda` takes a function, as its users write one.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pipelines.converters import load

Image = Float[Tensor, "channel i j k"]
Chain = Callable[[Image], Image]


@dataclass(frozen=True, kw_only=True)
class Ranges:
    """From where all draw evenly, whoever draws.

    Args:
        rotation_deg: Largest angle about each axis.
        scale: Smallest and largest factor of all axes.
        shift: Largest shift along an axis, as a share of the image's side.
        flip: Probability of a mirror image along each axis.
        offset: Smallest and largest brightness that is added.
        contrast: Smallest and largest factor about the mean.
        exponent: Smallest and largest gamma.
        sigma_vox: Smallest and largest width of the blur.
        std: Smallest and largest deviation of the noise.
    """

    rotation_deg: float = 15.0
    scale: tuple[float, float] = (0.8, 1.25)
    shift: float = 0.05
    flip: float = 0.5
    offset: tuple[float, float] = (-0.3, 0.3)
    contrast: tuple[float, float] = (0.7, 1.3)
    exponent: tuple[float, float] = (0.7, 1.5)
    sigma_vox: tuple[float, float] = (0.5, 1.0)
    std: tuple[float, float] = (0.0, 0.1)


def monai_chain(ranges: Ranges, side_vox: int, *, lazy: bool) -> Chain:
    """Return MONAI's dictionary transforms; lazy ones are resampled once, flips included."""
    make = load("monai.transforms")
    keys, always = "image", 1.0
    angle, shift_vox = math.radians(ranges.rotation_deg), ranges.shift * side_vox
    # MONAI scales where voxels come from, and counts from 1.
    scale = tuple(1 / factor - 1 for factor in reversed(ranges.scale))
    compose = make.Compose(
        [
            make.RandAffined(
                keys,
                prob=always,
                rotate_range=(angle,) * 3,
                translate_range=(shift_vox,) * 3,
                scale_range=(scale,) * 3,
                padding_mode="zeros",
            ),
            *(make.RandFlipd(keys, prob=ranges.flip, spatial_axis=axis) for axis in range(3)),
            make.RandScaleIntensityFixedMeand(
                keys, prob=always, factors=[factor - 1 for factor in ranges.contrast]
            ),
            make.RandShiftIntensityd(keys, prob=always, offsets=ranges.offset),
            make.RandAdjustContrastd(keys, prob=always, gamma=ranges.exponent),
            make.RandGaussianSmoothd(keys, *(ranges.sigma_vox,) * 3, prob=always),
            make.RandGaussianNoised(keys, prob=always, std=ranges.std[1]),
        ],
        lazy=lazy,
    )
    return partial(_through_monai, compose)


def _through_monai(compose: Any, image: Image) -> Image:
    return compose({"image": image})["image"].as_tensor()


def torchio_chain(ranges: Ranges, side_vox: int) -> Chain:
    """Return TorchIO's transforms."""
    tio = load("torchio")
    make = tio.Compose(
        [
            tio.RandomAffine(
                scales=ranges.scale,
                degrees=ranges.rotation_deg,
                translation=ranges.shift * side_vox,
                isotropic=True,
                default_pad_value=0,
            ),
            tio.RandomFlip(axes=(0, 1, 2), flip_probability=ranges.flip),
            tio.Lambda(partial(_contrast_and_brightness, ranges)),
            tio.RandomGamma(log_gamma=tuple(math.log(end) for end in ranges.exponent)),
            tio.RandomBlur(std=ranges.sigma_vox),
            tio.RandomNoise(std=ranges.std),
        ]
    )
    return partial(_through_torchio, make, tio.ScalarImage, tio.Subject)


def _through_torchio(compose: Any, image_class: Any, subject_class: Any, image: Image) -> Image:
    found: Image = compose(subject_class(image=image_class(tensor=image)))["image"].data
    return found


def _contrast_and_brightness(ranges: Ranges, image: Image) -> Image:
    factor = torch.empty(()).uniform_(*ranges.contrast)
    offset = torch.empty(()).uniform_(*ranges.offset)
    mean = image.mean()
    return (image - mean) * factor + mean + offset


class TwoViews(Dataset[Float[Tensor, "view channel i j k"]]):
    """Cases in memory, each read as two views of it, as often as asked for."""

    def __init__(
        self, images: Float[Tensor, "case channel i j k"], chain: Chain, rounds: int
    ) -> None:
        self.images = images
        self.chain = chain
        self.rounds = rounds

    def __len__(self) -> int:
        return len(self.images) * self.rounds

    def __getitem__(self, index: int) -> Float[Tensor, "view channel i j k"]:
        image = self.images[index % len(self.images)]
        return torch.stack([self.chain(image) for _ in range(2)])


def batches(cases: TwoViews, *, workers: int) -> DataLoader[Tensor]:
    """Return a loader of batches of all cases, whose workers stay from epoch to epoch."""
    return DataLoader(
        cases,
        batch_size=len(cases.images),
        num_workers=workers,
        persistent_workers=workers > 0,
    )
