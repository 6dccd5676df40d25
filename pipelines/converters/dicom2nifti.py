"""dicom2nifti, the converter in Python.

Source: https://github.com/icometrix/dicom2nifti.
"""

import warnings
from pathlib import Path

from pipelines.converters import load

__all__ = ["Dicom2nifti"]


class Dicom2nifti:
    """Calls it for each series."""

    package = "dicom2nifti"
    work = "each series to uncompressed NIfTI, axes as stored (reorient_nifti=False)"

    def __call__(self, archive: Path, output: Path) -> None:
        """Convert each series."""
        convert = load(self.package).dicom_series_to_nifti
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for series in sorted(archive.iterdir()):
                path = output / f"{series.name}.nii"
                convert(str(series), str(path), reorient_nifti=False)
