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
from itertools import pairwise
from typing import Any

import numpy as np

from medssl.data.dicom.acquisitions import planned_apart
from medssl.data.dicom.header import Header
from medssl.data.dicom.regrid import NOTHING, Allowed
from medssl.data.dicom.stack import OFF_PLACE_MM, Stack, along_normal, cosines, make_stack
from medssl.data.verdicts import Code, RefusedError

MOST_NAMED = 5  # in a sentence
SAME_PLANE = 1e-4  # largest difference of a cosine within a volume
# Equal in all images of a frame, different between frames.
LABELS = (
    "TemporalPositionIdentifier", "DiffusionBValue", "AcquisitionNumber", "FrameAcquisitionNumber",
    "TriggerTime", "DimensionIndexValues",
)  # fmt: skip
# Of these a volume has one.
OF_A_VOLUME = ("TemporalPositionIdentifier", "DiffusionBValue")
# Rising from frame to frame.
TIMES = ("AcquisitionDateTime", "AcquisitionTime", "ContentTime")
CLOCKS = (*TIMES, "InstanceNumber")


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
        frames = _frames(slices)
    except RefusedError as refusal:
        yield Misfit(tuple(slices), refusal)
        return
    places = _by_place(slices)
    for number, members in enumerate(frames):
        try:
            frame = number if len(frames) > 1 else None
            _require_whole(members, places, f"frame {number} of {len(frames)}")
            yield make_stack(members, allowed=allowed, part=part, frame=frame)
        except RefusedError as refusal:
            yield Misfit(tuple(members), refusal)


def _require_whole(frame: Sequence[Header], places: list[list[Header]], name: str) -> None:
    """Refuse a frame that lacks an image at positions where others have one."""
    if len(frame) == len(places):
        return
    there = set(map(id, frame))
    along_mm = along_normal([place[0] for place in places])
    absent = [n for n, place in enumerate(places) if not there.intersection(map(id, place))]
    named = [f"{n + 1} (at {along_mm[n] - along_mm[0]:.4g} mm)" for n in absent[:MOST_NAMED]]
    more = len(absent) - len(named)
    sentence = (
        f"{name} has {len(frame)} of {len(places)} slices; there is none at position "
        f"{', '.join(named)}" + (f" and {more} more" if more else "")
    )
    raise RefusedError(Code.MISSING_SLICE, sentence)


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
        apart = _labeled(headers, tag)
        if len(apart) > 1 and all(len(of) > 1 for of in apart):
            try:
                return apart if _is_apart(headers) else [headers]
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


def _frames(headers: Sequence[Header]) -> list[list[Header]]:
    """Part repetitions of a volume, earliest first.

    Raises:
        RefusedError: If images share a position and nothing says which belong together.
    """
    cosines(headers[0])
    places = _by_place(headers)
    counts = sorted({len(place) for place in places})
    if counts == [1]:
        return [list(headers)]
    _require_distinct(headers)
    if len(counts) > 1:
        return _incomplete(headers, places)
    for tag in LABELS:
        if frames := _by_label(headers, places, tag):
            return sorted(frames, key=_turn) if tag == "DiffusionBValue" else frames
    if frames := _by_phase(places):
        return frames
    for tag in CLOCKS:
        if frames := _by_clock(places, tag):
            return frames
    sentence = f"each of its {len(places)} positions has {counts[0]} images that no tag tells apart"
    raise RefusedError(Code.DUPLICATE_SLICE, sentence)


def _by_place(headers: Sequence[Header]) -> list[list[Header]]:
    """Group images at the same position along the normal, in its order."""
    along = along_normal(headers)
    order = np.argsort(along, kind="stable")
    starts = np.flatnonzero(np.diff(along[order]) > OFF_PLACE_MM) + 1
    return [[headers[row] for row in rows] for rows in np.split(order, starts)]


def _require_distinct(headers: Sequence[Header]) -> None:
    """Refuse two images under one instance UID: one of them is not what it says."""
    named = [(header.sop_uid, header.image) for header in headers if header.sop_uid]
    if doubles := len(named) - len(set(named)):
        sentence = f"{doubles} images carry the instance UID of another one and differ from it"
        raise RefusedError(Code.DUPLICATE_SLICE, sentence)


