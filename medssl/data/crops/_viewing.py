"""Views of an item, each cut at a place of its own or all at one."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Shaped

from medssl.data.cache import Cached
from medssl.data.crops import Crops
from medssl.data.crops._cutting import anywhere, cut
from medssl.data.randomness import seed_of, stream


class View(NamedTuple):
    """One view of an item.

    Args:
        image: What was cut.
        start: The first voxel, along i, j and k.
        seed: Where its augmentation begins.
    """

    image: Shaped[np.ndarray, "channel *spatial"]
    start: tuple[int, ...]
    seed: int


def views_of(
    volume: Cached,
    key: tuple[int | str, ...],
    numbers: Iterable[int],
    *,
    crop_vox: tuple[int, ...],
    k: int,
    shared_crop: bool = False,
) -> list[View]:
    """Cut views anywhere in a volume.

    Args:
        volume: Of the case.
        key: What the item's draws are a function of.
        numbers: Of the views, each a part of its view's draws.
        crop_vox: Size of a crop: two numbers for slices, three for blocks.
        k: The slice that crops of two numbers are of.
        shared_crop: Whether all are cut where the first is.
    """
    views = []
    for number in numbers:
        where = stream(*key, 0 if shared_crop else number)
        sizes = zip(volume.shape, crop_vox, strict=False)
        start = (*(anywhere(where, size, crop) for size, crop in sizes), k)[:3]
        image = cut(volume.read, volume.shape, start, crop_vox)
        views.append(View(image, start, seed_of(*key, number, "augmentation")))
    return views


def stacked(items: list[list[View]], subject: int, extent: tuple[int, ...]) -> Crops:
    """Return the items of one case of this extent, as many views of each, as a batch."""
    count, dims = len(items), items[0][0].image.ndim - 1
    shape = (count, len(items[0]))
    views = [view for item in items for view in item]
    return Crops(
        image=torch.from_numpy(np.stack([view.image for view in views])).unflatten(0, shape),
        start=torch.tensor([view.start for view in views]).unflatten(0, shape),
        axes=torch.arange(dims).repeat(*shape, 1),
        seed=torch.tensor([view.seed for view in views]).unflatten(0, shape),
        volume=torch.zeros(count, dtype=torch.int64),
        part=torch.zeros(count, dtype=torch.int64),
        subject=torch.full((count,), subject),
        extent=torch.tensor(extent).repeat(count, 1),
    )
