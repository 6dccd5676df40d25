"""Instances that came from a PACS: a file each, whole or not at all, named by a hash of its UID.

What is there is the record of what came: a run that was killed goes on from it.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Collection
from pathlib import Path

from medssl.errors import DataError


class Received:
    """The instances of one source, below a folder that only its owner may enter.

    `files` holds those that the query asks for now, `aside` those that an earlier one asked for
    and this one does not, `arriving` what is not whole.

    Args:
        folder: Where.
    """

    def __init__(self, folder: Path) -> None:
        self.files, self.aside, self._arriving = (
            folder / name for name in ("files", "aside", "arriving")
        )
        shutil.rmtree(self._arriving, ignore_errors=True)
        for place in (folder.parent, folder, self.files, self.aside, self._arriving):
            place.mkdir(mode=0o700, exist_ok=True)

    def __contains__(self, uid: str) -> bool:
        """Whether the instance is among the files."""
        return (self.files / _name(uid)).is_file()

    def write(self, uid: str, content: bytes) -> None:
        """Keep an instance; one that comes again takes its own place.

        Raises:
            DataError: If the disk does not take it.
        """
        target = self.files / _name(uid)
        try:
            descriptor, partial = tempfile.mkstemp(dir=self._arriving)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            target.parent.mkdir(exist_ok=True)
            Path(partial).replace(target)
        except OSError as error:
            msg = (
                f"{self.files}: expected room for what the PACS sends, got {error.strerror}; make "
                "some, the same command goes on from here"
            )
            raise DataError(msg) from error

    def settle(self, uids: Collection[str]) -> None:
        """Keep these among the files, as far as they are here, and no others."""
        wanted = {_name(uid) for uid in uids}
        for name in _names(self.files) - wanted:
            _move(name, self.files, self.aside)
        for name in _names(self.aside) & wanted:
            _move(name, self.aside, self.files)


def _names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.glob("*/*")}


def _move(name: str, source: Path, target: Path) -> None:
    (target / name).parent.mkdir(exist_ok=True)
    (source / name).replace(target / name)


def _name(uid: str) -> str:
    digest = hashlib.sha256(uid.encode()).hexdigest()
    return f"{digest[:2]}/{digest[2:34]}.dcm"
