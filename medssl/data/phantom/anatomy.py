"""Anatomy: the MNI152 template, deformed smoothly into a subject's own head.

Source: Fonov et al., "Unbiased average age-appropriate atlases for pediatric studies",
NeuroImage 2011 (ICBM 2009a nonlinear symmetric), as nilearn's wheel ships it: the brain's T1
and its gray and white matter.
Departs from the source: what lies around the brain (fluid, skull, scalp) is not in the template
and is drawn as shells of equal distance from it.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Float64, UInt8
from nilearn import datasets
from scipy import ndimage
from scipy.spatial.transform import Rotation

from medssl.data.phantom.grid import Grid
from medssl.geometry import Affine

CENTER_MM = np.array([0.0, -17.0, 5.0])  # of the brain, in the template
KNOTS_MM = 30.0
FLUID_MM, SKULL_MM, SCALP_MM = 3.0, 8.0, 13.0  # where the shells end
# Of a cubic B-spline field over independent unit coefficients, at a knot.
DEVIATION_AT_KNOT = (4 / 9 + 2 / 36) ** 1.5


class Tissues(NamedTuple):
    """What each voxel is made of, and how the real T1 departs from that mixture."""

    csf: Float32[np.ndarray, "i j k"]
    gray: Float32[np.ndarray, "i j k"]
    white: Float32[np.ndarray, "i j k"]
    skull: Float32[np.ndarray, "i j k"]
    scalp: Float32[np.ndarray, "i j k"]
    texture: Float32[np.ndarray, "i j k"]

    def label(self) -> UInt8[np.ndarray, "i j k"]:
        """Return 1 where gray matter prevails, 2 where white matter does, 0 elsewhere."""
        rest = 1 - self.gray - self.white
        return np.argmax([rest, self.gray, self.white], axis=0).astype(np.uint8)


@dataclass(frozen=True)
class Template:
    """Gray matter, white matter, distance from the brain in mm, and texture, with one affine."""

    maps: Float32[np.ndarray, "map=4 i j k"]
    affine: Affine


@dataclass(frozen=True)
class Anatomy:
    """How a subject differs from the template: pose and size, then displacements.

    Args:
        linear: From the subject's mm, centered, to the template's, centered.
        knots_mm: Coefficients of a cubic B-spline of displacements in the template, knots
            `KNOTS_MM` apart with the middle one at the brain's center.
    """

    linear: Float64[np.ndarray, "3 3"]
    knots_mm: Float64[np.ndarray, "3 a b c"]

    def to_template(self, points_mm: Float64[np.ndarray, "3 n"]) -> Float64[np.ndarray, "3 n"]:
        """Return where in the template the subject's points (RAS+ mm) come from."""
        centered = self.linear @ points_mm
        middle = (np.array(self.knots_mm.shape[1:]) - 1)[:, None] / 2
        at = centered / KNOTS_MM + middle
        moved = [
            ndimage.map_coordinates(knots, at, order=3, prefilter=False, mode="nearest")
            for knots in self.knots_mm
        ]
        return centered + np.stack(moved) + CENTER_MM[:, None]


def load_template(steps_mm: float) -> Template:
    """Return the template at 2 mm, or at 1 mm where images are to be finer than that."""
    resolution = 2 if steps_mm >= 2 else 1
    t1, gray, white = (
        load(resolution=resolution)
        for load in (
            datasets.load_mni152_template,
            datasets.load_mni152_gm_template,
            datasets.load_mni152_wm_template,
        )
    )
    affine = np.asarray(t1.affine, dtype=np.float64)
    t1, gray, white = (np.asarray(map_.dataobj, np.float32) for map_ in (t1, gray, white))
    # Not where the T1 is above zero: resampling leaves ripples far around the brain.
    brain = np.asarray(datasets.load_mni152_brain_mask(resolution=resolution).dataobj) > 0
    distance_mm = ndimage.distance_transform_edt(~brain, sampling=resolution).astype(np.float32)
    maps = [gray * brain, white * brain, distance_mm, _texture(t1, gray, white, brain)]
    return Template(np.stack(maps), affine)


def draw_anatomy(rng: np.random.Generator, *, deformation_mm: float) -> Anatomy:
    """Draw a subject: up to 7 % larger or smaller along each axis, 8 degrees turned, deformed."""
    size = rng.uniform(0.93, 1.07, size=3)
    turn = Rotation.from_euler("xyz", rng.uniform(-8, 8, size=3), degrees=True).as_matrix()
    coefficients = np.clip(rng.normal(size=(3, 11, 11, 11)), -2, 2)
    return Anatomy(np.diag(1 / size) @ turn, coefficients * (deformation_mm / DEVIATION_AT_KNOT))


def sample(template: Template, anatomy: Anatomy, grid: Grid) -> Tissues:
    """Return the subject's tissues at the centers of the grid's voxels."""
    maps = np.empty((4, *grid.shape), np.float32)
    to_voxels = np.linalg.inv(template.affine)
    for k in range(grid.shape[2]):  # slice by slice: coordinates take more room than voxels
        index = np.indices((*grid.shape[:2], 1), dtype=np.float64).reshape(3, -1)
        index[2] = k
        points = anatomy.to_template(grid.affine[:3, :3] @ index + grid.affine[:3, 3:])
        at = to_voxels[:3, :3] @ points + to_voxels[:3, 3:]
        for map_, source in zip(maps, template.maps, strict=True):
            flat = ndimage.map_coordinates(source, at, order=1, mode="nearest")
            map_[:, :, k] = flat.reshape(grid.shape[:2])
    return _mixture(*maps)


def _mixture(
    gray: Float32[np.ndarray, "i j k"],
    white: Float32[np.ndarray, "i j k"],
    distance_mm: Float32[np.ndarray, "i j k"],
    texture: Float32[np.ndarray, "i j k"],
) -> Tissues:
    """Fill what is neither gray nor white: fluid near the brain, then skull, then scalp."""
    rest = np.clip(1 - gray - white, 0, 1)
    within = [np.clip(end - distance_mm + 0.5, 0, 1) for end in (FLUID_MM, SKULL_MM, SCALP_MM)]
    fluid, skull, scalp = within[0], within[1] - within[0], within[2] - within[1]
    return Tissues(rest * fluid, gray, white, rest * skull, rest * scalp, texture)


def _texture(
    t1: Float32[np.ndarray, "i j k"],
    gray: Float32[np.ndarray, "i j k"],
    white: Float32[np.ndarray, "i j k"],
    brain: np.ndarray,
) -> Float32[np.ndarray, "i j k"]:
    """Return what a mixture of three tissues, fitted to the real T1, leaves of it."""
    mixture = np.stack([1 - gray - white, gray, white])[:, brain]
    weights = np.linalg.lstsq(mixture.T, t1[brain], rcond=None)[0]
    texture = np.zeros_like(t1)
    texture[brain] = t1[brain] - weights @ mixture
    return texture
