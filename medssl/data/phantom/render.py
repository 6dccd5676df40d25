"""Render: one scan of one subject, as a function of (seed, subject, acquisition)."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from medssl.data.phantom.anatomy import Template, draw_anatomy, sample
from medssl.data.phantom.appearance import Contrast, Scan, acquire, contrast_of, saved_again
from medssl.data.phantom.cohort import Item, Recipe
from medssl.data.phantom.grid import Grid, draw_grid


@dataclass(frozen=True)
class Rendered:
    """A scan on its grid, with the truth about each voxel."""

    grid: Grid
    scan: Scan
    contrast: Contrast
    label: UInt8[np.ndarray, "i j k"]


def render(template: Template, recipe: Recipe, item: Item) -> Rendered:
    """Return the item's image; an exact duplicate's is its original's."""
    anatomy = draw_anatomy(
        np.random.default_rng([recipe.seed, 3, item.subject]), deformation_mm=recipe.deformation_mm
    )
    rng = np.random.default_rng([recipe.seed, 4, item.subject, item.acquisition])
    # 7 has no factor in common with 24: a subject's scans differ in orientation.
    grid = draw_grid(
        rng, item.subject + 7 * item.acquisition, steps_mm=recipe.spacing_mm, seed=recipe.seed
    )
    contrast = contrast_of(item.subject, item.acquisition)
    tissues = sample(template, anatomy, grid)
    scan = acquire(tissues, contrast, rng, snr=recipe.snr)
    if item.role == "near_duplicate":
        scan = saved_again(scan, np.random.default_rng([recipe.seed, 5, item.number]))
    return Rendered(grid, scan, contrast, tissues.label())
