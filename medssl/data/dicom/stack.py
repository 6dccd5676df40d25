"""The slices of one volume in their order in space, and the grid they lie on.

Slices are ordered by position along the normal of their plane, never by instance number, and
the step between them is a difference of positions, never a thickness.

Source: DICOM PS3.3 2024, C.7.6.2.1.1, Equation C.7.6.2.1-1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from jaxtyping import Float64

from medssl.data.dicom.elements import LEAST_MM, MOST_MM
from medssl.data.dicom.header import Header
from medssl.data.dicom.regrid import MOST_PLANE, Allowed, Regrid
from medssl.data.verdicts import Code, RefusedError
from medssl.geometry import Affine, lps_to_ras

# How far a slice may lie from its place on an even grid: this, or this share of the step.
OFF_PLACE_MM = 0.01
OFF_PLACE_SHARE = 0.01
# How far the slices may drift sideways, as a share of the stack's extent (0.06 degrees).
DRIFT_SHARE = 1e-3


@dataclass(frozen=True)
class Stack:
    """The slices of one volume, in order along the normal of their plane.

    Array axes are (i, j, k): i counts columns (along a row, DICOM's first cosine), j counts
    rows, k counts slices.

    Args:
        headers: A slice each.
        affine: From (i, j, k) to RAS+ mm.
        part: Which volume of its series this is.
        frame: Which repetition of that volume, if there are several.
        regrid: How the slices come onto the affine's grid, if they do not lie on it.
    """

    headers: tuple[Header, ...]
    affine: Affine
    part: int = 0
    frame: int | None = None
    regrid: Regrid | None = None


def cosines(header: Header) -> Float64[np.ndarray, "2 3"]:
    """Return the unit steps along a row and along a column, in LPS+."""
    axes = np.array(header.orientation, np.float64).reshape(2, 3)
    off_unit = np.abs(axes @ axes.T - np.eye(2)).max()
    if not off_unit < 1e-3:
        sentence = f"its axes are no unit vectors at right angles: they are off by {off_unit:.3g}"
        raise RefusedError(Code.BAD_ORIENTATION, sentence)
    return axes


def along_normal(headers: Sequence[Header]) -> Float64[np.ndarray, "slice"]:
    """Return how far along the normal of its plane each slice lies, in mm."""
    return positions(headers) @ np.cross(*cosines(headers[0]))


def positions(headers: Sequence[Header]) -> Float64[np.ndarray, "slice 3"]:
    """Return the position of each slice, in LPS+ mm."""
    return np.array([header.position_mm for header in headers], np.float64)


def make_stack(
    headers: Sequence[Header],
    *,
    allowed: Allowed,
    part: int = 0,
    frame: int | None = None,
) -> Stack:
    """Order the slices and measure their grid.

    Raises:
        RefusedError: If they do not lie evenly on a right-angled grid and may not be resampled.
    """
    order = np.argsort(along_normal(headers), kind="stable")
    ordered = tuple(headers[row] for row in order)
    row_mm, column_mm = _in_plane_mm(ordered[0])
    along_row, along_column = cosines(ordered[0])
    lps = np.eye(4)
    lps[:3, 0] = along_row * column_mm
    lps[:3, 1] = along_column * row_mm
    lps[:3, 3] = ordered[0].position_mm
    regrid = None if len(ordered) == 1 else _regrid(ordered, allowed)
    if regrid is None:
        lps[:3, 2] = _step(ordered)
    else:
        lps[:3, 2] = np.cross(along_row, along_column) * regrid.step_mm
        lps[:3, 3] += lps[:3, :2] @ regrid.start_vox
    return Stack(ordered, lps_to_ras(lps), part, frame, regrid)


def _in_plane_mm(header: Header) -> tuple[float, float]:
    row_mm, column_mm = header.pixel_spacing_mm or (0.0, 0.0)
    if not (LEAST_MM <= row_mm <= MOST_MM and LEAST_MM <= column_mm <= MOST_MM):
        sentence = f"its pixel spacing is {row_mm} by {column_mm} mm"
        raise RefusedError(Code.NO_GEOMETRY, sentence)
    return row_mm, column_mm


def _step(headers: Sequence[Header]) -> Float64[np.ndarray, "3"]:
    """Return the step from a slice to the next, in LPS+ mm."""
    normal = np.cross(*cosines(headers[0]))
    if len(headers) == 1:
        between_mm = headers[0].spacing_between_mm
        if between_mm is None or not LEAST_MM <= between_mm <= MOST_MM:
            sentence = "a single slice that does not say SpacingBetweenSlices"
            raise RefusedError(Code.SINGLE_SLICE, sentence)
        return normal * between_mm
    places = positions(headers)
    return (places[-1] - places[0]) / (len(places) - 1)


def _regrid(headers: Sequence[Header], allowed: Allowed) -> Regrid | None:
    """Return how slices come onto a grid, or none if they lie on one.

    Raises:
        RefusedError: If they do not, and may not be resampled or cannot.
    """
    axes, places = cosines(headers[0]), positions(headers)
    if not np.isfinite(places).all():
        raise RefusedError(Code.NO_GEOMETRY, "a position is no finite number")
    normal = np.cross(*axes)
    along = places @ normal
    rounding_mm = max(header.position_rounding_mm for header in headers)
    gaps = _uneven(along, rounding_mm)
    drift = _drift(places, normal, rounding_mm)
    if drift is None and gaps is None:
        return None
    if drift is not None and not allowed.tilted:
        raise RefusedError(Code.SHEARED, drift if gaps is None else f"{drift}; {gaps.sentence}")
    if gaps is not None and not (gaps.code is Code.UNEVEN_SPACING and allowed.uneven):
        raise gaps
    spacing_mm = _in_plane_mm(headers[0])[::-1]
    # A millionth of a voxel is no shift; as one it would cost the slice its last row.
    shifts = np.round((places - places[0]) @ axes.T / spacing_mm, 6)
    extent_mm = along[-1] - along[0]
    regrid = Regrid(
        shifts_vox=np.zeros_like(shifts) if drift is None else shifts,
        places_mm=np.linspace(0, extent_mm, len(along)) if gaps is None else along - along[0],
        sentence="; ".join(filter(None, [drift, gaps.sentence if gaps else None])),
        padding=_padding(headers),
    )
    plane = headers[0].columns, headers[0].rows
    if any(new > MOST_PLANE * old for new, old in zip(regrid.plane(*plane), plane, strict=True)):
        raise RefusedError(Code.SHEARED, f"{regrid.sentence}: too far to be resampled")
    return regrid


def _padding(headers: Sequence[Header]) -> float | None:
    """Return the value that is none in all slices, if they declare the same one."""
    said = {header.attributes.get("padding_value") for header in headers}
    value = said.pop()
    return None if said or value is None else float(value)


def _uneven(along: Float64[np.ndarray, "slice"], rounding_mm: float) -> RefusedError | None:
    """Say which gaps between slices are not like the others."""
    gaps = np.diff(along)
    usual = float(np.sort(gaps)[(len(gaps) - 1) // 2])  # of 3 and 6 mm, 3: one is missing
    # Rounded positions leave their place by up to `rounding_mm`, gaps and the ends' line by twice.
    slack = max(OFF_PLACE_MM, OFF_PLACE_SHARE * usual) + 2 * rounding_mm
    if len(double := np.flatnonzero(gaps <= OFF_PLACE_MM)):
        sentence = f"{len(double)} slices lie where another one lies: {_named(double)}"
        return RefusedError(Code.DUPLICATE_SLICE, sentence)
    even = np.linspace(along[0], along[-1], len(along))
    wide = np.flatnonzero(np.abs(gaps - usual) > slack)
    off_place_mm = np.abs(along - even).max()
    if len(wide) == 0 and off_place_mm <= slack:
        return None
    times = np.round(gaps / usual)
    whole = np.abs(gaps - times * usual) <= 0.02 * usual * times + 2 * rounding_mm + OFF_PLACE_MM
    if len(wide) and whole.all() and times.min() >= 1:
        absent_mm = [
            along[gap] - along[0] + usual * step
            for gap in wide
            for step in range(1, int(times[gap]))
        ]
        sentence = (
            f"{len(absent_mm)} slices are missing: {_named(wide)} lie "
            f"{_listed(gaps[wide])} mm apart, the others {usual:.4g} mm; "
            f"there are none at {_listed(absent_mm)} mm from the first"
        )
        return RefusedError(Code.MISSING_SLICE, sentence)
    sentence = (
        f"the gaps between its {len(along)} slices run from {gaps.min():.4g} to "
        f"{gaps.max():.4g} mm (usually {usual:.4g} mm), and one lies "
        f"{off_place_mm:.4g} mm off an even grid: "
        f"{_named(wide) or 'they grow slowly'}; all gaps in mm: {_counted(gaps)}"
    )
    return RefusedError(Code.UNEVEN_SPACING, sentence)


def _drift(
    places: Float64[np.ndarray, "slice 3"], normal: Float64[np.ndarray, "3"], rounding_mm: float
) -> str | None:
    """Say how far slices are shifted against each other within their plane, as by a tilt."""
    sideways = places - places[0]
    extent_mm = float(sideways[-1] @ normal)
    sideways = sideways - np.outer(sideways @ normal, normal)
    drift_mm = float(np.linalg.norm(sideways, axis=1).max())
    if drift_mm <= OFF_PLACE_MM + 2 * rounding_mm + DRIFT_SHARE * extent_mm:
        return None
    tilt = np.degrees(np.arctan2(drift_mm, extent_mm))
    return (
        f"the slices drift sideways by {drift_mm:.4g} mm over {extent_mm:.4g} mm, "
        f"as under a gantry tilt of {tilt:.3g} degrees"
    )


def _named(gaps: Sequence[int] | np.ndarray) -> str:
    """Name gaps by the slices, from 1, that they lie between; the first five."""
    if len(gaps) == 0:
        return ""
    names = [f"{gap + 1}-{gap + 2}" for gap in gaps[:5]]
    return "slices " + ", ".join(names) + (" and more" if len(gaps) > 5 else "")


def _counted(gaps: np.ndarray) -> str:
    """List all gaps, equal ones in a row as a product."""
    runs = [(value, len(list(run))) for value, run in groupby(f"{gap:.4g}" for gap in gaps)]
    words = [value if count == 1 else f"{count} x {value}" for value, count in runs]
    return ", ".join(words)


def _listed(values: Sequence[float] | np.ndarray) -> str:
    words = [f"{value:.4g}" for value in values[:5]]
    return ", ".join(words) + (" and more" if len(values) > 5 else "")
