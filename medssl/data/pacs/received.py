"""Instances that came from a PACS: a file each, named by a hash of its UID, whole or not there."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PART = ".part"


@dataclass(frozen=True)
class Received:
    """A folder of received instances.

    Args:
        folder: Which only its owner may enter.
    """

    folder: Path

    def path(self, instance_uid: str) -> Path:
        """Return where an instance is, or will be."""
        name = hashlib.sha256(instance_uid.encode()).hexdigest()[:40]
        return self.folder / name[:2] / f"{name}.dcm"

    def missing(self, instance_uids: Iterable[str]) -> list[str]:
        """Return those that are not there."""
        return [uid for uid in instance_uids if not self.path(uid).is_file()]

    def keep(self, instance_uid: str, content: bytes) -> None:
        """Write an instance down."""
        path = self.path(instance_uid)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}{PART}")
        temporary.write_bytes(content)
        temporary.replace(path)

    def sweep(self) -> None:
        """Remove what a killed run left half-written."""
        for part in self.folder.glob(f"*/.*{PART}"):
            part.unlink()
