"""Partition: an item from each of a volume's parts along the slice axis.

Source: Chaitanya, Erdil, Karani, Konukoglu, "Contrastive learning of global and local
features for medical image segmentation with limited annotations", NeurIPS 2020, section 3.1:
aligned volumes show the same anatomy in the same part.
Departs from the paper: a slice k of K lies in part floor(parts * k / K), so that no slice is
left out where K is no multiple of the parts (the authors' code never draws the last ones);
blocks beside slices, where the slice in a block's middle lies in the part.
"""

from collections.abc import Sequence
from pathlib import Path

import torch

from medssl.data.cache import open_cached
from medssl.data.crops import Crops
from medssl.data.crops._cutting import anywhere, checked_count, checked_crop, cut
from medssl.data.crops._viewing import View, stacked
from medssl.data.manifest import Manifest
from medssl.data.randomness import integer, seed_of, stream
from medssl.errors import DataError

__all__ = ["Partition"]


class Partition:
    """As many items a case as it has parts; each is a slice, or a block around one.

    The views of an item share the slice and are cut at places of their own in its plane;
    a crop that is larger than the plane is centered and padded with zeros, so that a large
    one leaves the cutting to augmentation. Slices come from those that the manifest lets take
    part, or from the whole part where it lets none of it, because every part must be there.
    Blocks stay inside the volume if the part has a slice that allows it.

    Args:
        manifest: The cases, cached; each has at least as many slices as parts.
        root: The folder that their URIs start from.
        seed: Begins every draw.
        crop_vox: Size of a crop: two numbers for slices, three for blocks.
        num_parts: How many equal parts the slice axis is cut into.
        num_views: How many views there are of an item.
        shared_crop: Whether an item's views are cut at one place.
    """

    in_channels = 1

    def __init__(
        self,
        manifest: Manifest,
        root: Path,
        seed: int,
        *,
        crop_vox: tuple[int, ...],
        num_parts: int = 4,
        num_views: int = 2,
        shared_crop: bool = False,
    ) -> None:
        self.manifest, self.root, self.seed = manifest, root, seed
        self.crop_vox = checked_crop(crop_vox)
        self.num_views, self.shared_crop = checked_count("num_views", num_views), shared_crop
        self.num_parts = checked_count("num_parts", num_parts)
        self.spatial_dims = len(crop_vox)
        self.subjects = manifest.codes("subject_id")
        self._check_slices()

    def __getitem__(self, draw: tuple[int, int]) -> Crops:
        """Return the views of each part of case `row` in `epoch`."""
        epoch, row = draw
        case = self.manifest[row]
        volume = open_cached(self.root / case.image_uri)
        items = []
        for part in range(self.num_parts):
            key = (self.seed, epoch, case.digest, part)
            slices = self._slices(volume.shape[2], part, case.slices)
            k = slices[integer(stream(*key, "slice"), len(slices))]
            views = []
            for view in range(self.num_views):
                where = stream(*key, 0 if self.shared_crop else view)
                plane = zip(volume.shape[:2], self.crop_vox[:2], strict=True)
                start = [anywhere(where, size, crop) for size, crop in plane]
                start.append(k - self.crop_vox[2] // 2 if self.spatial_dims == 3 else k)
                image = cut(volume.read, volume.shape, start, self.crop_vox)
                views.append(View(image, tuple(start), seed_of(*key, view, "augmentation")))
            items.append(views)
        crops = stacked(items, int(self.subjects[row]), volume.shape)
        return crops._replace(part=torch.arange(self.num_parts))

    def _slices(self, size: int, part: int, allowed: list[int] | None) -> Sequence[int]:
        """Return the slices that an item of the part may be of, or its block be around."""
        # -(-a // b) rounds up: the first k with floor(parts * k / size) == part.
        first, end = (-(-bound * size // self.num_parts) for bound in (part, part + 1))
        if self.spatial_dims == 2:
            chosen = [k for k in allowed or () if first <= k < end]
            return chosen or range(first, end)
        below, depth = self.crop_vox[2] // 2, self.crop_vox[2]
        low = min(max(first, below), end - 1)
        high = max(min(end, size - (depth - below) + 1), first + 1)
        return range(low, high) if low < high else range(first, end)

    def _check_slices(self) -> None:
        depths = [shape[2] for shape in self.manifest.table["shape"].to_pylist()]
        if shallow := [row for row, depth in enumerate(depths) if depth < self.num_parts]:
            case = self.manifest[shallow[0]]
            msg = (
                f"partition needs at least num_parts={self.num_parts} slices a case, "
                f"{len(shallow)} of {len(depths)} cases have fewer: {case.case_id} has shape "
                f"{case.shape}; take fewer parts or leave such cases out of the manifest"
            )
            raise DataError(msg)
