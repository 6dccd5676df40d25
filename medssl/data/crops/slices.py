"""Slices: of any of a volume's three planes, with their neighbors as channels if asked for.

Source: slices of all orientations as 2-D images, as Nguyen et al., "LVM-Med", NeurIPS 2023, take
them; a slice between its neighbors is the 2.5-D input of Roth et al., "A new 2.5D representation
for lymph node detection using random sets of deep convolutional neural network observations",
MICCAI 2014.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Int

from medssl.data.cache import Cached, open_cached
from medssl.data.crops import Crops
from medssl.data.crops._cutting import anywhere, checked_count, checked_thickness, cut_stack
from medssl.data.crops._viewing import View, stacked
from medssl.data.manifest import Case, Manifest
from medssl.data.randomness import integer, seed_of, stream
from medssl.errors import DataError

__all__ = ["Slices"]

Plane = Literal["sagittal", "coronal", "axial"]
ACROSS: dict[Plane, int] = {"sagittal": 0, "coronal": 1, "axial": 2}


class Slices:
    """Crops of one slice, as `crop_vox` along the two axes that are left.

    An item a case draws its plane and its slice anew each time; an item a slice is that axial
    slice, so that an epoch sees all there are and is shorter where there are fewer. Neighbors
    beyond the volume are zeros, as what lies beyond its plane is. Slices that the manifest lets
    take part are axial ones.

    Args:
        manifest: The cases, cached.
        root: The folder that their URIs start from.
        seed: Begins every draw.
        crop_vox: Size of a crop along the earlier and the later axis of its plane.
        items: Whether there is one each `case` or each `slice`.
        planes: Of which it may be.
        thickness: Slices of a stack, an odd number; each is a channel.
        num_views: How many views there are of an item.
        shared_crop: Whether an item's views are cut at one place.
    """

    spatial_dims = 2

    def __init__(  # noqa: PLR0913  # the plane, and what of it
        self,
        manifest: Manifest,
        root: Path,
        seed: int,
        *,
        crop_vox: tuple[int, ...],
        items: Literal["case", "slice"] = "case",
        planes: tuple[Plane, ...] = ("sagittal", "coronal", "axial"),
        thickness: int = 1,
        num_views: int = 2,
        shared_crop: bool = False,
    ) -> None:
        if len(crop_vox) != 2 or min(crop_vox) < 1:
            msg = f"crop_vox must be 2 counts for slices, got {crop_vox}"
            raise ValueError(msg)
        if not planes or len(set(planes)) < len(planes):
            msg = f"planes must be some of {[*ACROSS]}, each once, got {planes}"
            raise ValueError(msg)
        if planes != ("axial",):
            _check_whole(manifest, planes)
            if items == "slice":
                msg = f"planes must be [axial] where each slice is an item, got {planes}"
                raise ValueError(msg)
        self.manifest, self.root, self.seed = manifest, root, seed
        self.crop_vox, self.planes = (crop_vox[0], crop_vox[1]), planes
        self.thickness = self.in_channels = checked_thickness(thickness, crop_vox)
        self.num_views, self.shared_crop = checked_count("num_views", num_views), shared_crop
        self.place = _places(manifest) if items == "slice" else None
        of_case = manifest.codes("subject_id")
        self.subjects = of_case if self.place is None else of_case[self.place[:, 0]]

    def __getitem__(self, draw: tuple[int, int]) -> Crops:
        """Return the views of item `row` in `epoch`."""
        epoch, row = draw
        case = self.manifest[row if self.place is None else int(self.place[row, 0])]
        volume = open_cached(self.root / case.image_uri)
        key: tuple[int | str, ...] = (self.seed, epoch, case.digest)
        if self.place is None:
            chosen = stream(*key, "slice")
            across = ACROSS[self.planes[integer(chosen, len(self.planes))]]
            allowed = self._allowed(case, volume, across)
            middle = allowed[integer(chosen, len(allowed))]
        else:
            across, middle = ACROSS["axial"], int(self.place[row, 1])
            key = (*key, middle)
        axes = [axis for axis in range(3) if axis != across]
        views = []
        for view in range(self.num_views):
            where = stream(*key, 0 if self.shared_crop else view)
            start = [0, 0, 0]
            start[across] = middle
            for axis, crop in zip(axes, self.crop_vox, strict=True):
                start[axis] = anywhere(where, volume.shape[axis], crop)
            image = cut_stack(
                volume.read,
                volume.shape,
                start,
                self.crop_vox,
                across=across,
                thickness=self.thickness,
            )
            views.append(View(image, tuple(start), seed_of(*key, view, "augmentation")))
        crops = stacked([views], int(self.subjects[row]), volume.shape)
        return crops._replace(axes=torch.tensor(axes).repeat(1, self.num_views, 1))

    def _allowed(self, case: Case, volume: Cached, across: int) -> Sequence[int]:
        """Return the slices that may be in the middle of a stack."""
        is_whole = case.slices is None or across != ACROSS["axial"]
        return range(volume.shape[across]) if is_whole else list(case.slices or ())


def _places(manifest: Manifest) -> Int[np.ndarray, "item 2"]:
    """Return the case and the slice of each axial slice that takes part."""
    depths = [shape[2] for shape in manifest.table["shape"].to_pylist()]
    listed = manifest.table["slices"].to_pylist()
    return np.array(
        [
            (row, k)
            for row, (depth, slices) in enumerate(zip(depths, listed, strict=True))
            for k in (range(depth) if slices is None else slices)
        ],
        np.int64,
    )


def _check_whole(manifest: Manifest, planes: tuple[Plane, ...]) -> None:
    kept = manifest.table["slices"].to_pylist()
    if some := [row for row, slices in enumerate(kept) if slices is not None]:
        msg = (
            f"slices: {len(some)} of {len(kept)} cases were reduced to some of their axial slices, "
            f"the first {manifest[some[0]].case_id}, which says nothing of the others of {planes}; "
            "set planes to [axial]"
        )
        raise DataError(msg)
