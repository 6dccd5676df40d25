"""A cohort whose voxels say where they are."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from medssl.data.cache import write_cached
from medssl.data.manifest import Case, Manifest
from medssl.data.preprocessing import Intensity
from medssl.data.volume import Volume

SHAPES = [(12, 14, 10), (9, 16, 8), (20, 5, 11), (16, 16, 16), (13, 11, 9)]


@dataclass(frozen=True)
class Cohort:
    manifest: Manifest
    root: Path


def places(shape):
    """Return a volume of voxels 1 + 10000 i + 100 j + k, none of which is 0."""
    i, j, k = np.indices(shape, np.int32)
    return (1 + 10000 * i + 100 * j + k)[None]


def label_of(shape):
    """Return class 1 at k = 2 and one voxel of class 3 in the far corner."""
    label = np.zeros((1, *shape), np.uint8)
    label[0, 2:5, 1:4, 2] = 1
    label[0, -1, -1, -1] = 3
    return label


@pytest.fixture(scope="session")
def cohort(tmp_path_factory):
    """Five cached cases of four subjects, with labels."""
    root = tmp_path_factory.mktemp("cohort")
    cases = []
    for number, shape in enumerate(SHAPES):
        geometry = {"source_affine": np.eye(4), "source_shape": shape, "key": str(number)}
        as_is = Intensity(0.0, 1.0, -1e9, 1e9)
        image, label = (f"{kind}/{number}.b2nd" for kind in ("volumes", "labels"))
        write_cached(root / image, Volume(places(shape), np.eye(4)), intensity=as_is, **geometry)
        write_cached(root / label, Volume(label_of(shape), np.eye(4)), intensity=None, **geometry)
        cases.append(
            Case(
                case_id=f"case{number}",
                digest=str(number),
                subject_id=f"subject{number % 4}",
                image_uri=image,
                label_uri=label,
                shape=list(shape),
                spacing_mm=[1.0, 1.0, 1.0],
                split="train",
            )
        )
    return Cohort(Manifest.of(cases), root)


@pytest.fixture
def where():
    """Return a function that tells the place of each voxel that is not padding."""

    def places(crop):
        values = np.asarray(crop, np.int64).ravel()
        values = values[values > 0] - 1
        return np.stack([values // 10000, values // 100 % 100, values % 100], axis=1)

    return places
