"""From a case's private ids to its voxels, and what is said where they lead nowhere."""

from dataclasses import replace

import nibabel
import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from medssl.data.manifest import read_manifest
from medssl.data.source import Source
from medssl.data.verdicts import RefusedError
from medssl.data.volume import digest
from medssl.errors import DataError
from pipelines.__main__ import main


@pytest.fixture
def indexed(tmp_path):
    """An index of one labeled image, the label of which is a case for test."""
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
        image = nibabel.Nifti1Image(np.arange(60, dtype=np.int16).reshape(3, 4, 5), np.eye(4))
        nibabel.save(image, tmp_path / kind / "a.nii.gz")
    source = {"root": str(tmp_path / "images"), "labels": {"folder": str(tmp_path / "labels")}}
    tree = {"sources": [source], "output": str(tmp_path / "out"), "split": {"test": 1}}
    (tmp_path / "index.yaml").write_text(yaml.safe_dump(tree))
    assert main(["index", str(tmp_path / "index.yaml")]) == 0
    (case,) = read_manifest(tmp_path / "out" / "manifest.parquet")
    return Source(tmp_path / "out"), case


def test_image_and_label_are_what_the_files_hold(indexed):
    source, case = indexed
    for volume in (source.image(case), source.label(case)):
        np.testing.assert_array_equal(volume.voxels[0].ravel(), np.arange(60))


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("file:0123", r"files\.parquet knows no 'file:0123'"),
        ("volumes/a.b2nd", "expected a manifest that `index` wrote"),
        ("series:0123", r"files\.parquet knows no series of case 0123; index the archive again"),
    ],
)
def test_an_id_that_leads_nowhere_is_named(indexed, uri, message):
    source, case = indexed
    with pytest.raises(DataError, match=message):
        source.image(replace(case, image_uri=uri))


def test_a_folder_that_is_no_index_is_named(indexed, tmp_path):
    _, case = indexed
    with pytest.raises(DataError, match="must be the folder that `medssl index` wrote"):
        Source(tmp_path / "elsewhere").image(case)


def test_a_test_label_off_the_grid_is_noticed_when_it_is_read(indexed, tmp_path):
    source, case = indexed
    image = nibabel.Nifti1Image(np.zeros((3, 4, 6), np.int16), np.eye(4))
    nibabel.save(image, tmp_path / "labels" / "a.nii.gz")
    with pytest.raises(DataError, match=rf"case {case.case_id}: its label has shape \(3, 4, 6\)"):
        source.label(case)


def test_an_image_that_is_gone_is_known_but_its_name_not_said(indexed, tmp_path):
    source, case = indexed
    (tmp_path / "images" / "a.nii.gz").unlink()
    with pytest.raises(RefusedError, match="unreadable: there is no such file") as raised:
        source.image(case)
    assert raised.value.path == tmp_path / "images" / "a.nii.gz"


def test_a_file_of_several_volumes_is_several_cases_each_read_alone(tmp_path, dicom):
    volumes = np.stack([dicom.VOXELS, dicom.VOXELS + 1000, dicom.VOXELS + 2000])

    def each(volume, k):
        return {
            "MREchoSequence": {"EffectiveEchoTime": 10.0 if volume < 2 else 20.0},
            "FrameContentSequence": {"TemporalPositionIndex": volume},
        }

    order = [(volume, k) for k in range(7) for volume in (2, 0, 1)]
    enhanced = dicom.enhanced_of(volumes, dicom.AFFINE, each=each, order=order)
    dicom.save(enhanced, tmp_path / "in" / "enhanced.dcm")
    mosaic = dicom.mosaic_of(dicom.VOXELS + 3000, dicom.AFFINE, SeriesInstanceUID="1.9")
    dicom.save(mosaic, tmp_path / "in" / "mosaic.dcm")
    tree = {"sources": [{"root": str(tmp_path / "in")}], "output": str(tmp_path / "out")}
    (tmp_path / "index.yaml").write_text(yaml.safe_dump(tree))
    assert main(["index", str(tmp_path / "index.yaml")]) == 0
    cases = list(read_manifest(tmp_path / "out" / "manifest.parquet"))
    verdicts = pq.read_table(tmp_path / "out" / "verdicts.parquet").to_pylist()
    assert [row["status"] for row in verdicts] == ["accepted", "accepted"]
    named = [[row["case_id"], *row["further_case_ids"]] for row in verdicts]
    assert sorted(map(len, named)) == [1, 3]
    assert {name for names in named for name in names} == {case.case_id for case in cases}
    found = {}
    for case in cases:
        volume = Source(tmp_path / "out").image(case)
        assert digest(volume) == case.digest
        found[int(volume.voxels.min())] = (case.frame, volume)
    assert {least: frame for least, (frame, _) in found.items()} == {
        -50: 0, 950: 1, 1950: None, 2950: None
    }  # fmt: skip
    for least, (_, volume) in found.items():
        np.testing.assert_array_equal(volume.voxels[0], dicom.VOXELS + least + 50)
        np.testing.assert_allclose(volume.affine, dicom.AFFINE, atol=1e-6)
