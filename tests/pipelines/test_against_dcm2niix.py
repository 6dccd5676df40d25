"""Index and cache, nothing resampled, against dcm2niix: all DICOM folders of the mirror."""

import subprocess
from collections import Counter, defaultdict
from pathlib import Path

import dcm2niix
import nibabel
import numpy as np
import pyarrow.parquet as pq
import pydicom
import pytest
import yaml

from medssl.data.cache import open_cached
from medssl.data.manifest import read_manifest
from pipelines.__main__ import main

pytestmark = [pytest.mark.mirror, pytest.mark.long]

# How many volumes of which size are compared, by folder: a list that shrinks is a failure.
COMPARED = {
    "dicom_4d_mosaic_nih": {(15, 64, 64): 20, (5, 72, 72): 8},
    "dicom_ct_chest_cptac": {(99, 512, 512): 1},
    "dicom_ct_gantry_tilt": {(56, 512, 611): 1},
    "dicom_ct_totalseg_jpeg2000": {(20, 512, 512): 1},
    "dicom_enhanced_mr": {(32, 64, 64): 2, (6, 64, 64): 4},
    "dicom_mr_sag_anon": {(192, 256, 256): 1},
    "dicom_rtstruct": {(2, 512, 512): 1, (3, 50, 100): 1},
    "dicom_seg_highdicom": {(1, 128, 128): 1},
}
# What dcm2niix leaves out, and what it says of it; `index` refuses these.
NOT_CLEAN = {
    "dicom_mr_slice_all_syntaxes": ("Unable to decode", "DUPLICATES REMOVED"),
}
# dcm2niix also writes segmentations, slides and projections as volumes; these classes are some.
VOLUMES = {"CTImageStorage", "MRImageStorage", "EnhancedMRImageStorage"}


def in_ras(image):
    turned = nibabel.as_closest_canonical(image)
    return np.asanyarray(turned.dataobj), turned.affine


def sop_classes(folder):
    """The classes of what carries each series UID."""
    found = defaultdict(set)
    for path in folder.rglob("*"):
        if path.is_file() and path.read_bytes()[128:132] == b"DICM":
            header = pydicom.dcmread(path, stop_before_pixels=True)
            kind = header.file_meta.MediaStorageSOPClassUID.keyword
            found[header.get("SeriesInstanceUID", "")].add(kind)
    return found


def converted(folder, out):
    """What dcm2niix makes of the volumes of a folder, by series, in order; and what it says."""
    out.mkdir()
    command = [dcm2niix.bin_path, "-p", "n", "-z", "n", "-b", "n", "-d", "9", "-f", "%s_%j"]
    done = subprocess.run([*command, "-o", out, folder], check=False, capture_output=True)
    classes = sop_classes(folder)
    found = defaultdict(list)
    written = sorted(out.glob("*.nii"))
    for path in written:
        if any(other.stem.startswith(f"{path.stem}_Tilt") for other in written):
            continue  # as it was stored; the corrected one is wanted
        uid = path.stem.partition("_")[2].partition("_")[0]
        if classes[uid] & VOLUMES:
            image = nibabel.load(path)
            found[uid] += nibabel.four_to_three(image) if len(image.shape) == 4 else [image]
    return found, (done.stdout + done.stderr).decode(errors="replace")


def cached(mirror, tmp_path):
    """The volumes in the cache by folder and series, in the manifest's order."""
    config = tmp_path / "index.yaml"
    sources = [{"root": f"mirror:{name}"} for name in (*COMPARED, *NOT_CLEAN)]
    tree = {"sources": sources, "output": str(tmp_path / "index")}
    config.write_text(yaml.safe_dump(tree | {"resample": {"tilted": True, "uneven": True}}))
    assert main(["index", str(config)]) == 0
    config = tmp_path / "cache.yaml"
    native = {"spacing_mm": None, "crop_to_foreground": False}
    tree = {"index": str(tmp_path / "index"), "output": str(tmp_path / "cache")}
    config.write_text(yaml.safe_dump(tree | {"preprocessing": native}))
    assert main(["cache", str(config)]) == 0
    rows = pq.read_table(tmp_path / "index/private/files.parquet").to_pylist()
    paths = {row["case_id"]: Path(row["path"]) for row in rows}
    found = defaultdict(lambda: defaultdict(list))
    for case in read_manifest(tmp_path / "cache" / "manifest.parquet"):
        path = paths[case.case_id]
        folder = path.relative_to(mirror.resolve()).parts[0]
        uid = pydicom.dcmread(path, stop_before_pixels=True).get("SeriesInstanceUID", "")
        found[folder][uid].append(open_cached(tmp_path / "cache" / case.image_uri))
    return found


def compare(ours, theirs, *, is_resampled=False):
    """Compare one volume and return its size."""
    expected, grid = in_ras(theirs)
    voxels = ours.raw()[0]
    np.testing.assert_allclose(ours.affine, grid, atol=1e-3)
    if is_resampled:  # theirs is interpolated in single precision and rounded: half a unit is near
        difference = np.abs(voxels.astype(float) - expected)
        assert difference.max() <= 1
        assert (difference > 0).mean() < 1e-3
    elif voxels.dtype.kind == "f":  # theirs are rescaled in another precision
        atol = 1e-6 * np.abs(expected).max()
        np.testing.assert_allclose(voxels, expected, rtol=1e-6, atol=atol)
    else:
        np.testing.assert_array_equal(voxels, expected)
    return tuple(sorted(voxels.shape))


def test_every_series_that_dcm2niix_converts_cleanly_is_the_same_in_the_cache(mirror, tmp_path):
    assert {path.name for path in mirror.glob("dicom_*")} == COMPARED.keys() | NOT_CLEAN.keys()
    ours = cached(mirror, tmp_path)
    assert ours.keys() == COMPARED.keys()
    for name, expected in COMPARED.items():
        theirs, _ = converted(mirror / name, tmp_path / name)
        assert {uid: len(found) for uid, found in ours[name].items()} == {
            uid: len(found) for uid, found in theirs.items()
        }
        sizes = [
            compare(*pair, is_resampled=name == "dicom_ct_gantry_tilt")
            for uid, found in theirs.items()
            for pair in zip(ours[name][uid], found, strict=True)
        ]
        assert Counter(sizes) == expected
    for name, complaints in NOT_CLEAN.items():
        _, said = converted(mirror / name, tmp_path / name)
        assert [words for words in complaints if words not in said] == []
