"""What is written down about the data that a run used."""

from pathlib import Path

from medssl.data.manifest import Manifest
from medssl.tracking import DatasetRecord


def record_of(manifest: Manifest, path: Path, *, context: str) -> DatasetRecord:
    """Return the record of a manifest; its folder's name stands for it."""
    profile = {
        "cases": len(manifest),
        "subjects": len(set(manifest.table["subject_id"].to_pylist())),
        "labeled": len(manifest) - manifest.table["label_uri"].null_count,
    }
    name = path.parent.name or path.stem
    return DatasetRecord(name=name, digest=manifest.digest(), context=context, profile=profile)
