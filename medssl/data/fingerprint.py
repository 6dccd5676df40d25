"""The fingerprint of a cohort: what its images are like, before anyone decides anything.

Grids come from the manifest alone; of a few images the voxels are looked at as well.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from medssl.data.manifest import Case, Manifest
from medssl.data.preprocessing import Preprocessing, prepare
from medssl.data.preprocessing.space import closest_axes
from medssl.data.volume import Volume
from medssl.errors import DataError

LOOKED_AT_PERCENTILES = (0.5, 1.0, 50.0, 99.0, 99.5)


@dataclass(frozen=True, kw_only=True)
class Look:
    """What the voxels of one image are like.

    Args:
        case_id: Whose.
        modality: Of the case.
        kept: Share of each axis, along R, A and S, that cropping to the foreground keeps.
        percentiles: Of the voxels that are kept: 0.5, 1, 50, 99 and 99.5.
    """

    case_id: str
    modality: str | None
    kept: tuple[float, float, float]
    percentiles: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """What the images of a cohort are like; axes are R, A, S.

    Args:
        modalities: How many cases there are of each.
        spacing_mm: Of each case.
        shape: Of each case.
        looks: At the voxels of some.
    """

    modalities: Mapping[str, int]
    spacing_mm: Float64[np.ndarray, "case 3"]
    shape: Int64[np.ndarray, "case 3"]
    looks: tuple[Look, ...]

    @property
    def kept(self) -> Float64[np.ndarray, "3"]:
        """Median share of each axis that cropping to the foreground keeps; 1 if nobody looked."""
        if not self.looks:
            return np.ones(3)
        return np.median([look.kept for look in self.looks], axis=0)

    @property
    def levels(self) -> dict[str, tuple[float, ...]]:
        """Percentiles as a look has them, the medians over each modality's looks, by name."""
        found: dict[str, list[tuple[float, ...]]] = {}
        for look in self.looks:
            found.setdefault(look.modality or "unknown", []).append(look.percentiles)
        return {
            modality: tuple(np.median(found[modality], axis=0).tolist())
            for modality in sorted(found)
        }

    def summary(self) -> dict[str, Any]:
        """Return it in a form that JSON holds, grids as percentiles over the cases."""
        extent_mm = self.shape * self.spacing_mm
        return {
            "cases": len(self.shape),
            "modalities": dict(self.modalities),
            "spacing_mm": _spread(self.spacing_mm),
            "shape": _spread(self.shape),
            "extent_mm": _spread(extent_mm),
            "levels": self.levels,
            "looks": [asdict(look) for look in self.looks],
        }


def measure(manifest: Manifest, read: Callable[[Case], Volume], looks: int) -> Fingerprint:
    """Return the fingerprint of the cases.

    Args:
        manifest: The cases.
        read: Gives the image of one.
        looks: How many to read, spread evenly over the manifest.

    Raises:
        DataError: If there is no case.
    """
    if len(manifest) == 0:
        msg = "expected cases to take a fingerprint of, got none"
        raise DataError(msg)
    cases = list(manifest)
    grids = [grid(case) for case in cases]
    rows = np.unique(np.linspace(0, len(cases) - 1, min(looks, len(cases))).round().astype(int))
    return Fingerprint(
        modalities=dict(Counter(case.modality or "unknown" for case in cases).most_common()),
        spacing_mm=np.array([spacing for spacing, _ in grids], np.float64),
        shape=np.array([shape for _, shape in grids], np.int64),
        looks=tuple(look(cases[row], read(cases[row])) for row in rows),
    )


def grid(case: Case) -> tuple[list[float], list[int]]:
    """Return the spacing and the shape of a case along R, A and S."""
    if case.affine is None:
        return case.spacing_mm, case.shape
    axes, _ = closest_axes(np.array(case.affine).reshape(4, 4))
    return [case.spacing_mm[axis] for axis in axes], [case.shape[axis] for axis in axes]


def look(case: Case, image: Volume) -> Look:
    """Return what the voxels of a case are like."""
    whole = prepare(image, Preprocessing(crop_to_foreground=False)).voxels
    cut = prepare(image, Preprocessing()).voxels
    i, j, k = (after / before for after, before in zip(cut.shape[1:], whole.shape[1:], strict=True))
    levels = np.percentile(cut, LOOKED_AT_PERCENTILES)
    return Look(
        case_id=case.case_id,
        modality=case.modality,
        kept=(i, j, k),
        percentiles=tuple(float(level) for level in levels),
    )


def _spread(values: np.ndarray) -> dict[str, list[float]]:
    named = {"min": 0, "p10": 10, "median": 50, "p90": 90, "max": 100}
    return {name: np.percentile(values, q, axis=0).tolist() for name, q in named.items()}
