"""What a file of arrays must be before a library opens it."""

from pathlib import Path

from medssl.data.verdicts import Code, RefusedError
from medssl.errors import DataError


def require_file(path: Path) -> None:
    """Refuse what is no file.

    Raises:
        RefusedError: If it is something else.
        DataError: If nothing is there.
    """
    if not path.exists():
        msg = f"there is no file {path}"
        raise DataError(msg)
    if not path.is_file():
        raise RefusedError(Code.UNREADABLE, "no regular file", path)
