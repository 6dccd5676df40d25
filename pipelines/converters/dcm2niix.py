"""dcm2niix, the program that most labs convert with.

Source: https://github.com/rordenlab/dcm2niix; the PyPI wheel holds the program.
"""

import subprocess
from pathlib import Path

from medssl.errors import DataError
from pipelines.converters import load

__all__ = ["Dcm2niix"]


class Dcm2niix:
    """Runs it once over the whole archive."""

    package = "dcm2niix"
    work = "one call for all series, each to uncompressed NIfTI with its JSON (-z n)"

    def __call__(self, archive: Path, output: Path) -> None:
        """Convert each series.

        Raises:
            DataError: If it reports a failure.
        """
        command = [load(self.package).bin, "-z", "n", "-f", "%j", "-o", str(output), str(archive)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            msg = f"dcm2niix ended with status {done.returncode}: {done.stdout[-500:]}"
            raise DataError(msg)
