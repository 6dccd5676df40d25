"""Pseudonyms: the same name gives the same id under one key, and no name without it."""

import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from medssl.errors import DataError

SHORTEST = 16  # bytes of a key


@dataclass(frozen=True)
class Pseudonyms:
    """Keyed hashes of names.

    Args:
        key: The secret.
    """

    key: bytes = field(repr=False)

    def __call__(self, kind: str, name: str) -> str:
        """Return the id of a name among those of one kind."""
        return self._digest(kind, name).hex()[:16]

    def uid(self, name: str) -> str:
        """Return the DICOM UID of a name, a UID as a rule, under the root that needs no owner.

        Source: DICOM PS3.5 2024, B.2.
        """
        return f"2.25.{UUID(bytes=self._digest('uid', name)[:16], version=4).int}"

    def _digest(self, kind: str, name: str) -> bytes:
        text = f"{kind}\0{name}".encode("utf-8", "surrogateescape")
        return hmac.new(self.key, text, hashlib.sha256).digest()


def read_key(path: Path) -> bytes:
    """Read the secret.

    Raises:
        DataError: If there is none, or others than its owner can read it.
    """
    if not path.is_file():
        msg = f"there is no key file {path}; leave `key` out to have one made"
        raise DataError(msg)
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        msg = f"{path}: others than its owner can read this key (mode {mode:o}); chmod 600 it"
        raise DataError(msg)
    key = path.read_bytes()
    if len(key) < SHORTEST:
        msg = f"{path}: a key has at least {SHORTEST} bytes, this one has {len(key)}"
        raise DataError(msg)
    return key


def make_key(path: Path) -> bytes:
    """Return the secret of this file; where there is none yet, one is made, for us to read only."""
    if not path.exists():
        temporary = path.with_name(f".{path.name}.part")
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(32))
        temporary.replace(path)
    return read_key(path)
