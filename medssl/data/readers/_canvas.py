"""A label that is drawn class by class on an image's grid, no voxel of which may have two."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64, UInt16

from medssl.data.verdicts import Code, RefusedError
from medssl.data.volume import Volume
from medssl.geometry import Affine


class Canvas:
    """The class of each voxel, 0 where nothing was drawn, and the voxels that have several.

    Args:
        shape: Of the image.
        affine: Of the image, to RAS+ mm.
    """

    def __init__(self, shape: Sequence[int], affine: Affine) -> None:
        self.affine = affine
        self.values = np.zeros(tuple(shape), np.uint16)
        self.contested = np.zeros(tuple(shape), np.bool_)

    def draw(
        self, voxels: Int64[np.ndarray, "3 voxel"], values: UInt16[np.ndarray, "voxel"]
    ) -> None:
        """Give voxels within the image a class each; what is drawn twice must agree."""
        where = (voxels[0], voxels[1], voxels[2])
        before = self.values[where]
        self.contested[where] |= (before != 0) & (before != values)
        self.values[where] = values

    def volume(self) -> Volume:
        """Return the label.

        Raises:
            RefusedError: If a voxel has several classes.
        """
        if count := int(self.contested.sum()):
            sentence = f"{count} voxels are of several classes: which one is to win is not known"
            raise RefusedError(Code.LABEL_CONFLICT, sentence)
        return Volume(self.values[None], self.affine)
