"""Lesion: the whole volume, and in targets a bright ball in its tissue, left or right.

Source: none; balls because their size and side are known, whatever they are measured by.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float64, Int
from scipy import ndimage

from medssl.data.planting import Planted, Scene
from medssl.data.volume import Volume
from medssl.errors import DataError
from medssl.geometry import Affine, spacing_mm

__all__ = ["Lesion"]

SIDES = {"left": -1, "right": 1}  # R+ is the patient's right


@dataclass(frozen=True, kw_only=True)
class Lesion:
    """A ball with an edge as wide as a voxel, wholly within the image.

    Its center is a voxel of the foreground that lies on the drawn side of the sagittal plane
    through the foreground's center of mass, at least a radius away from that plane.

    Args:
        radius_mm: Smallest and largest radius.
        contrast: What it adds, in normalized intensities.
        margin_mm: How far along each axis its center is from what is no foreground.
    """

    plants: ClassVar[tuple[str, ...]] = ("lesion_diameter_mm", "lesion_side")

    radius_mm: tuple[float, float] = (4.0, 12.0)
    contrast: float = 0.5
    margin_mm: float = 2.0

    def __post_init__(self) -> None:
        low, high = self.radius_mm
        if not 0 < low <= high < np.inf:
            msg = f"radius_mm must be (low, high) with 0 < low <= high, got {self.radius_mm}"
            raise ValueError(msg)
        if not 0 < self.contrast < np.inf:
            msg = f"contrast must be positive, got {self.contrast}"
            raise ValueError(msg)
        if not 0 <= self.margin_mm < np.inf:
            msg = f"margin_mm must not be negative, got {self.margin_mm}"
            raise ValueError(msg)

    def __call__(
        self, scene: Scene, rng: np.random.Generator, *, is_target: bool, is_held_out: bool
    ) -> Planted:
        """Return the volume; what is held out is drawn as all else, no ball being like another.

        Raises:
            DataError: If the largest ball has no room in the image, or this one in the tissue.
        """
        volume = scene.volume
        _check_room(volume, self.radius_mm[1])
        if not is_target:
            return Planted(volume, {}, plane=volume.voxels.shape[3] // 2)
        radius_mm = float(rng.uniform(*self.radius_mm))
        side = ("left", "right")[rng.integers(2)]
        center = self._center(scene, radius_mm, side, rng)
        ball = soft_ball(volume.affine, radius_mm)
        voxels = volume.voxels.copy()
        first = center - np.array(ball.shape) // 2
        box = tuple(slice(at, at + size) for at, size in zip(first, ball.shape, strict=True))
        voxels[:, *box] += (self.contrast * ball).astype(np.float32)
        attributes = {"lesion_diameter_mm": f"{2 * radius_mm:.3f}", "lesion_side": side}
        return Planted(Volume(voxels, volume.affine), attributes, plane=int(center[2]))

    def _center(
        self, scene: Scene, radius_mm: float, side: str, rng: np.random.Generator
    ) -> Int[np.ndarray, "3"]:
        """Return the voxel that a ball is drawn about.

        Raises:
            DataError: If no voxel of that side's tissue would do.
        """
        affine = scene.volume.affine
        room = reach_vox(affine, radius_mm)
        inside = tuple(
            slice(edge, size - edge)
            for edge, size in zip(room, scene.foreground.shape, strict=True)
        )
        fits = eroded(scene.foreground, affine, self.margin_mm)[inside]
        fits &= toward_mm(scene, side)[inside] >= radius_mm
        places = np.flatnonzero(fits)
        if len(places) == 0:
            msg = (
                f"expected tissue on the {side} for a ball of {radius_mm:.1f} mm, found no voxel "
                f"{self.margin_mm:g} mm from its border and a radius from the middle and from the "
                "image's border; set planting.radius_mm or planting.margin_mm lower, or leave the "
                "case out of the manifest"
            )
            raise DataError(msg)
        place = np.unravel_index(places[rng.integers(len(places))], fits.shape)
        return np.array(place) + room


def _check_room(volume: Volume, radius_mm: float) -> None:
    """Refuse an image in which a ball does not fit.

    Raises:
        DataError: If it is thinner along an axis.
    """
    needed = 2 * reach_vox(volume.affine, radius_mm) + 1
    shape = volume.voxels.shape[1:]
    if (needed > shape).any():
        msg = (
            f"expected room for a ball of {radius_mm:g} mm, {needed.tolist()} voxels, got an image "
            f"of {list(shape)}; set planting.radius_mm lower, or leave the case out of the manifest"
        )
        raise DataError(msg)


def soft_ball(affine: Affine, radius_mm: float) -> Float64[np.ndarray, "i j k"]:
    """Return how much of a ball about the middle voxel of a box each of its voxels has."""
    room = reach_vox(affine, radius_mm)
    axes = [np.arange(-size, size + 1) for size in room]
    offsets = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    distance_mm = np.linalg.norm(offsets @ affine[:3, :3].T, axis=-1)
    return np.clip(0.5 + (radius_mm - distance_mm) / edge_mm(affine), 0, 1)


def edge_mm(affine: Affine) -> float:
    """Return the width of a ball's edge: the side of a cube as large as a voxel."""
    return float(np.cbrt(abs(np.linalg.det(affine[:3, :3]))))


def reach_vox(affine: Affine, radius_mm: float) -> Int[np.ndarray, "3"]:
    """Return how many voxels a ball and its edge reach from its center along each array axis."""
    steps_a_mm = np.linalg.norm(np.linalg.inv(affine[:3, :3]), axis=1)
    return np.ceil((radius_mm + edge_mm(affine) / 2) * steps_a_mm).astype(np.int64)


def eroded(
    foreground: Bool[np.ndarray, "i j k"], affine: Affine, margin_mm: float
) -> Bool[np.ndarray, "i j k"]:
    """Return the voxels around which all are foreground, as far as a margin along each axis."""
    margin = np.ceil(margin_mm / spacing_mm(affine)).astype(int)
    size = (2 * margin + 1).tolist()
    least = ndimage.minimum_filter(foreground.view(np.uint8), size=size, mode="constant", cval=0)
    return least.view(np.bool_)


def toward_mm(scene: Scene, side: str) -> Float64[np.ndarray, "i j k"]:
    """Return how far each voxel lies to a side of the foreground's center of mass."""
    to_r = SIDES[side] * scene.volume.affine[0]
    from_middle = to_r[3] - SIDES[side] * middle_mm(scene)
    i, j, k = np.ogrid[tuple(slice(size) for size in scene.foreground.shape)]
    found: Float64[np.ndarray, "i j k"] = to_r[0] * i + from_middle + to_r[1] * j + to_r[2] * k
    return found


def middle_mm(scene: Scene) -> float:
    """Return the R coordinate of the foreground's center of mass."""
    center = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        counts = np.count_nonzero(scene.foreground, axis=others)
        center.append(np.average(np.arange(len(counts)), weights=counts))
    return float(scene.volume.affine[0] @ [*center, 1])
