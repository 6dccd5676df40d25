"""Random crops of one large CT: ours against MONAI's datasets and against a memory map.

The same voxels for all: a real CT, read by `index` and `cache` and continued by its mirror image
to the size of a large one. All files are in the page cache, all draw crops of one size at places
of their own, on the same cores, in turn. All return int16 as stored, in a tensor of its own:
MONAI's users would keep float32, of twice the bytes, so this is in the peers' favor. Ours opens
the file for every crop, as our datasets do; what the peers keep open or in memory, they keep.

Each contender's crop is compared with the image, voxel by voxel, before anything is timed.
"""

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Shaped
from monai.data.dataset import CacheDataset, PersistentDataset
from monai.data.meta_tensor import MetaTensor
from monai.transforms.compose import Compose
from monai.transforms.croppad.dictionary import RandSpatialCropd
from monai.transforms.utility.dictionary import Lambdad
from torch import Tensor

from medssl.data.cache import Cached, open_cached, write_cached
from medssl.data.manifest import read_manifest
from medssl.data.mirror import resolve
from medssl.data.preprocessing import Preprocessing, intensity
from medssl.data.volume import Volume
from medssl.errors import ConfigError, DataError
from pipelines.benches import Goal, Measured, Result
from pipelines.benches._measuring import alternate, emptied, median_of, on_cores, ratio, show
from pipelines.benches._road import index_and_cache

__all__ = ["CropRead"]

PEERS = ("monai", "torch", "numpy")
Places = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Contender:
    """One way to crops.

    Args:
        draw: Returns a crop, (1, i, j, k), and where it was cut.
        does: What happens for it, in words.
    """

    draw: Callable[[], tuple[Tensor, Places]]
    does: str


@dataclass(frozen=True, kw_only=True)
class CropRead:
    """Measures milliseconds a crop, and bytes on disk.

    Args:
        source: A folder with one DICOM series of a CT.
        shape: Voxels along R, A and S that the CT is mirrored to.
        crop_vox: Voxels along each axis of a crop.
        crops: How many are drawn for one timing.
        repetitions: How often each is timed.
        cores: How many all run on.
        faster_than_persistent: How many times PersistentDataset's crops a second ours should be.
        slower_than_memmap: How many times a memory map's time a crop ours may take.
        share_of_disk: What share of the memory map's bytes ours may take.
    """

    source: str
    shape: tuple[int, int, int] = (512, 512, 200)
    crop_vox: tuple[int, int, int] = (96, 96, 96)
    crops: int = 20
    repetitions: int = 7
    cores: int = 2
    faster_than_persistent: float = 10.0
    slower_than_memmap: float = 20.0
    share_of_disk: float = 0.65

    def __post_init__(self) -> None:
        if min(self.crops, self.repetitions, self.cores, *self.crop_vox) < 1:
            msg = "crops, repetitions, cores and crop_vox must be at least 1"
            raise ConfigError(msg)
        if any(crop > size for crop, size in zip(self.crop_vox, self.shape, strict=True)):
            msg = f"expected crops within {self.shape}, got crop_vox {self.crop_vox}"
            raise ConfigError(msg)

    def __call__(self, folder: Path) -> Result:
        """Write the image in all forms, compare crops, then time them."""
        with on_cores(self.cores), emptied(folder / "scratch") as scratch:
            image = mirrored(ct(resolve(self.source), scratch / "road"), self.shape)
            mapped, packed = scratch / "image.npy", scratch / "packed" / "image.b2nd"
            np.save(mapped, image.voxels)
            write(packed, image)
            contenders = self._contenders(mapped, packed, scratch)
            for name, contender in contenders.items():
                check_equal(name, contender, image.voxels)
            works = {name: partial(self._timed, one) for name, one in contenders.items()}
            taken_s = alternate(works, scratch / "turns", self.repetitions)
            share = packed.stat().st_size / mapped.stat().st_size
        does = {name: one.does for name, one in contenders.items()}
        show(self._ms(taken_s), unit="ms a crop", notes=does)
        return Result(
            measured=(*self._each(taken_s), *self._against(taken_s, share)),
            details={
                "ms_a_crop": self._ms(taken_s),
                "does": does,
                "peers": {name: version(name) for name in PEERS},
            },
        )

    def _contenders(self, mapped: Path, packed: Path, scratch: Path) -> dict[str, Contender]:
        voxels = np.load(mapped, mmap_mode="r")
        places = partial(random_places, np.random.default_rng(0), self.shape, self.crop_vox)
        steps = partial(transforms, self.crop_vox)
        items = [{"image": str(mapped)}]
        kept = open_cached(packed)
        kept.raw()  # warm: every chunk was checked, as after the first epochs
        unseen = shutil.copytree(packed.parent, scratch / "unseen") / packed.name
        return {
            "medssl": Contender(
                lambda: _ours(open_cached(packed), places()), "opens the file, decodes blocks"
            ),
            "kept_open": Contender(lambda: _ours(kept, places()), "medssl with a file kept open"),
            "first": Contender(
                lambda: _unseen(unseen, places()), "medssl, a file that this process has not seen"
            ),
            "memmap": Contender(lambda: _copied(voxels, places()), "numpy: copies from a map"),
            "persistent_dataset": Contender(
                _theirs(PersistentDataset(items, steps(), cache_dir=scratch / "persistent")),
                "MONAI: loads the whole image from its cache, then RandSpatialCropd",
            ),
            "cache_dataset": Contender(
                _theirs(CacheDataset(items, steps(), progress=False)),
                "MONAI: copies the whole image in memory, then RandSpatialCropd",
            ),
        }

    def _timed(self, contender: Contender, unused: Path) -> None:
        for _ in range(self.crops):
            contender.draw()

    def _ms(self, taken_s: Mapping[str, list[float]]) -> dict[str, list[float]]:
        return {name: [1000 * s / self.crops for s in all_s] for name, all_s in taken_s.items()}

    def _each(self, taken_s: Mapping[str, list[float]]) -> list[Measured]:
        return [
            median_of(f"{name}_ms", ms, unit="ms a crop") for name, ms in self._ms(taken_s).items()
        ]

    def _against(self, taken_s: Mapping[str, list[float]], share: float) -> list[Measured]:
        ours = taken_s["medssl"]
        faster = Goal(side="at least", limit=self.faster_than_persistent)
        slower = Goal(side="at most", limit=self.slower_than_memmap)
        smaller = Goal(side="at most", limit=self.share_of_disk)
        unit = "x the crops/s of MONAI's"
        return [
            ratio("cache_dataset", taken_s["cache_dataset"], ours, unit=f"{unit} CacheDataset"),
            Measured(
                name="disk",
                value=share,
                low=share,
                high=share,
                unit="of the memory map's bytes",
                goal=smaller,
            ),
            ratio("memmap", ours, taken_s["memmap"], unit="x the time of a memmap", goal=slower),
            ratio(
                "persistent_dataset",
                taken_s["persistent_dataset"],
                ours,
                unit=f"{unit} PersistentDataset",
                goal=faster,
            ),
        ]


