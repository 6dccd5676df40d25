"""Small manifests, what `embed` would write of them, and what `select` makes of both."""

import json

import numpy as np
import pyarrow.parquet as pq

from medssl.data.cache import write_cached
from medssl.data.manifest import Case, Manifest, read_manifest, write_manifest
from medssl.data.preprocessing import Intensity
from medssl.data.volume import Volume
from pipelines.__main__ import main
from pipelines._parts import Rows, parts_of, write_part


def write_cases(root, *cases, shape=(8, 8, 4)):
    """Write a manifest of cases that are given as dictionaries of what is not as usual."""
    usual = {"shape": list(shape), "spacing_mm": [1.0] * 3, "split": "train"}
    rows = []
    for case in cases:
        name = case["case_id"]
        known = {"digest": name, "subject_id": name, "image_uri": f"volumes/{name}.b2nd"}
        rows.append(Case(**(usual | known | case)))
    (root / "cache").mkdir(exist_ok=True)
    write_manifest(Manifest.of(rows), root / "cache" / "manifest.parquet")


def write_voxels(root, name, voxels):
    """Write the volume of a case, in thousandths, so that 1000 is white."""
    write_cached(
        root / "cache" / "volumes" / f"{name}.b2nd",
        Volume(voxels.astype(np.int16)[None], np.eye(4)),
        intensity=Intensity(0.0, 1e-3, 0.0, 1.0),
        source_affine=np.eye(4),
        source_shape=voxels.shape,
        key=name,
    )


def write_rows(root, kind, *cases, folder="rows"):
    """Write rows of cases, each given as (case, slices, values, blank); no slices for a volume."""
    rows = [
        Rows(
            name,
            f"{name}.b2nd",
            np.array([-1] if slices is None else slices),
            np.asarray(values, np.uint64 if kind == "hash" else np.float32),
            np.array(blank),
        )
        for name, slices, values, blank in cases
    ]
    counts = [len(one.values) for one in rows]
    for part in parts_of(counts, root / folder):
        write_part(part, rows[part.start : part.end], "a stamp")
    card = {
        "format": 2,
        "kind": kind,
        "unit": "volume" if cases[0][1] is None else "slice",
        "num_rows": sum(counts),
        "dim": rows[0].values.shape[1],
        "descriptor": {"name": kind},
        "weights": None,
    }
    (root / folder / "card.json").write_text(json.dumps(card))


def select(root, config="near_duplicates", **keys):
    """Run the stage; no pictures, because there are no images, unless asked for."""
    keys = {
        "manifest": root / "cache" / "manifest.parquet",
        "descriptors": root / "rows",
        "output": root / "small",
        "num_examples": 0,
    } | keys
    flags = [word for key, value in keys.items() for word in ("--set", f"{key}={value}")]
    return main(["select", f"configs/select/{config}.yaml", *flags])


def left(root):
    """Return the slices of each case that is left."""
    return {case.case_id: case.slices for case in read_manifest(root / "small/manifest.parquet")}


def audit(root):
    """Return the rows of the audit."""
    return pq.read_table(root / "small" / "audit.parquet").to_pylist()
