"""Multi-crop: a few large crops of a case, and more small ones, which cost little.

Source: Caron et al., "Unsupervised learning of visual features by contrasting cluster
assignments" (SwAV), NeurIPS 2020, arXiv:2006.09882, section 3.2; DINO takes them over.
Departs from the paper: crops are of the sizes that are asked for and not zoomed to them, since a
voxel's size means something here; `crop_resize` among the views zooms where that is wanted.
"""

from pathlib import Path

from medssl.data.cache import open_cached
from medssl.data.crops import MultiCrops
from medssl.data.crops._cutting import checked_count, checked_crop
from medssl.data.crops._viewing import stacked, views_of
from medssl.data.manifest import Manifest
from medssl.data.randomness import integer, stream

__all__ = ["MultiCrop"]


class MultiCrop:
    """One item a case; its crops of both sizes lie anywhere in the case, those of a slice in one.

    Slices come from those that the manifest lets take part. A crop that is larger than the volume
    along an axis is centered and padded with zeros.

    Args:
        manifest: The cases, cached.
        root: The folder that their URIs start from.
        seed: Begins every draw.
        crop_vox: Size of a global crop: two numbers for slices, three for blocks.
        local_crop_vox: Size of a local crop, along as many axes, nowhere larger.
        num_global: How many global crops there are of an item.
        num_local: How many local ones.
    """

    in_channels = 1

    def __init__(
        self,
        manifest: Manifest,
        root: Path,
        seed: int,
        *,
        crop_vox: tuple[int, ...],
        local_crop_vox: tuple[int, ...],
        num_global: int = 2,
        num_local: int = 6,
    ) -> None:
        self.manifest, self.root, self.seed = manifest, root, seed
        self.crop_vox, self.local_crop_vox = checked_crop(crop_vox), local_crop_vox
        self.num_global = checked_count("num_global", num_global)
        self.num_local = checked_count("num_local", num_local)
        self.spatial_dims = len(crop_vox)
        self.subjects = manifest.codes("subject_id")
        sizes = [*zip(crop_vox, local_crop_vox, strict=False)]
        is_within = all(1 <= local <= size for size, local in sizes)
        if len(local_crop_vox) != len(crop_vox) or not is_within:
            msg = (
                f"local_crop_vox must be {len(crop_vox)} counts, none above that of crop_vox "
                f"{crop_vox}, got {local_crop_vox}"
            )
            raise ValueError(msg)

    def __getitem__(self, draw: tuple[int, int]) -> MultiCrops:
        """Return the crops of case `row` in `epoch`."""
        epoch, row = draw
        case = self.manifest[row]
        volume = open_cached(self.root / case.image_uri)
        slices = range(volume.shape[2]) if case.slices is None else case.slices
        key = (self.seed, epoch, case.digest)
        k = slices[integer(stream(*key, "slice"), len(slices))]
        every = range(self.num_global + self.num_local)
        large, small = every[: self.num_global], every[self.num_global :]
        of_case = int(self.subjects[row]), volume.shape
        return MultiCrops(
            stacked([views_of(volume, key, large, crop_vox=self.crop_vox, k=k)], *of_case),
            stacked([views_of(volume, key, small, crop_vox=self.local_crop_vox, k=k)], *of_case),
        )
