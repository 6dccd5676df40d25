"""Acquisitions of one series that are volumes of their own, though plane and contrast agree.

Slices of several acquisitions that lie on one even grid are one volume: a scanner counts each
turn, or each table position. Others, such as two ranges of a body with a gap or an overlap, are
a volume each. Where only a few slices keep them from being one volume, these are missing; and
one after the other, an acquisition of a few slices is no range of a body.

Source: DICOM PS3.3 2024, C.7.10.1 (Acquisition Number: of one continuous gathering of data).
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64

from medssl.data.dicom.header import Header
from medssl.data.dicom.stack import OFF_PLACE_MM, along_normal

FEW_SLICES = 10  # fewer between two ranges are missing, rather than never planned
OFF_GRID = 0.1  # of a step; positions are rounded


def planned_apart(headers: Sequence[Header]) -> list[list[Header]]:
    """Part slices of one plane by acquisition; into none if the acquisitions belong together."""
    grouped: dict[Any, list[Header]] = defaultdict(list)
    for header in headers:
        grouped[header.moments.get("AcquisitionNumber")].append(header)
    if None in grouped or len(grouped) == 1:
        return []
    places = sorted((np.unique(along_normal(of).round(3)) for of in grouped.values()), key=min)
    if all(len(place) > 1 for place in places) and all(map(_is_apart, places, places[1:])):
        return list(grouped.values())
    return []


def _is_apart(one: Float64[np.ndarray, "slice"], other: Float64[np.ndarray, "later_slice"]) -> bool:
    """Say whether two ranges of slices, by where they begin, were not planned as one."""
    step_mm = float(np.median(np.diff(one)))
    steps = (other - one[0]) / step_mm
    is_on_grid = bool(np.abs(steps - np.round(steps)).max() <= OFF_GRID)
    if other[0] > one[-1]:
        is_far = bool(other[0] - one[-1] >= FEW_SLICES * step_mm)
        return min(len(one), len(other)) >= FEW_SLICES and (is_far or not is_on_grid)
    shared = int((np.abs(other[:, None] - one).min(axis=1) <= OFF_PLACE_MM).sum())
    if not shared:
        return not is_on_grid
    # Repetitions share nearly all of their places.
    return len(one) + len(other) - 2 * shared >= min(FEW_SLICES, shared + 1)
