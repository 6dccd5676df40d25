"""Frames: views of one place at different times of a series.

Source: Qian et al., "Spatiotemporal Contrastive Video Representation Learning", CVPR 2021,
section 3.2: of two clips that are T(1 - sqrt(1 - u)) apart, an interval that becomes less likely
linearly as it grows, the earlier begins anywhere from which the later one still fits.
Departs from the paper: a clip is a single frame, and the two are never the same one. The first is
given, and as the paper's law makes every pair of a sequence equally likely, the other is any of
those that are left; so the intervals of an epoch follow the law. Frames that go round in a circle
are apart by the shorter way.
"""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int

from medssl.data.cache import open_cached
from medssl.data.crops import Crops
from medssl.data.crops._cutting import checked_crop
from medssl.data.crops._viewing import stacked, views_of
from medssl.data.manifest import Manifest
from medssl.data.randomness import integer, stream
from medssl.errors import DataError

__all__ = ["Frames"]

SAME_GRID_MM = 1e-3


class Frames:
    """One item a frame: it and others of its series, a view each.

    Frames are of one series where the manifest gives them one `series_id` and one part of it; they
    must lie on one grid. The first view is of the case that was drawn. Slices come from those that
    this case lets take part, all views of an item from the same one; blocks need their neighbors
    and come from anywhere. A crop that is larger than the volume along an axis is centered and
    padded with zeros.

    Args:
        manifest: The cases, cached; each is a frame of a series with at least as many as views.
        root: The folder that their URIs start from.
        seed: Begins every draw.
        crop_vox: Size of a crop: two numbers for slices, three for blocks.
        num_views: How many views there are of an item, each of a frame of its own.
        shared_crop: Whether an item's views are cut at one place.
        periodic: Whether the last frame listed is followed by the first, as in a heart cycle; a
            frame's chance then falls linearly with how far away it is around the circle.
    """

    in_channels = 1

    def __init__(
        self,
        manifest: Manifest,
        root: Path,
        seed: int,
        *,
        crop_vox: tuple[int, ...],
        num_views: int = 2,
        shared_crop: bool = True,
        periodic: bool = False,
    ) -> None:
        if num_views < 2:
            msg = f"num_views must be at least 2, a frame each, got {num_views}"
            raise ValueError(msg)
        self.manifest, self.root, self.seed = manifest, root, seed
        self.crop_vox, self.num_views = checked_crop(crop_vox), num_views
        self.shared_crop, self.periodic = shared_crop, periodic
        self.spatial_dims = len(crop_vox)
        self.subjects = manifest.codes("subject_id")
        self.numbers = manifest.table["frame"].fill_null(0).to_numpy()
        self._series = _rows_by_series(manifest, self.numbers, num_views)

    def __getitem__(self, draw: tuple[int, int]) -> Crops:
        """Return the views of frame `row` in `epoch`."""
        epoch, row = draw
        case = self.manifest[row]
        key = (self.seed, epoch, case.digest)
        chosen = stream(*key, "slice")
        slices = range(case.shape[2]) if case.slices is None else case.slices
        k = slices[integer(chosen, len(slices))]
        rows = [row, *self._others(row, stream(*key, "frames"))]
        views = [
            view
            for number, at in enumerate(rows)
            for view in views_of(
                open_cached(self.root / self.manifest[at].image_uri),
                key,
                [number],
                crop_vox=self.crop_vox,
                k=k,
                shared_crop=self.shared_crop,
            )
        ]
        return stacked([views], int(self.subjects[row]), tuple(case.shape))

    def _others(self, row: int, generator: torch.Generator) -> list[int]:
        """Draw the rows of the views after the first: other frames of its series, each once."""
        rows = self._series[row]
        others = rows[rows != row]
        weights = torch.from_numpy(self._weights(self.numbers[row], self.numbers[rows], others))
        drawn = torch.multinomial(weights, self.num_views - 1, generator=generator)
        return [int(at) for at in others[drawn.numpy()]]

    def _weights(
        self, number: np.integer, series: Int[np.ndarray, "frame"], others: Int[np.ndarray, "other"]
    ) -> Float[np.ndarray, "other"]:
        """Return how likely each other frame is."""
        if not self.periodic:
            return np.ones(len(others))
        length = int(series.max() - series.min()) + 1
        apart = np.abs(self.numbers[others] - number)
        return length // 2 + 1.0 - np.minimum(apart, length - apart)


def _rows_by_series(
    manifest: Manifest, numbers: Int[np.ndarray, "case"], num_views: int
) -> list[Int[np.ndarray, "frame"]]:
    """Return for each case the rows of all frames of its series, in their order.

    Raises:
        DataError: If a case has fewer than views, or frames of a series lie on several grids.
    """
    columns = [manifest.table[name].to_pylist() for name in ("series_id", "frame", "attributes")]
    keys: list[Hashable] = [
        row if series is None or frame is None else (series, dict(attributes or ()).get("part"))
        for row, (series, frame, attributes) in enumerate(zip(*columns, strict=True))
    ]
    grouped: dict[Hashable, list[int]] = defaultdict(list)
    for row in np.argsort(numbers, kind="stable").tolist():
        grouped[keys[row]].append(row)
    if alone := [row for row, key in enumerate(keys) if len(grouped[key]) < num_views]:
        msg = (
            f"views of {num_views} frames need as many of one series, {len(alone)} of {len(keys)} "
            f"cases have fewer, the first {manifest[alone[0]].case_id}, with "
            f"{len(grouped[keys[alone[0]]])}; leave them out of the manifest"
        )
        raise DataError(msg)
    _check_grids(manifest, list(grouped.values()))
    series = {key: np.array(rows) for key, rows in grouped.items()}
    return [series[key] for key in keys]


def _check_grids(manifest: Manifest, grouped: Sequence[Sequence[int]]) -> None:
    """Refuse series of which the voxels of two frames are not of one place."""
    shapes, affines = (manifest.table[name].to_pylist() for name in ("shape", "affine"))

    def differ(row: int, other: int) -> bool:
        if shapes[row] != shapes[other] or (affines[row] is None) != (affines[other] is None):
            return True
        return affines[row] is not None and not np.allclose(
            affines[row], affines[other], rtol=0, atol=SAME_GRID_MM
        )

    found = ([row for row in rows if differ(rows[0], row)] for rows in grouped)
    apart = [(rows[0], others[0]) for rows, others in zip(grouped, found, strict=True) if others]
    if apart:
        one, other = (manifest[row] for row in apart[0])
        msg = (
            f"the frames of a series must lie on one grid, those of {len(apart)} of "
            f"{len(grouped)} do not, such as cases {one.case_id} and {other.case_id} of shapes "
            f"{one.shape} and {other.shape}; cache them with crop_to_foreground: false"
        )
        raise DataError(msg)
