"""Configs as records keep them: without the paths of an archive, whose folders bear names.

The config as it was is kept in the output's `private/`, and `--show` prints it.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from medssl.config.load import dump
from medssl.data.archive.pseudonyms import Pseudonyms
from medssl.data.mirror import PREFIX, resolve
from medssl.errors import DataError

T = TypeVar("T")

# Keys of `index` and `predict` that say where an archive is, at whatever depth.
PATHS = {"root", "include", "folder", "csv", "datalist", "source", "key", "deidentified"}
OPEN_PATTERN = re.compile(r"[*?/]*(\.\w{1,5}){0,2}")  # such as **/*.nii.gz
CONFIG = "config.yaml"
HIDDEN = "(hidden)"


def keep_config(cfg: Any, private: Path) -> None:
    """Write a config, paths and all, for its owner."""
    temporary = private / f".{CONFIG}.part"
    temporary.unlink(missing_ok=True)
    temporary.touch(mode=0o600)
    temporary.write_text(dump(cfg))
    temporary.replace(private / CONFIG)


def without_paths(cfg: T, hidden: Pseudonyms) -> T:
    """Return a config with keyed hashes in place of paths, but for those in the public mirror."""
    if isinstance(cfg, tuple):
        return tuple(without_paths(part, hidden) for part in cfg)  # type: ignore[return-value]
    if not is_dataclass(cfg) or isinstance(cfg, type):
        return cfg
    return replace(
        cfg,
        **{
            field.name: _path(value, hidden)
            if field.name in PATHS and isinstance(value, str | Path)
            else without_paths(value, hidden)
            for field in fields(cfg)
            for value in [getattr(cfg, field.name)]
        },
    )


def _path(value: str | Path, hidden: Pseudonyms) -> str | Path:
    if _is_open(str(value)):
        return value
    return type(value)(hidden("source", str(value)))


def _is_open(value: str) -> bool:
    return value.startswith(PREFIX) or OPEN_PATTERN.fullmatch(value) is not None


def overlay_without_paths(tree: Any, key: str = "") -> Any:
    """Return what a study lays over a stage's config, with nothing where a path would stand."""
    if isinstance(tree, Mapping):
        return {name: overlay_without_paths(value, name) for name, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [overlay_without_paths(part, key) for part in tree]
    is_path = isinstance(tree, str) and key.split(".")[-1] in PATHS and not _is_open(tree)
    return HIDDEN if is_path else tree


@contextmanager
def about(key: str) -> Iterator[None]:
    """Say of an error which key of the config it is about."""
    try:
        yield
    except DataError as error:
        msg = f"{key}: {error}"
        raise DataError(msg) from error


def place_of(value: str, key: str) -> Path:
    """Return where a path of the config leads.

    Raises:
        DataError: If nowhere, or not for us to see; the key is named and not the path, which may
            name a patient.
    """
    found = resolve(value)
    try:
        is_there = found.exists()
    except OSError as error:
        msg = f"{key}: what is there cannot be seen ({error.strerror}); have its owner allow it"
        raise DataError(msg) from error
    if not is_there:
        msg = f"{key}: there is no such file or folder; name one that exists"
        raise DataError(msg)
    return found