def _incomplete(headers: Sequence[Header], places: list[list[Header]]) -> list[list[Header]]:
    """Part frames of which some lack an image, if a tag tells them apart for certain.

    Raises:
        RefusedError: If none does.
    """
    numbers = [len(place) for place in places]
    for tag in (*LABELS, *TIMES):
        frames = _labeled(headers, tag)
        if len(frames) == max(numbers) and all(map(_is_apart, frames)):
            return _in_turn(frames, places) if tag == "DiffusionBValue" else frames
    double = [row for row, number in enumerate(numbers) if number > min(numbers)]
    along_mm = along_normal([place[0] for place in places])
    named = [f"{row + 1} (at {along_mm[row] - along_mm[0]:.4g} mm)" for row in double[:MOST_NAMED]]
    sentence = (
        f"its {len(places)} positions hold {min(numbers)} to {max(numbers)} images; "
        f"more than the least at position {', '.join(named)}"
        + (" and more" if len(double) > MOST_NAMED else "")
    )
    raise RefusedError(Code.DUPLICATE_SLICE, sentence)


def _labeled(headers: Sequence[Header], tag: str) -> list[list[Header]]:
    """Group images by a tag's value, ascending; those without it make a group of none."""
    if any(tag not in header.moments for header in headers):
        return []
    grouped: dict[Any, list[Header]] = defaultdict(list)
    for header in headers:
        grouped[header.moments[tag]].append(header)
    return [grouped[value] for value in sorted(grouped)]


def _is_apart(headers: Sequence[Header]) -> bool:
    return len(_by_place(headers)) == len(headers)


def _by_label(
    headers: Sequence[Header], places: list[list[Header]], tag: str
) -> list[list[Header]] | None:
    frames = _labeled(headers, tag)
    if len(frames) != len(places[0]):
        return None
    if all(len(frame) == len(places) and _is_apart(frame) for frame in frames):
        return frames
    return None


def _in_turn(frames: list[list[Header]], places: list[list[Header]]) -> list[list[Header]]:
    """Order frames of which some lack an image by the positions that none of them lacks."""
    shared = {id(header) for place in places if len(place) == len(frames) for header in place}
    return sorted(frames, key=lambda frame: _turn([h for h in frame if id(h) in shared] or frame))


def _turn(frame: Sequence[Header]) -> tuple[float, tuple[int, ...]]:
    """Return where in the series a frame stands: weightings were not made in their order."""
    instances = [header.moments.get("InstanceNumber", 0.0) for header in frame]
    return sum(instances) / len(frame), frame[0].moments.get("DimensionIndexValues", ())


def _by_phase(places: list[list[Header]]) -> list[list[Header]] | None:
    """Take the images of each position by their delays after the heartbeat, which may vary."""
    tag = "TriggerTime"
    if any(tag not in header.moments for place in places for header in place):
        return None
    if not all(_distinct(tuple(header.moments[tag] for header in place)) for place in places):
        return None
    ranked = [sorted(place, key=lambda header: header.moments[tag]) for place in places]
    return [list(frame) for frame in zip(*ranked, strict=True)]


def _by_clock(places: list[list[Header]], tag: str) -> list[list[Header]] | None:
    """Take the first image at every position, the second, and so on, if the tag's order allows.

    It does where each frame ends before the next begins. Instance numbers also may run through
    the frames of one position after the other.
    """
    if any(tag not in header.moments for place in places for header in place):
        return None
    ranked = [sorted(place, key=lambda header: header.moments[tag]) for place in places]
    times = [tuple(header.moments[tag] for header in place) for place in ranked]
    frames = [list(frame) for frame in zip(*ranked, strict=True)]
    in_turn = tag == "InstanceNumber" and _apart(sorted(times)) and all(map(_distinct, times))
    return frames if _apart(list(zip(*times, strict=True))) or in_turn else None


def _apart(runs: Sequence[tuple[Any, ...]]) -> bool:
    """Say whether each run of values ends before the next begins."""
    return all(max(run) < min(later) for run, later in pairwise(runs))


def _distinct(run: tuple[Any, ...]) -> bool:
    return len(set(run)) == len(run)
