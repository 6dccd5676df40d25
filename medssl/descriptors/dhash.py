"""dHash: whether the image, made tiny, gets brighter from one pixel to the next.

Nearly invariant to gain and offset, not to flips. A constant image and one that only gets
darker have the same hash, all zeros: blank slices have to be told apart by other means.

Source: Krawetz, "Kind of Like That", hackerfactor.com, 2013; as used on CT by Wolf et al.,
CIBM 183, 2024, arXiv:2410.14524.
Code: JohannesBuchner/imagehash 4.3.2, `dhash` and `dhash_vertical`: a slice's words equal
`int(str(hash), 16)` of the slice as a picture whose columns run along i and rows along j.
Departs from the code: grey values come from a fixed window of the normalized image, 0 to 1,
not from each image's own range. Volumes are ours: the same in 3-D, resized axis by axis.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Bool, Float32, UInt8, UInt64
from PIL import Image

from medssl.descriptors._pictures import LANCZOS, grey, resized
from medssl.similarity import Kind

__all__ = ["DHash"]

SIDE = 8  # comparisons along each axis: 64 bits a slice


@dataclass(frozen=True, kw_only=True)
class DHash:
    """Words of 64 bits, the first comparison in the highest bit; channels one after another.

    A slice has a word along i, and one along j if `axes` is `all`. A word's bits are those of
    the rows j, from the left, i = 0, to the right. A volume has a word for each of 8 slabs
    along k, so 512 bits an axis: along i, and along j and k if `axes` is `all`.

    Args:
        axes: Along which axes neighbors are compared: the `first`, or `all` of them.
    """

    kind: ClassVar[Kind] = "hash"
    learned: ClassVar[bool] = False
    columns: ClassVar[tuple[str, ...]] = ()

    axes: Literal["first", "all"] = "first"

    def volume(self, voxels: Float32[np.ndarray, "channel i j k"]) -> UInt64[np.ndarray, "dim"]:
        """Return the words of a volume."""
        compared = (2, 1, 0) if self.axes == "all" else (2,)
        return np.concatenate(
            [
                words(brighter(tiny_volume(pictures, compared=axis), axis))
                for pictures in map(grey, voxels)
                for axis in compared
            ]
        )

    def slices(
        self, voxels: Float32[np.ndarray, "channel i j k"]
    ) -> UInt64[np.ndarray, "slice dim"]:
        """Return the words of each slice."""
        compared = (2, 1) if self.axes == "all" else (2,)
        columns = [
            words(brighter(tiny_slices(pictures, compared=axis), axis))
            for pictures in map(grey, voxels)
            for axis in compared
        ]
        return np.stack(columns, axis=1)


def tiny_slices(
    pictures: UInt8[np.ndarray, "k j i"], *, compared: int
) -> UInt8[np.ndarray, "k b a"]:
    """Return each slice as 8 x 8 pixels, 9 along the axis in which neighbors are compared."""
    return resized(pictures, (SIDE + (compared == 2), SIDE + (compared == 1)))


def tiny_volume(
    pictures: UInt8[np.ndarray, "k j i"], *, compared: int
) -> UInt8[np.ndarray, "c b a"]:
    """Return the volume as 8 x 8 x 8 voxels, 9 along the axis in which neighbors are compared."""
    slices = tiny_slices(pictures, compared=compared)
    # Along k as a picture of that height, its width as it is.
    columns = Image.fromarray(slices.reshape(len(slices), -1))
    shrunk = columns.resize((columns.width, SIDE + (compared == 0)), LANCZOS)
    return np.asarray(shrunk).reshape(shrunk.height, *slices.shape[1:])


def brighter(tiny: UInt8[np.ndarray, "c b a"], axis: int) -> Bool[np.ndarray, "c2 b2 a2"]:
    """Return where a voxel is brighter than the one before it along an axis."""
    after, before = (slice(1, None), slice(None, -1))
    ahead = (slice(None),) * axis
    return tiny[*ahead, after] > tiny[*ahead, before]


def words(bits: Bool[np.ndarray, "word b a"]) -> UInt64[np.ndarray, "word"]:
    """Pack bits, row by row, the first into a word's highest."""
    packed = np.packbits(bits.reshape(len(bits), SIDE * SIDE), axis=1)
    return packed.view(">u8")[:, 0].astype(np.uint64)
