"""The frames of a volume: images that share positions, told apart by what is of a frame.

By temporal position, diffusion weighting, acquisition or times, whatever holds for every position.
Where a tag tells frames apart for certain, some may lack an image.

Source: DICOM PS3.3 2024, C.7.6.1 (times), C.7.10.1 (acquisition), C.8.3.1 (temporal position,
trigger time), C.8.13.5.9 (diffusion).
"""

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from medssl.data.dicom.header import Header
from medssl.data.dicom.stack import OFF_PLACE_MM, along_normal, cosines
from medssl.data.verdicts import Code, RefusedError

MOST_NAMED = 5  # in a sentence
# Equal in all images of a frame, different between frames.
LABELS = (
    "TemporalPositionIdentifier", "DiffusionBValue", "AcquisitionNumber", "FrameAcquisitionNumber",
    "TriggerTime", "DimensionIndexValues",
)  # fmt: skip
# Rising from frame to frame.
TIMES = ("AcquisitionDateTime", "AcquisitionTime", "ContentTime")
CLOCKS = (*TIMES, "InstanceNumber")


def require_whole(frame: Sequence[Header], places: list[list[Header]], name: str) -> None:
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


def frames_of(headers: Sequence[Header]) -> list[list[Header]]:
    """Part repetitions of a volume, earliest first.

    Raises:
        RefusedError: If images share a position and nothing says which belong together.
    """
    cosines(headers[0])
    places = by_place(headers)
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


def by_place(headers: Sequence[Header]) -> list[list[Header]]:
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
        frames = labeled(headers, tag)
        if len(frames) == max(numbers) and all(map(is_apart, frames)):
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


def labeled(headers: Sequence[Header], tag: str) -> list[list[Header]]:
    """Group images by a tag's value, ascending; those without it make a group of none."""
    if any(tag not in header.moments for header in headers):
        return []
    grouped: dict[Any, list[Header]] = defaultdict(list)
    for header in headers:
        grouped[header.moments[tag]].append(header)
    return [grouped[value] for value in sorted(grouped)]


def is_apart(headers: Sequence[Header]) -> bool:
    """Say whether no two images share a position."""
    return len(by_place(headers)) == len(headers)


def _by_label(
    headers: Sequence[Header], places: list[list[Header]], tag: str
) -> list[list[Header]] | None:
    frames = labeled(headers, tag)
    if len(frames) != len(places[0]):
        return None
    if all(len(frame) == len(places) and is_apart(frame) for frame in frames):
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
