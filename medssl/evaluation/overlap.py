"""How well a segmentation agrees with its reference: Dice, HD95 and NSD a class, through MONAI.

Source: Maier-Hein, Reinke et al., "Metrics reloaded: recommendations for image analysis
validation", Nature Methods 2024, arXiv:2206.01653, for what is said of empty masks; Nikolov et
al., "Deep learning to achieve clinically applicable segmentation of head and neck anatomy",
2018, arXiv:1809.04430, for the normalized surface distance (NSD).
"""

import math
import warnings
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64, Integer
from monai.metrics.hausdorff_distance import compute_hausdorff_distance
from monai.metrics.meandice import compute_dice
from monai.metrics.surface_dice import compute_surface_dice
from torch import Tensor
from torch.nn import functional

from medssl.errors import DataError

MARGIN_VOX = 2  # around both masks, so that no surface touches the border of the box


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """The agreement of one class in one case.

    An empty reference has no Dice: it is NaN, and `reference_empty` says why. A class that was
    missed altogether has Dice and NSD 0 and no distance: HD95 is NaN, `prediction_empty` is set.

    Args:
        dice: Twice the common volume over the sum of both.
        hd95_mm: 95th percentile of the distances between the surfaces, the larger direction.
        nsd: Share of both surfaces within the tolerance of the other.
        reference_empty: Whether the reference holds no voxel of the class.
        prediction_empty: Whether the prediction holds none.
    """

    dice: float
    hd95_mm: float
    nsd: float
    reference_empty: bool
    prediction_empty: bool


def overlap(
    prediction: Integer[np.ndarray, "i j k"],
    reference: Integer[np.ndarray, "i_of_it j_of_it k_of_it"],
    *,
    num_classes: int,
    spacing_mm: Float64[np.ndarray, "3"],
    tolerance_mm: float,
) -> list[Overlap]:
    """Return the agreement of each class but the background, on one grid.

    Args:
        prediction: Class numbers; 0 is the background.
        reference: The same, of what is held to be true.
        num_classes: With the background.
        spacing_mm: Of the grid.
        tolerance_mm: Distance between surfaces that counts as agreement.

    Raises:
        DataError: If the grids differ, or the reference holds a class that is not asked for.
    """
    if prediction.shape != reference.shape:
        msg = f"the prediction has shape {prediction.shape}, its reference {reference.shape}"
        raise DataError(msg)
    if (highest := int(reference.max(initial=0))) >= num_classes or reference.min(initial=0) < 0:
        msg = f"expected reference classes 0 to {num_classes - 1}, got up to {highest}"
        raise DataError(msg)
    box = _box((prediction > 0) | (reference > 0))
    spacing = [float(step) for step in spacing_mm]
    return [
        _of_class(
            torch.from_numpy(np.ascontiguousarray(prediction[box] == number))[None, None],
            torch.from_numpy(np.ascontiguousarray(reference[box] == number))[None, None],
            spacing,
            tolerance_mm,
        )
        for number in range(1, num_classes)
    ]


def _box(mask: np.ndarray) -> tuple[slice, ...]:
    """Return the part of the grid that holds all there is: surfaces are sought nowhere else."""
    ranges = []
    for axis in range(mask.ndim):
        along = np.flatnonzero(mask.any(axis=tuple(a for a in range(mask.ndim) if a != axis)))
        low, high = (along[0], along[-1] + 1) if len(along) else (0, 1)
        ranges.append(slice(max(0, int(low) - MARGIN_VOX), int(high) + MARGIN_VOX))
    return tuple(ranges)


def _of_class(
    prediction: Tensor, reference: Tensor, spacing: list[float], tolerance_mm: float
) -> Overlap:
    reference_empty = not reference.any()
    prediction_empty = not prediction.any()
    if reference_empty or prediction_empty:
        missed = 0.0 if not reference_empty else math.nan
        return Overlap(
            dice=missed,
            hd95_mm=math.nan,
            nsd=missed,
            reference_empty=reference_empty,
            prediction_empty=prediction_empty,
        )
    with warnings.catch_warnings():
        # MONAI 1.6 warns of an argument that it passes itself.
        warnings.filterwarnings("ignore", ".*always_return_as_numpy", FutureWarning)
        return _of_masks(prediction, reference, spacing, tolerance_mm)


def _of_masks(
    prediction: Tensor, reference: Tensor, spacing: list[float], tolerance_mm: float
) -> Overlap:
    # A mask padded by a voxel has a surface where it touches the border of the image.
    ours, theirs = (functional.pad(mask.float(), (1,) * 6) for mask in (prediction, reference))
    apart = compute_hausdorff_distance(
        ours, theirs, include_background=True, percentile=95, spacing=spacing
    )
    near = compute_surface_dice(
        ours, theirs, [tolerance_mm], include_background=True, spacing=spacing
    )
    return Overlap(
        dice=compute_dice(ours, theirs).item(),
        hd95_mm=apart.item(),
        nsd=near.item(),
        reference_empty=False,
        prediction_empty=False,
    )