def ct(root: Path, output: Path) -> Volume:
    """Return the one volume of a folder, as `index` and `cache` bring it.

    Raises:
        DataError: If there is another number of volumes.
    """
    index_and_cache([root], output, jobs=1)
    manifest = read_manifest(output / "cache" / "manifest.parquet")
    if len(manifest) != 1:
        msg = f"{root}: expected one series, found {len(manifest)} cases; name a folder of one CT"
        raise DataError(msg)
    (case,) = manifest
    cached = open_cached(output / "cache" / case.image_uri)
    return Volume(cached.raw(), cached.affine)


def mirrored(volume: Volume, shape: tuple[int, int, int]) -> Volume:
    """Return the volume cut or continued by its mirror image to a shape."""
    sizes = volume.voxels.shape[1:]
    missing = [(0, max(to - size, 0)) for size, to in zip(sizes, shape, strict=True)]
    grown = np.pad(volume.voxels, [(0, 0), *missing], mode="symmetric")
    i, j, k = shape
    return Volume(np.ascontiguousarray(grown[:, :i, :j, :k]), volume.affine)


def write(path: Path, image: Volume) -> None:
    """Write a CT as `cache` does."""
    write_cached(
        path,
        image,
        intensity=intensity(image, "CT", Preprocessing()),
        source_affine=image.affine,
        source_shape=image.voxels.shape[1:],
        key=path.stem,
    )


def transforms(crop_vox: tuple[int, int, int]) -> Compose:
    """Return MONAI's way from a file to a crop; what comes before the crop is cached."""
    return Compose(
        [
            Lambdad("image", _loaded),
            RandSpatialCropd("image", roi_size=crop_vox, random_size=False),
        ]
    ).set_random_state(seed=0)


def random_places(
    generator: np.random.Generator, shape: tuple[int, int, int], crop_vox: tuple[int, int, int]
) -> Places:
    """Return where a crop lies, each place within the image as likely as the others."""
    free = [size - crop + 1 for size, crop in zip(shape, crop_vox, strict=True)]
    i, j, k = (
        slice(int(start), int(start) + crop)
        for start, crop in zip(generator.integers(0, free), crop_vox, strict=True)
    )
    return i, j, k


def check_equal(name: str, contender: Contender, voxels: Shaped[np.ndarray, "1 i j k"]) -> None:
    """Check that a contender returns the image's voxels, of its type, in memory of their own.

    Raises:
        DataError: If it does not.
    """
    crop, places = contender.draw()
    expected = voxels[(slice(None), *places)]
    if crop.numpy().dtype != voxels.dtype or not np.array_equal(crop.numpy(), expected):
        msg = f"{name}: expected the image's {voxels.dtype} at {places}, got other voxels"
        raise DataError(msg)


def _ours(cached: Cached, places: Places) -> tuple[Tensor, Places]:
    return torch.from_numpy(cached.raw(*places)), places


def _unseen(path: Path, places: Places) -> tuple[Tensor, Places]:
    os.utime(path)  # what was checked of a file is known by its time of change
    return _ours(open_cached(path), places)


def _copied(voxels: Shaped[np.ndarray, "1 i j k"], places: Places) -> tuple[Tensor, Places]:
    return torch.from_numpy(np.array(voxels[(slice(None), *places)])), places


def _loaded(path: str) -> MetaTensor:
    # No LoadImaged: it warns of readers that are not installed, and this part is not timed.
    return MetaTensor(np.load(path))


def _theirs(dataset: PersistentDataset | CacheDataset) -> Callable[[], tuple[Tensor, Places]]:
    def draw() -> tuple[Tensor, Places]:
        crop: MetaTensor = dataset[0]["image"]  # its origin in voxels is where it was cut
        i, j, k = (
            slice(int(start), int(start) + size)
            for start, size in zip(crop.affine[:3, 3], crop.shape[1:], strict=True)
        )
        return crop.as_tensor(), (i, j, k)

    return draw
