"""What stages that train have in common: which run this is, whether it is done, what it logged."""

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from medssl.config.load import dump
from medssl.data.manifest import Manifest
from medssl.errors import ConfigError, DataError
from medssl.models.export import check_replaceable, is_export, read_card
from medssl.training.checkpoint import differing
from pipelines._commit import commit

UNSEEN = ("tracker", "num_workers")  # keys of which the result does not depend


def identify(cfg: Any, **inputs: Path | None) -> dict[str, Any]:
    """Return what decides a run's result: its config and the SHA-256 of the files it reads."""
    config = {key: value for key, value in yaml.safe_load(dump(cfg)).items() if key not in UNSEEN}
    return {"config": config, **{key: path and sha256(path) for key, path in inputs.items()}}


def sha256(path: Path) -> str:
    """Return the digest of a file.

    Raises:
        DataError: If there is no such file.
    """
    if not path.is_file():
        msg = f"there is no file {path}; give the path of one, or run the stage that writes it"
        raise DataError(msg)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_done(output: Path, identity: Mapping[str, Any]) -> bool:
    """Return whether `output` is the finished export of this very run.

    Raises:
        ConfigError: If it is another run's.
        DataError: If it is no export at all.
    """
    if not is_export(output):
        check_replaceable(output)
        return False
    found = read_card(output).get("provenance", {})
    if different := differing({key: found.get(key) for key in identity}, identity):
        msg = (
            f"{output} is the export of a run with another {', '.join(different)}; "
            "choose another output, or delete that folder"
        )
        raise ConfigError(msg)
    return True


def provenance(identity: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a card says about how its weights came to be."""
    return {"medssl": version("medssl"), "commit": commit(), **identity}


def contract_of(path: Path, manifest: Manifest) -> dict[str, Any]:
    """Return the preprocessing that a manifest's volumes went through.

    `cache` writes it as `preprocessing.json` beside its manifest; of a manifest that stands
    elsewhere (after `select`), it is found above the volumes.

    Raises:
        DataError: If there is none.
    """
    first = (path.parent / manifest[0].image_uri).resolve()
    for folder in (path.parent, *first.parents):
        if (folder / "preprocessing.json").is_file():
            found: dict[str, Any] = json.loads((folder / "preprocessing.json").read_text())
            return found
    msg = (
        f"{path}: no preprocessing.json beside it or above its volumes; "
        "give the manifest that `cache` wrote, or one that `select` made of it"
    )
    raise DataError(msg)


class History:
    """The numbers a run logged, in order."""

    def __init__(self, rows: list[tuple[int, str, float]] | None = None) -> None:
        self.rows = list(rows or [])

    def add(self, step: int, numbers: Mapping[str, float]) -> None:
        """Add the numbers of one step."""
        self.rows += [(step, name, value) for name, value in numbers.items()]

    def curves(self, prefix: str) -> dict[str, tuple[list[int], list[float]]]:
        """Return steps and values of each name that begins so, without the prefix."""
        found: dict[str, tuple[list[int], list[float]]] = {}
        for step, name, value in self.rows:
            if name.startswith(prefix):
                steps, values = found.setdefault(name.removeprefix(prefix), ([], []))
                steps.append(step)
                values.append(value)
        return found

    def table(self) -> pa.Table:
        """Return a row a number."""
        steps, names, values = zip(*self.rows, strict=True) if self.rows else ((), (), ())
        columns = [pa.array(steps, pa.int64()), pa.array(names, pa.string())]
        return pa.table([*columns, pa.array(values, pa.float64())], ["step", "name", "value"])
