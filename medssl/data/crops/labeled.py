"""Labeled: a crop with its label, often around the foreground; slices with their neighbors.

Source: the foreground oversampling of nnU-Net (Isensee et al., Nature Methods 2021).
Departs from the paper: chance decides for each crop whether it is drawn around the foreground,
not its place in the batch.
"""

from collections.abc import Collection, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, Int, Integer

from medssl.data.cache import Cached, open_cached
from medssl.data.crops import LabeledCrops
from medssl.data.crops._cutting import (
    anywhere,
    around,
    checked_crop,
    checked_thickness,
    cut,
    cut_stack,
)
from medssl.data.manifest import Case, Manifest, is_pseudo
from medssl.data.randomness import integer, seed_of, stream, uniform
from medssl.errors import DataError

__all__ = ["Labeled"]

KEPT_VOXELS = 256
KEPT_OPEN = 64  # volumes and labels, some 100 KB each


class Labeled:
    """One crop a case; slices come from those that the manifest lets take part.

    The first draw of a case reads its whole label and remembers a few voxels of each class;
    later ones read the crop alone. A crop that is larger than the volume along an axis is
    centered and padded with zeros, which are background in the label.

    Args:
        manifest: The cases, cached, each with a label.
        root: The folder that their URIs start from.
        seed: Begins every draw.
        crop_vox: Size of a crop: two numbers for slices, three for blocks.
        foreground_share: Share of the crops that are drawn around a voxel of a class above 0,
            each class of the case being as likely; the others may lie anywhere.
        thickness: Slices of a stack, an odd number; each is a channel, and the label is that of
            the middle one. Neighbors beyond the volume are zeros. Blocks have no stacks.
    """

    def __init__(
        self,
        manifest: Manifest,
        root: Path,
        seed: int,
        *,
        crop_vox: tuple[int, ...],
        foreground_share: float = 0.5,
        thickness: int = 1,
    ) -> None:
        if not 0 <= foreground_share <= 1:
            msg = f"foreground_share must be in [0, 1], got {foreground_share}"
            raise ValueError(msg)
        uris = manifest.table["label_uri"].to_pylist()
        if bare := [row for row, uri in enumerate(uris) if uri is None]:
            msg = (
                f"labeled crops need a label for each case, {len(bare)} of {len(uris)} have none, "
                f"the first {manifest[bare[0]].case_id}; keep the labeled cases of the manifest"
            )
            raise DataError(msg)
        self.manifest, self.root, self.seed = manifest, root, seed
        self.crop_vox, self.foreground_share = checked_crop(crop_vox), foreground_share
        self.spatial_dims = len(crop_vox)
        self.thickness = self.in_channels = checked_thickness(thickness, crop_vox)
        self._foreground: dict[int, list[Int[np.ndarray, "voxel 3"]]] = {}

    def __getitem__(self, draw: tuple[int, int]) -> LabeledCrops:
        """Return the crop of case `row` in `epoch`."""
        epoch, row = draw
        case = self.manifest[row]
        image = opened(self.root / case.image_uri)
        label = opened(self.root / str(case.label_uri))
        key = (self.seed, epoch, case.digest)
        where = stream(*key)
        classes = self._foreground_of(row, case)
        if classes and uniform(where, 0, 1).item() < self.foreground_share:
            voxels = classes[integer(where, len(classes))]
            center = voxels[integer(where, len(voxels))].tolist()
            start = list(map(around, center, image.shape, (*self.crop_vox, 1)))
        else:
            sizes = zip(image.shape, self.crop_vox, strict=False)
            start = [anywhere(where, size, crop) for size, crop in sizes]
            slices = range(image.shape[2]) if case.slices is None else case.slices
            start = [*start, slices[integer(where, len(slices))]][:3]
        classes_cut = cut(label.raw, image.shape, start, self.crop_vox)[0]
        return LabeledCrops(
            image=torch.from_numpy(self._cut(image, start)[None]),
            label=torch.from_numpy(classes_cut[None].astype(np.int64)),
            seed=torch.tensor([seed_of(*key, "augmentation")]),
            is_pseudo=torch.tensor([is_pseudo(case)]),
        )

    def _cut(self, image: Cached, start: Sequence[int]) -> Float32[np.ndarray, "channel *spatial"]:
        """Read a block, or a slice with its neighbors as channels."""
        if self.spatial_dims == 3:
            return cut(image.read, image.shape, start, self.crop_vox)
        plane = (self.crop_vox[0], self.crop_vox[1])
        return cut_stack(image.read, image.shape, start, plane, thickness=self.thickness)

    def _foreground_of(self, row: int, case: Case) -> list[Int[np.ndarray, "voxel 3"]]:
        """Return some voxels of each foreground class, the same whoever asks first."""
        if row not in self._foreground:
            label = opened(self.root / str(case.label_uri))
            classes = label.raw(*(slice(0, size) for size in label.shape))[0]
            # In blocks any voxel will do; a slice must be one that takes part.
            slices = None if self.spatial_dims == 3 else case.slices
            self._foreground[row] = sampled_voxels(
                classes, slices, stream(self.seed, case.digest, "foreground")
            )
        return self._foreground[row]


def sampled_voxels(
    label: Integer[np.ndarray, "i j k"], slices: Collection[int] | None, generator: torch.Generator
) -> list[Int[np.ndarray, "voxel 3"]]:
    """Return for each class above 0 at most `KEPT_VOXELS` of its voxels, drawn at random."""
    found = np.flatnonzero(label)
    if slices is not None:
        found = found[np.isin(found % label.shape[2], list(slices))]
    classes = label.reshape(-1)[found]
    samples = []
    for number in np.unique(classes[classes > 0]):
        of_class = found[classes == number]
        if len(of_class) > KEPT_VOXELS:
            chosen = torch.randint(len(of_class), (KEPT_VOXELS,), generator=generator)
            of_class = of_class[chosen.numpy()]
        samples.append(np.stack(np.unravel_index(of_class, label.shape), axis=1))
    return samples


def opened(path: Path) -> Cached:
    """Open a cached volume, or return the one that was opened before: few cases come often.

    Raises:
        DataError: If there is none, or it is damaged.
    """
    return _opened(path, path.stat().st_mtime_ns) if path.is_file() else open_cached(path)


@lru_cache(maxsize=KEPT_OPEN)
def _opened(path: Path, change_ns: int) -> Cached:
    return open_cached(path)
