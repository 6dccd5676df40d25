"""Functional MR over time, as scanners write it, down to the views of a pretraining."""

import json
from collections import Counter

import numpy as np
import pytest
import torch

from medssl.data.cache import open_cached
from medssl.data.crops.frames import Frames
from medssl.data.manifest import read_manifest
from pipelines.__main__ import main


def stage(name, *config, **keys):
    flags = [word for key, value in keys.items() for word in ("--set", f"{key}={value}")]
    assert main([name, *config, *flags]) == 0


@pytest.mark.long
@pytest.mark.mirror
def test_frames_of_dicom_and_nifti_series_are_views_of_one_place(mirror, tmp_path):
    """Of GE a file a slice, of Siemens mosaics, and a NIfTI of four axes."""
    nih = "dicom_4d_mosaic_nih/data"
    roots = [f"{nih}/20180918GE/mr_0004", f"{nih}/20180918Si", "sct_spinal_cord/fmri/fmri.nii.gz"]
    sources = json.dumps([{"root": str(mirror / root)} for root in roots])
    stage("index", sources=sources, output=tmp_path / "index")
    stage("cache", "configs/cache/native.yaml", index=tmp_path / "index", output=tmp_path / "cache")
    manifest = read_manifest(tmp_path / "cache" / "manifest.parquet")
    lengths = Counter(case.series_id for case in manifest)
    assert sorted(lengths.values()) == [2, 2, 2, 2, 10, 30]

    source = Frames(manifest, tmp_path / "cache", 0, crop_vox=(16, 16, 2))
    shown = {case.case_id: open_cached(tmp_path / "cache" / case.image_uri) for case in manifest}
    for row, case in enumerate(manifest):
        crops = source[0, row]
        assert torch.equal(crops.start[0, 0], crops.start[0, 1])
        box = tuple(
            slice(at, at + size)
            for at, size in zip(crops.start[0, 0].tolist(), (16, 16, 2), strict=True)
        )
        found = [
            [
                other.frame
                for other in manifest
                if other.series_id == case.series_id
                and np.array_equal(shown[other.case_id].read(*box), view)
            ]
            for view in crops.image[0]
        ]
        assert case.frame in found[0]
        assert found[1]
        assert found[0] != found[1]
