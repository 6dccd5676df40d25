"""The volumes of a series: slices that differ in plane or contrast part, repetitions are frames.

Several images at one position are told apart by what the standard has for it (temporal
position, diffusion weighting, acquisition, times). Where nothing tells them apart in a way that
holds for every position, the volume is refused; of frames that a tag tells apart for certain
only those that lack a slice are. Images of several temporal positions or weightings that share
no position are volumes of their own, unless a volume would be left with a single slice.

Source: DICOM PS3.3 2024, C.7.6.1 (image type, times), C.7.6.2 (plane), C.7.10.1
(acquisition), C.8.3.1 (temporal position, trigger time, echoes), C.8.13.5.9 (diffusion).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from medssl.data.dicom.acquisitions import planned_apart
from medssl.data.dicom.header import Header
from medssl.data.dicom.regrid import NOTHING, Allowed
from medssl.data.dicom.repetitions import by_place, frames_of, is_apart, labeled, require_whole
from medssl.data.dicom.stack import Stack, make_stack
from medssl.data.verdicts import RefusedError

SAME_PLANE = 1e-4  # largest difference of a cosine within a volume
# Of these a volume has one.
OF_A_VOLUME = ("TemporalPositionIdentifier", "DiffusionBValue")


@dataclass(frozen=True)
class Misfit:
    """Files that make no volume, and why."""

    headers: tuple[Header, ...]
    refusal: RefusedError


def stacks(headers: Sequence[Header], allowed: Allowed = NOTHING) -> Iterator[Stack | Misfit]:
    """Divide the slices of one series into volumes; each slice ends up in one answer."""
    part = 0
    for slices in (members for of in _parts(headers) for members in _side_by_side(of)):
        found = [list(_volumes(slices, part, allowed))]
        if any(isinstance(answer, Misfit) or answer.regrid for answer in found[0]):
            apart = [
                list(_volumes(members, part + number, allowed))
                for number, members in enumerate(planned_apart(slices))
            ]
            if apart and all(isinstance(answer, Stack) for of in apart for answer in of):
                found = apart
        part += len(found)
        yield from (answer for of in found for answer in of)


def _volumes(slices: Sequence[Header], part: int, allowed: Allowed) -> Iterator[Stack | Misfit]:
    """Yield the volumes of slices of one plane, grid and contrast."""
    try:
        frames = frames_of(slices)
    except RefusedError as refusal:
        yield Misfit(tuple(slices), refusal)
        return
    places = by_place(slices)
    for number, members in enumerate(frames):
        try:
            frame = number if len(frames) > 1 else None
            require_whole(members, places, f"frame {number} of {len(frames)}")
            yield make_stack(members, allowed=allowed, part=part, frame=frame)
        except RefusedError as refusal:
            yield Misfit(tuple(members), refusal)


def _parts(headers: Iterable[Header]) -> list[list[Header]]:
    """Group slices of one plane, grid and contrast, in the order they come."""
    grouped: dict[tuple[object, ...], list[Header]] = defaultdict(list)
    planes: list[tuple[float, ...]] = []
    for header in headers:
        spacing = tuple(round(value, 4) for value in header.pixel_spacing_mm or ())
        plane = _plane(header.orientation or (), planes)
        key = (header.rows, header.columns, spacing, header.modality, header.contrast, plane)
        grouped[key].append(header)
    return list(grouped.values())


def _side_by_side(headers: list[Header]) -> list[list[Header]]:
    """Part images that share no position, but are of several times or weightings."""
    for tag in OF_A_VOLUME:
        apart = labeled(headers, tag)
        if len(apart) > 1 and all(len(of) > 1 for of in apart):
            try:
                return apart if is_apart(headers) else [headers]
            except RefusedError:  # its volume says so
                return [headers]
    return [headers]


def _plane(orientation: tuple[float, ...], planes: list[tuple[float, ...]]) -> int:
    """Return the number of the plane that this orientation is of; a new one is added."""
    for number, known in enumerate(planes):
        if np.abs(np.subtract(orientation, known)).max() <= SAME_PLANE:
            return number
    planes.append(orientation)
    return len(planes) - 1
