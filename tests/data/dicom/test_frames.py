"""Enhanced images: the volumes in them, against what they were written from."""

import numpy as np
import pydicom
import pytest
from pydicom.uid import RLELossless

from medssl.data.archive.ledger import Ledger
from medssl.data.archive.pseudonyms import Pseudonyms
from medssl.data.archive.read import volumes_of
from medssl.data.dicom.header import read_headers
from medssl.data.readers.dicom_series import DicomSeries
from medssl.data.verdicts import Code, RefusedError

OFFSET = 1000


def content(**elements):
    return {"FrameContentSequence": elements}


def echo(volume, _):
    return {"MREchoSequence": {"EffectiveEchoTime": 10.0 * (volume + 1)}}


@pytest.fixture
def two(voxels):
    return np.stack([voxels, voxels + OFFSET])


@pytest.fixture
def written(tmp_path, dicom, voxels, affine):
    """Writes an enhanced image of one volume, or of those given."""

    def write(volumes=voxels[None], **how):
        return dicom.save(dicom.enhanced_of(volumes, affine, **how), tmp_path / "a.dcm")

    return write


def looked(folder):
    """The volumes, and the verdict on the one file."""
    ledger = Ledger(Pseudonyms(b"some secret of 16 bytes"))
    cases = list(volumes_of(folder, ledger))
    (verdict,) = ledger.verdicts().to_pylist()
    return cases, verdict


def test_voxels_and_affine_come_back_whatever_the_order(tmp_path, written, voxels, affine):
    written(order=[(0, k) for k in (5, 1, 6, 0, 3, 2, 4)])
    volume = DicomSeries().read(tmp_path)
    assert volume.voxels.dtype == np.int16
    np.testing.assert_array_equal(volume.voxels[0], voxels)
    np.testing.assert_allclose(volume.affine, affine, atol=1e-6)


@pytest.mark.parametrize(
    "group",
    [
        lambda volume: content(TemporalPositionIndex=volume + 1),
        lambda volume: content(FrameAcquisitionNumber=volume + 1),
        lambda volume: content(FrameAcquisitionDateTime=f"2026010112000{volume}"),
        lambda volume: {"MRDiffusionSequence": {"DiffusionBValue": 500.0 * volume}},
    ],
)
def test_repetitions_are_frames(tmp_path, written, two, group):
    order = [(volume, k) for k in range(7) for volume in (1, 0)]
    path = written(two, each=lambda volume, k: group(volume), order=order)
    for frame in range(2):
        volume = DicomSeries().read_files([path], frame=frame)
        np.testing.assert_array_equal(volume.voxels[0], two[frame])


def test_repetitions_along_two_dimensions_are_told_apart_by_both(tmp_path, dicom, voxels, affine):
    volumes = np.stack([voxels + OFFSET * number for number in range(4)])
    pointers = ["StackID", "InStackPositionNumber", "TemporalPositionIndex", "DiffusionBValue"]

    def each(volume, k):
        time, weight = divmod(volume, 2)
        return content(TemporalPositionIndex=time, DimensionIndexValues=[1, k, time, weight])

    found = dicom.enhanced_of(volumes, affine, each=each)
    found.DimensionIndexSequence = [pydicom.Dataset() for _ in pointers]
    for dimension, pointer in zip(found.DimensionIndexSequence, pointers, strict=True):
        dimension.DimensionIndexPointer = pydicom.tag.Tag(pointer)
    path = dicom.save(found, tmp_path / "a.dcm")
    for frame in range(4):
        volume = DicomSeries().read_files([path], frame=frame)
        np.testing.assert_array_equal(volume.voxels[0], volumes[frame])


def test_a_file_of_several_contrasts_is_accepted_into_a_case_each(tmp_path, written, two):
    written(two, each=echo)
    cases, verdict = looked(tmp_path)
    for (_, volume), expected in zip(cases, two, strict=True):
        np.testing.assert_array_equal(volume.voxels[0], expected)
    first, second = (case.case_id for case, _ in cases)
    assert (verdict["status"], verdict["sentence"]) == ("accepted", "")
    assert (verdict["case_id"], verdict["further_case_ids"]) == (first, [second])


def test_each_frame_is_rescaled_by_its_own_numbers(tmp_path, written, voxels):
    def each(_, k):
        return {
            "PixelValueTransformationSequence": {"RescaleSlope": k + 1, "RescaleIntercept": 10 * k}
        }

    written(each=each, order=[(0, k) for k in (5, 1, 6, 0, 3, 2, 4)])
    expected = voxels * np.arange(1, 8) + 10 * np.arange(7)
    np.testing.assert_array_equal(DicomSeries().read(tmp_path).voxels[0], expected)


def test_a_volume_may_lie_in_several_files_and_folders(tmp_path, dicom, voxels, affine):
    for odd in range(2):
        order = [(0, k) for k in range(odd, 7, 2)]
        dicom.save(dicom.enhanced_of(voxels[None], affine, order=order), tmp_path / f"{odd}/a.dcm")
    ledger = Ledger(Pseudonyms(b"some secret of 16 bytes"))
    ((case, volume),) = volumes_of(tmp_path, ledger)
    np.testing.assert_array_equal(volume.voxels[0], voxels)
    assert [row["case_id"] for row in ledger.verdicts().to_pylist()] == [case.case_id] * 2


