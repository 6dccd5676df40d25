"""Which other programs turn DICOM series into volumes, and how are they called?

They are peers to measure against, never a part of medssl: what a user installs does not hold
them (`pip install -e '.[dev]'` does), and each is imported where it is called.
"""

import importlib
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from medssl.errors import ConfigError


class Converter(Protocol):
    """Converts an archive.

    Args:
        package: What is to be installed for it.
        work: What a call does, for those who read its figures.
    """

    package: str
    work: str

    def __call__(self, archive: Path, output: Path) -> None:
        """Convert each series, a folder in the archive each, into the output folder."""
        ...


def load(package: str) -> Any:
    """Return the module of a peer, which is called as its package is.

    Raises:
        ConfigError: If it is not installed.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        msg = f"{package} is not installed; pip install -e '.[dev]' in the repository brings it"
        raise ConfigError(msg) from error


def describe(converter: Converter) -> str:
    """Return version and work of a converter, which is loaded by that.

    Raises:
        ConfigError: If it is not installed.
    """
    load(converter.package)
    return f"{converter.package} {version(converter.package)}: {converter.work}"
