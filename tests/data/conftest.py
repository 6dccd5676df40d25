import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest


@pytest.fixture(scope="session")
def dicom():
    """What `tests/dicom_series.py` defines: writes series of DICOM files."""
    path = Path(__file__).parents[1] / "dicom_series.py"
    return SimpleNamespace(**runpy.run_path(str(path)))


@pytest.fixture(scope="session")
def voxels(dicom):
    return dicom.VOXELS


@pytest.fixture(scope="session")
def affine(dicom):
    return dicom.AFFINE
