"""Copies that are known to be there: all are found, and nothing else is taken for one."""

import json

import nibabel
import numpy as np
import pyarrow.parquet as pq
import pydicom
import pytest
from scipy.ndimage import gaussian_filter

from medssl.data.manifest import read_manifest
from pipelines.__main__ import main
from pipelines._parts import values_of, which

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


def by_the_rule(root):
    """Return the cases whose hash differs in more than 144 bits from each kept before, one by one.

    They come as the manifest has them.
    """
    names = which(root / "hashes")["case_id"].to_pylist()
    rows = np.concatenate(list(values_of(root / "hashes", 24)))
    hashes = dict(zip(names, (int.from_bytes(row.tobytes()) for row in rows), strict=True))
    kept = []
    for case in read_manifest(root / "cache" / "manifest.parquet"):
        one = hashes[case.case_id]
        if all((one ^ hashes[other]).bit_count() > 144 for other in kept):
            kept.append(case.case_id)
    return kept


@pytest.mark.long
def test_of_frames_one_of_each_way_that_a_head_lies_is_kept(tmp_path):
    """It rests in three frames, is turned over in two and back in the last, with noise and gain."""
    lies = [0, 0, 0, 1, 1, 0]
    rng = np.random.default_rng(0)
    head = gaussian_filter(rng.normal(size=(24, 26, 18)), 2)
    head = 100 + 900 * (head - head.min()) / np.ptp(head)
    ways = [head, head[::-1, ::-1, ::-1]]
    frames = [
        rng.uniform(0.98, 1.02) * ways[way] + rng.normal(0, head.mean() / 20, size=head.shape)
        for way in lies
    ]
    image = nibabel.Nifti1Image(np.stack(frames, axis=-1).astype(np.int16), np.diag([3, 3, 3, 1]))
    nibabel.save(image, tmp_path / "frames.nii.gz")
    found = reduced(tmp_path, [{"root": str(tmp_path / "frames.nii.gz")}])
    frame = {
        case.case_id: case.frame for case in read_manifest(tmp_path / "cache" / "manifest.parquet")
    }
    assert sorted(frame.values()) == list(range(6))
    # Turned over a head shares half of its bits with itself; at rest at least nine in ten.
    assert {frame[case] for case, row in found.items() if row["kept"]} == {0, 3}
    for case, row in found.items():
        assert lies[frame[row["stands_for_case"]]] == lies[frame[case]]


@pytest.mark.long
@pytest.mark.mirror
def test_of_frames_of_a_resting_brain_those_are_kept_that_no_kept_one_is_near(mirror, tmp_path):
    fmri = mirror / "sct_spinal_cord" / "fmri" / "fmri.nii.gz"
    found = reduced(tmp_path, [{"root": str(fmri)}])
    manifest = read_manifest(tmp_path / "cache" / "manifest.parquet")
    assert len(manifest) == 30
    first = min(manifest, key=lambda case: case.frame).case_id
    kept = by_the_rule(tmp_path)
    assert kept[0] == first
    assert sorted(kept) == sorted(case for case, row in found.items() if row["kept"])
    # What moves is kept, what does not is not.
    assert 1 <= len(kept) < 15
    assert np.mean([row["similarity"] for row in found.values() if not row["kept"]]) > 1 - 6 / 64
