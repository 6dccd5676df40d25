"""SimpleITK's reader of series, which is ITK's on GDCM.

Source: https://simpleitk.readthedocs.io, example "Dicom Series Reader".
"""

from pathlib import Path

from pipelines.converters import load

__all__ = ["SimpleItk"]


class SimpleItk:
    """Reads each series."""

    package = "SimpleITK"
    work = "each series into memory by ImageSeriesReader, nothing is written"

    def __call__(self, archive: Path, output: Path) -> None:
        """Read each series; nothing is written."""
        itk = load(self.package)
        for series in sorted(archive.iterdir()):
            reader = itk.ImageSeriesReader()
            reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(series)))
            reader.Execute()
