"""Slices that lie on no even, right-angled grid, brought onto one where that is wanted.

A tilted gantry shifts each slice within its plane against the one before: it is shifted back,
and the plane grows so that nothing is cut off. Uneven gaps become even ones of the smallest gap,
unless that would take more than twice as many slices. Both interpolate linearly, but never
between a voxel and padding that the header declares, which is no value.

What no slice reaches is padding, or the least value of the volume where none is declared.

Source: what dcm2niix (Li et al., J. Neurosci. Methods 264, 2016; v1.0.20260724) writes for such
series, voxel for voxel: the slice that lies farthest along a row or column is on the grid, and
the first row of a slice is repeated where it covers part of a row of the grid.
Departs from it: the affine says where these voxels are. That of dcm2niix does where slices drift
against j and are numbered along the normal; else it is off, by the part of a row that the plane
grows more than they drift, by the whole drift, or both.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Shaped

MOST_SLICES = 2  # times as many as there are
MOST_PLANE = 2  # times as long as an axis of the plane is


@dataclass(frozen=True)
class Allowed:
    """What may be resampled; what may not is refused.

    Args:
        tilted: Slices that drift sideways, as under a tilted gantry.
        uneven: Slices with uneven gaps.
    """

    tilted: bool = False
    uneven: bool = False


NOTHING = Allowed()


@dataclass(frozen=True)
class Regrid:
    """How slices come onto a grid.

    Args:
        shifts_vox: How far each slice lies from the first along i and j, in voxels.
        places_mm: How far each slice lies from the first along the normal; rising.
        sentence: What was uneven, for people.
        padding: The value that is none, if the header declares it.
    """

    shifts_vox: Float64[np.ndarray, "slice 2"]
    places_mm: Float64[np.ndarray, "slice"]
    sentence: str
    padding: float | None = None

    @property
    def start_vox(self) -> tuple[float, float]:
        """Where the grid begins along i and j, in voxels from the first slice's."""
        first, last = np.floor(self.shifts_vox.min(axis=0)), self.shifts_vox.max(axis=0)
        start = first - (np.ceil(last) - last)
        return float(start[0]), float(start[1])

    def plane(self, columns: int, rows: int) -> tuple[int, int]:
        """Return columns and rows of the grid."""
        room = np.round(self.shifts_vox.max(axis=0) - self.start_vox)
        return columns + int(room[0]), rows + int(room[1])

    @property
    def is_uneven(self) -> bool:
        """Whether slices are interpolated."""
        even_mm = np.linspace(0, self.places_mm[-1], len(self.places_mm))
        return not np.allclose(self.places_mm, even_mm, rtol=0, atol=1e-9)

    @property
    def num_slices(self) -> int:
        """How many slices the grid has."""
        if not self.is_uneven:
            return len(self.places_mm)
        least_mm = float(np.diff(self.places_mm).min())
        wanted = math.ceil(self.places_mm[-1] / least_mm - 0.01) + 1
        return min(wanted, MOST_SLICES * len(self.places_mm))

    @property
    def step_mm(self) -> float:
        """Return the step between the grid's slices."""
        return float(self.places_mm[-1]) / (self.num_slices - 1)

    def __call__(
        self, voxels: Shaped[np.ndarray, "channel i j k"]
    ) -> Shaped[np.ndarray, "channel new_i new_j new_k"]:
        """Return the voxels on the grid, in their number type."""
        moved = self._shifted(self._shifted(voxels, 0), 1)
        return self._evened(moved) if self.is_uneven else moved

    def _shifted(
        self, voxels: Shaped[np.ndarray, "channel i j k"], axis: int
    ) -> Shaped[np.ndarray, "channel new_i new_j k"]:
        """Shift each slice along an axis of its plane to where it lies."""
        shifts = np.round(self.shifts_vox[:, axis] - self.start_vox[axis], 6)
        if not shifts.any():
            return voxels
        across = np.moveaxis(voxels, axis + 1, 0)
        length = len(across)
        outside = voxels.min() if self.padding is None else self.padding
        moved = np.full((length + math.ceil(shifts.max()), *across.shape[1:]), outside)
        moved = moved.astype(voxels.dtype)
        for k, shift in enumerate(shifts):
            whole = math.floor(shift)
            share = shift - whole
            one = across[..., k]
            moved[whole : whole + length, ..., k] = one
            if share:
                inner = slice(whole + 1, whole + length)
                moved[inner, ..., k] = self._between(one[:-1], one[1:], share)
        return np.moveaxis(moved, 0, axis + 1)

    def _between(
        self, before: Shaped[np.ndarray, "*row"], here: Shaped[np.ndarray, "*row"], share: float
    ) -> Shaped[np.ndarray, "*row"]:
        """Mix two voxels, so much of the first; of padding and a voxel, take the nearer one."""
        mixed = _rounded((1 - share) * here + share * before, here.dtype)
        if self.padding is None:
            return mixed
        is_padded = (here == self.padding) | (before == self.padding)
        return np.where(is_padded, here if share < 0.5 else before, mixed)

    def _evened(
        self, voxels: Shaped[np.ndarray, "channel i j k"]
    ) -> Shaped[np.ndarray, "channel i j new_k"]:
        """Interpolate between slices at even steps."""
        places_mm = np.linspace(0, self.places_mm[-1], self.num_slices)
        evened = np.empty((*voxels.shape[:3], len(places_mm)), voxels.dtype)
        for k, place_mm in enumerate(places_mm):
            below = int(np.searchsorted(self.places_mm, place_mm, side="right")) - 1
            below = min(below, len(self.places_mm) - 2)
            low_mm, high_mm = self.places_mm[below], self.places_mm[below + 1]
            share = (place_mm - low_mm) / (high_mm - low_mm)
            mixed = (1 - share) * voxels[..., below] + share * voxels[..., below + 1]
            evened[..., k] = _rounded(mixed, voxels.dtype)
        return evened


def _rounded(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    return values.astype(dtype) if dtype.kind == "f" else np.floor(values + 0.5).astype(dtype)