def test_stacks_side_by_side_are_not_one(tmp_path, written, voxels):
    written(each=lambda _, k: content(StackID="AB"[k > 3]))
    cases, _ = looked(tmp_path)
    assert [case.shape[2] for case, _ in cases] == [4, 3]
    np.testing.assert_array_equal(cases[1][1].voxels[0], voxels[:, :, 4:])


def nowhere(_, k):
    return {"PlanePositionSequence": None} if k == 2 else {}


def moved(_, k):
    position = {"ImagePositionPatient": ["11", "-13", "25"]}  # 24.5 would be even
    return {"PlanePositionSequence": position} if k == 3 else {}


@pytest.mark.parametrize(
    ("how", "code", "sentence"),
    [
        ({"each": nowhere}, Code.NO_GEOMETRY, r"image 3 of the 7 .* no ImagePositionPatient"),
        ({"each": nowhere, "ImagePositionPatient": [0, 0, 0]}, Code.NO_GEOMETRY, "image 3 of the"),
        ({"each": moved}, Code.UNEVEN_SPACING, "from 2 to 3 mm"),
        ({"order": [(0, k) for k in range(7) if k != 4]}, Code.MISSING_SLICE, "slices 4-5 lie 5"),
        ({"NumberOfFrames": 8}, Code.MULTI_FRAME, "of 8 frames that describes 7"),
        ({"PerFrameFunctionalGroupsSequence": []}, Code.MULTI_FRAME, "describes 0 of them"),
    ],
)
def test_frames_off_an_even_grid_are_refused(tmp_path, written, how, code, sentence):
    written(**how)
    with pytest.raises(RefusedError, match=sentence) as caught:
        DicomSeries().read(tmp_path)
    assert caught.value.code is code


def test_repetitions_that_nothing_tells_apart_are_refused(tmp_path, written, two):
    written(two)
    cases, verdict = looked(tmp_path)
    assert (cases, verdict["code"]) == ([], "duplicate_slice")


def test_localizer_frames_are_refused(tmp_path, written):
    kind = {"MRImageFrameTypeSequence": {"FrameType": ["ORIGINAL", "PRIMARY", "LOCALIZER", "NONE"]}}
    written(each=lambda volume, k: kind)
    assert looked(tmp_path)[1]["code"] == "localizer"


def test_a_volume_that_lacks_a_frame_does_not_take_its_neighbor_along(tmp_path, written, two):
    written(two, each=echo, order=[(v, k) for v, k in np.ndindex(2, 7) if (v, k) != (1, 4)])
    ((case, volume),), verdict = looked(tmp_path)
    np.testing.assert_array_equal(volume.voxels[0], two[0])
    assert (verdict["status"], verdict["case_id"]) == ("accepted", case.case_id)
    assert "part of it is in no case: missing_slice, 1 slices are missing" in verdict["sentence"]


def test_only_the_frames_of_a_case_are_decoded(tmp_path, dicom, affine, two):
    found = dicom.enhanced_of(two, affine, each=echo)
    found.compress(RLELossless, generate_instance_uid=False)
    frames = list(pydicom.encaps.generate_frames(found.PixelData, number_of_frames=14))
    frames[9] = frames[9][:70]  # of the second volume
    found.PixelData = pydicom.encaps.encapsulate(frames)
    dicom.save(found, tmp_path / "a.dcm")
    ((_, volume),), verdict = looked(tmp_path)
    np.testing.assert_array_equal(volume.voxels[0], two[0])
    assert verdict["status"] == "accepted"
    assert "part of it is in no case: undecodable" in verdict["sentence"]


def test_a_file_cut_off_within_its_frames_is_refused(tmp_path, written):
    path = written()
    path.write_bytes(path.read_bytes()[:-20])
    cases, verdict = looked(tmp_path)
    assert (cases, verdict["code"]) == ([], "truncated")


def test_a_copy_of_the_file_is_no_further_image(tmp_path, written, two):
    path = written(two, each=echo)
    path.with_name("b.dcm").write_bytes(path.read_bytes())
    ledger = Ledger(Pseudonyms(b"some secret of 16 bytes"))
    assert len(list(volumes_of(tmp_path, ledger))) == 2
    codes = [row["code"] for row in ledger.verdicts().to_pylist()]
    assert codes == ["image", "duplicate_file"]


def test_a_million_frames_are_refused_before_they_are_described(tmp_path, dicom):
    found = dicom.enhanced_of(dicom.VOXELS[None], dicom.AFFINE, NumberOfFrames=1_000_000)
    path = dicom.save(found, tmp_path / "a.dcm")
    (header,) = read_headers(path)
    assert header.flaw is not None
    assert "1000000 frames; the most that are read is 100000" in header.flaw[1]
