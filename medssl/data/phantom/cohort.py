"""Which series an archive holds: originals, copies of them, and what is broken or no image."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

Role = Literal[
    "original",
    "exact_duplicate",
    "near_duplicate",
    "truncated",
    "missing_slice",
    "secondary_capture",
    "text_file",
    "incoming",
]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What the archive is like.

    Args:
        num_subjects: Patients, each with one original series or two.
        two_series: Share of the patients with a second series of another contrast.
        spacing_mm: Range of the voxel steps, drawn for each axis.
        labels: Whether all original series have labels or each subject's first.
        deformation_mm: Standard deviation of the displacements that make a subject's anatomy.
        snr: Range of the mean brain signal over the noise's deviation.
        exact_duplicates: Series saved again, the same voxels under new UIDs.
        near_duplicates: Series saved again under new UIDs with another gain and noise.
        truncated: Series of which one file ends early.
        missing_slices: Series of which one inner slice is absent.
        secondary_captures: Screenshots.
        text_files: Files that are no DICOM.
        seed: Everything follows from it.
    """

    num_subjects: int
    two_series: float
    spacing_mm: tuple[float, float]
    labels: Literal["all", "first"]
    deformation_mm: float
    snr: tuple[float, float]
    exact_duplicates: int
    near_duplicates: int
    truncated: int
    missing_slices: int
    secondary_captures: int
    text_files: int
    seed: int


@dataclass(frozen=True)
class Item:
    """One thing in the archive.

    Args:
        role: What it is.
        subject: Whose it is.
        acquisition: Which of the subject's scans it shows: 0 and 1 are the original series.
        number: DICOM's series number, unique for a subject.
    """

    role: Role
    subject: int
    acquisition: int
    number: int


def cohort(recipe: Recipe) -> list[Item]:
    """Return what there is: originals subject by subject, what is planted, and one more scan.

    The last is of a subject that the archive does not know: what a trained model is for.
    """
    originals = [
        Item("original", subject, series, 1 + series)
        for subject in range(recipe.num_subjects)
        for series in range(_num_series(subject, recipe.two_series))
    ]
    planted: list[tuple[Role, int]] = [
        ("exact_duplicate", recipe.exact_duplicates),
        ("near_duplicate", recipe.near_duplicates),
        ("truncated", recipe.truncated),
        ("missing_slice", recipe.missing_slices),
        ("secondary_capture", recipe.secondary_captures),
        ("text_file", recipe.text_files),
    ]
    roles = [role for role, count in planted for _ in range(count)]
    order = np.random.default_rng([recipe.seed, 1]).permutation(len(originals))
    copies = [
        _planted(role, originals[order[n % len(order)]], 100 + n) for n, role in enumerate(roles)
    ]
    return [*originals, *copies, Item("incoming", recipe.num_subjects, 0, 1)]


def has_label(recipe: Recipe, item: Item) -> bool:
    """Return whether the item has a label volume; copies and broken series never have."""
    return item.role == "original" and (recipe.labels == "all" or item.acquisition == 0)


def _num_series(subject: int, share: float) -> int:
    """Return 2 for that share of the subjects, evenly spread, and 1 for the others."""
    return 1 + int((subject + 1) * share) - int(subject * share)


def _planted(role: Role, original: Item, number: int) -> Item:
    # A copy shows the original's scan; a broken series is a scan of its own.
    is_copy = role in ("exact_duplicate", "near_duplicate")
    return Item(role, original.subject, original.acquisition if is_copy else number, number)
