"""Many files at once: pydicom reads them, `index` takes them, none is like another."""

import numpy as np
import pydicom

from medssl.data.archive.ledger import Ledger
from medssl.data.archive.pseudonyms import Pseudonyms
from medssl.data.archive.read import volumes_of
from medssl.data.phantom.bulk import write_bulk


def test_every_file_is_valid_dicom_of_its_own(tmp_path):
    write_bulk(tmp_path, 25, slices=10)
    paths = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    with pydicom.config.strict_reading():
        found = [pydicom.dcmread(path) for path in paths]
    places = [(one.SeriesInstanceUID, float(one.ImagePositionPatient[2])) for one in found]
    assert len(paths) == len(set(places)) == len({one.SOPInstanceUID for one in found}) == 25
    assert [one.InstanceNumber for one in found[:10]] == list(range(1, 11))
    assert (
        len({one.PatientID for one in found}) == len({one.StudyInstanceUID for one in found}) == 3
    )
    for one in found:
        assert one.file_meta.MediaStorageSOPInstanceUID == one.SOPInstanceUID
        assert one.pixel_array.shape == (16, 16)
        assert one.SliceLocation == one.ImagePositionPatient[2]


def test_its_series_are_accepted_as_different_volumes(tmp_path):
    write_bulk(tmp_path, 25, slices=10)
    ledger = Ledger(Pseudonyms(b"k" * 32))
    read = list(volumes_of(tmp_path, ledger))
    assert [volume.voxels.shape for _, volume in read] == [(1, 16, 16, n) for n in (10, 10, 5)]
    assert len({case.digest for case, _ in read}) == len({case.subject_id for case, _ in read}) == 3
    assert {entry.is_accepted for entry in ledger.entries.values()} == {True}
    assert read[0][1].voxels.dtype == np.int16


def test_another_seed_gives_other_pixels_and_the_same_one_the_same_bytes(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        write_bulk(tmp_path / name, 3, seed=seed)
    a, b, c = ((tmp_path / name / "000000/000001.dcm").read_bytes() for name in "abc")
    assert a == b != c
    assert len(a) == len(c)
