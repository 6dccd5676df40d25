"""How many rows another selection kept, if it was one of the same rows."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from medssl.data.manifest import Manifest, read_manifest
from medssl.errors import DataError
from pipelines._descriptors import image_names, num_slices

AUDIT, MANIFEST = "audit.parquet", "manifest.parquet"


def kept_rows(folder: Path, manifest: Manifest, unit: str) -> int:
    """Return how many rows another selection kept in the end.

    Args:
        folder: What it wrote.
        manifest: What is selected from now.
        unit: What a row is now.

    Raises:
        DataError: If there is none in the folder, or it was about another manifest or unit.
    """
    for name in (AUDIT, MANIFEST):
        if not (folder / name).is_file():
            msg = (
                f"as_many_as: {folder} holds no selection (no {name}); run that `medssl select` "
                "first"
            )
            raise DataError(msg)
    log = pq.read_table(folder / AUDIT, columns=["case_id", "slice", "kept", "step"])
    check_cases(folder, log, manifest)
    check_rows(folder, log, manifest)
    last = log.filter(pc.equal(log["step"], pc.max(log["step"])))
    if (other := unit_of(last)) != unit:
        msg = (
            f"as_many_as: {folder} kept {other}s in the end, this selection keeps {unit}s; give "
            f"one that keeps {unit}s, or other descriptors"
        )
        raise DataError(msg)
    return int(pc.sum(last["kept"]).as_py())


def check_cases(folder: Path, log: pa.Table, manifest: Manifest) -> None:
    """Refuse a selection from other cases, or from other images of them.

    Raises:
        DataError: With the first case that differs.
    """
    ids = manifest.table["case_id"]
    known = set(ids.to_pylist())
    if strange := sorted(known.symmetric_difference(log["case_id"].unique().to_pylist())):
        whose = "this" if strange[0] in known else "that"
        msg = (
            f"as_many_as: {folder} is a selection from another manifest: {len(strange)} cases are "
            f"in one of the two alone, such as {strange[0]}, in {whose}; give a selection from the "
            "same manifest"
        )
        raise DataError(msg)
    left = read_manifest(folder / MANIFEST)
    theirs = image_names(left)
    ours = image_names(manifest).take(pc.index_in(left.table["case_id"], value_set=ids))
    if pc.any(differ := pc.not_equal(theirs, ours)).as_py():
        first = left.table["case_id"].filter(differ)[0].as_py()
        msg = (
            f"as_many_as: {folder} is a selection from another manifest: {pc.sum(differ).as_py()} "
            f"cases have another image there, such as {first}; give a selection from the same "
            "manifest"
        )
        raise DataError(msg)


def check_rows(folder: Path, log: pa.Table, manifest: Manifest) -> None:
    """Refuse a selection from more or fewer slices of the same cases.

    Raises:
        DataError: With both numbers.
    """
    first = log.filter(pc.equal(log["step"], 0))
    train = manifest.table.filter(pc.field("split") == "train")
    unit = unit_of(first)
    expected = len(train) if unit == "volume" else pc.sum(num_slices(train)).as_py()
    if len(first) != expected:
        msg = (
            f"as_many_as: {folder} is a selection from {len(first)} {unit}s, this manifest has "
            f"{expected} in its train split; give a selection from the same manifest"
        )
        raise DataError(msg)


def unit_of(rows: pa.Table) -> str:
    """Return what has a row in the account of a step."""
    return "volume" if rows["slice"].null_count == len(rows) else "slice"
