"""Copies that are known to be there: all are found, and nothing else is taken for one."""

import json

import numpy as np
import pyarrow.parquet as pq
import pydicom
import pytest

from medssl.data.manifest import read_manifest
from pipelines.__main__ import main

COPIES = ("exact_duplicate", "near_duplicate")


def stage(name, *config, **keys):
    flags = [word for key, value in keys.items() for word in ("--set", f"{key}={value}")]
    assert main([name, *config, *flags]) == 0


def reduced(root, sources, **keys):
    """Index, cache, describe and reduce; return the audit's rows by case."""
    stage("index", sources=json.dumps(sources), output=root / "index", **keys)
    stage("cache", "configs/cache/native.yaml", index=root / "index", output=root / "cache")
    manifest = root / "cache" / "manifest.parquet"
    stage("embed", "configs/embed/dhash_volumes.yaml", manifest=manifest, output=root / "hashes")
    stage(
        "select", "configs/select/near_duplicate_volumes.yaml", manifest=manifest,
        descriptors=root / "hashes", output=root / "small", within="all", keep_labeled=False,
    )  # fmt: skip
    return {
        row["case_id"]: row for row in pq.read_table(root / "small" / "audit.parquet").to_pylist()
    }


def series_of_cases(root):
    """Return the series of each case, as its files say."""
    files = pq.read_table(root / "index" / "private" / "files.parquet").to_pylist()
    series = {}
    for row in files:
        if row["case_id"] is not None and row["case_id"] not in series:
            header = pydicom.dcmread(row["path"], specific_tags=["SeriesInstanceUID"])
            series[row["case_id"]] = str(header.SeriesInstanceUID)
    return series


@pytest.mark.long
def test_planted_copies_are_found_and_no_two_others_are_merged(tmp_path):
    stage(
        "phantom", output=tmp_path / "phantom", num_subjects=10, spacing_mm=[4.0, 5.0],
        exact_duplicates=2, near_duplicates=5,
    )  # fmt: skip
    found = reduced(tmp_path, [{"root": str(tmp_path / "phantom" / "private" / "archive")}])
    series = series_of_cases(tmp_path)
    truth = pq.read_table(tmp_path / "phantom" / "truth.parquet").to_pylist()
    planted = {(row["series_uid"], row["of_series_uid"]) for row in truth if row["role"] in COPIES}
    assert len(planted) == 7
    # Copies of one original stand for each other, too: sets of what is the same are compared.
    family = dict(planted)
    merged = {
        (series[case], series[row["stands_for_case"]])
        for case, row in found.items()
        if row["reason"] == "represented"
    }
    assert len(merged) == 7
    for dropped, kept in merged:
        assert family.get(dropped, dropped) == family.get(kept, kept)


@pytest.mark.long
@pytest.mark.mirror
def test_frames_of_a_resting_brain_are_near_copies_of_the_first(mirror, tmp_path):
    fmri = mirror / "sct_spinal_cord" / "fmri" / "fmri.nii.gz"
    found = reduced(tmp_path, [{"root": str(fmri)}])
    manifest = read_manifest(tmp_path / "cache" / "manifest.parquet")
    assert len(manifest) == 30
    first = min(manifest, key=lambda case: case.frame).case_id
    stands_for = {row["stands_for_case"] for row in found.values()}
    assert first in stands_for
    kept = [row for row in found.values() if row["kept"]]
    # What moves is kept, what does not is not.
    assert 1 <= len(kept) < 15
    assert np.mean([row["similarity"] for row in found.values() if not row["kept"]]) > 1 - 6 / 64
