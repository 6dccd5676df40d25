"""Random: a crop a view, anywhere in the case; one item of a case, or several.

Source: the usual sampling of joint-embedding pretraining; with `shared_crop` the pairs that
Chaitanya et al., "Contrastive learning of global and local features for medical image
segmentation with limited annotations", NeurIPS 2020, section 3.2, contrast region by region;
with several items the patches of a volume that Nguyen et al., "LVM-Med", NeurIPS 2023, match.
"""

from pathlib import Path

from medssl.data.cache import open_cached
from medssl.data.crops import Crops
from medssl.data.crops._cutting import checked_count, checked_crop
from medssl.data.crops._viewing import stacked, views_of
from medssl.data.manifest import Manifest
from medssl.data.randomness import integer, stream

__all__ = ["Random"]


class Random:
    """Items of a case; the views of each are crops at places of their own.

    Slices come from those that the manifest lets take part, all views of an item from the
    same one. Blocks need their neighbors and come from anywhere. A crop that is larger than
    the volume along an axis is centered and padded with zeros.

    Args:
        manifest: The cases, cached.
        root: The folder that their URIs start from.
        seed: Begins every draw.
        crop_vox: Size of a crop: two numbers for slices, three for blocks.
        num_items: How many items a case gives.
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
        num_items: int = 1,
        num_views: int = 2,
        shared_crop: bool = False,
    ) -> None:
        self.manifest, self.root, self.seed = manifest, root, seed
        self.crop_vox = checked_crop(crop_vox)
        self.num_items = checked_count("num_items", num_items)
        self.num_views, self.shared_crop = checked_count("num_views", num_views), shared_crop
        self.spatial_dims = len(crop_vox)
        self.subjects = manifest.codes("subject_id")

    def __getitem__(self, draw: tuple[int, int]) -> Crops:
        """Return the views of case `row` in `epoch`."""
        epoch, row = draw
        case = self.manifest[row]
        volume = open_cached(self.root / case.image_uri)
        slices = range(volume.shape[2]) if case.slices is None else case.slices
        items = []
        for item in range(self.num_items):
            # The first is what it would be alone.
            key = (self.seed, epoch, case.digest, *(("item", item) if item else ()))
            k = slices[integer(stream(*key, "slice"), len(slices))]
            items.append(
                views_of(
                    volume,
                    key,
                    range(self.num_views),
                    crop_vox=self.crop_vox,
                    k=k,
                    shared_crop=self.shared_crop,
                )
            )
        return stacked(items, int(self.subjects[row]), volume.shape)
