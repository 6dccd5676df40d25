"""How do images come by a factor that is known to tell their groups apart?

Contrastive analysis is to tell what only targets have from what they share with a background. On
real images it can be tested where the difference was planted. A member of this family is a frozen
dataclass that makes a piece of a scene: of the background, or of the target, which has something
more. Where the piece lies is drawn first, from the generator that is given, so that a background
and a target of equal generators are the same place. Attributes say what was planted; a piece of
the background has none of them.

Source: Otsu, "A threshold selection method from gray-level histograms", IEEE SMC 1979.
"""

from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool
from skimage.filters import threshold_otsu

from medssl.data.volume import Volume
from medssl.errors import DataError

FOREGROUND_ML = "foreground_ml"  # an attribute: a factor that background and target share


@dataclass(frozen=True)
class Scene:
    """What is planted in.

    Args:
        volume: Normalized voxels, as float32.
        foreground: Those above Otsu's threshold in their brightest channel.
    """

    volume: Volume
    foreground: Bool[np.ndarray, "i j k"]

    @classmethod
    def of(cls, volume: Volume) -> "Scene":
        """Tell the foreground of a volume.

        Raises:
            DataError: If there is none.
        """
        bright = volume.voxels.max(axis=0)
        # Flat, or three slices would be taken for the colors of an image.
        foreground = bright > threshold_otsu(bright.ravel())
        if not foreground.any():
            msg = (
                f"expected tissue that is brighter than the rest, found all {bright.size} voxels "
                f"at {bright.flat[0]:.4g}; leave the case out of the manifest"
            )
            raise DataError(msg)
        return cls(volume, foreground)

    @property
    def foreground_ml(self) -> float:
        """Volume of the foreground."""
        voxel_mm3 = abs(np.linalg.det(self.volume.affine[:3, :3]))
        return float(np.count_nonzero(self.foreground) * voxel_mm3 / 1000)


@dataclass(frozen=True)
class Planted:
    """A piece of a scene.

    Args:
        volume: Float32 voxels in which something was planted or not, and where they are.
        attributes: What was planted, as a manifest says it; none of a background.
        plane: The slice along the last axis to look at.
    """

    volume: Volume
    attributes: dict[str, str]
    plane: int


@runtime_checkable
class Planting(Protocol):
    """Makes pieces of scenes.

    Attributes:
        plants: The attributes that tell what was planted.
    """

    plants: ClassVar[tuple[str, ...]]

    def __call__(
        self, scene: Scene, rng: np.random.Generator, *, is_target: bool, is_held_out: bool
    ) -> Planted:
        """Return a piece; where it is held out, of what no other piece shows.

        Raises:
            DataError: If the scene has no place for it.
        """
        ...
