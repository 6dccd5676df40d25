"""Copies: on the list or not in them, whatever a file says and however it is encoded."""

import runpy
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pydicom
import pytest
from dicognito.anonymizer import Anonymizer
from pydicom.tag import Tag
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from medssl.data.archive.pseudonyms import Pseudonyms
from medssl.data.deidentify.copies import Origin, copy_of, write_copy
from medssl.data.deidentify.whitelist import WHITELIST
from medssl.data.dicom.header import read_headers
from medssl.data.dicom.pixels import read_dataset, read_pixels
from medssl.data.dicom.quiet import quietly
from medssl.data.verdicts import RefusedError

HIDDEN = Pseudonyms(b"0" * 32)
ORIGIN = Origin(
    subject_id="a" * 16, study_id="b" * 16, series_id="c" * 16, first_study=date(1921, 1, 1)
)
# What a copy says of itself, and what the standard wants there though empty.
OWN = {
    "PatientName", "PatientID", "PatientBirthDate", "AccessionNumber", "ReferringPhysicianName",
    "StudyID", "PatientIdentityRemoved", "DeidentificationMethod", "PixelData",
    "DeidentificationMethodCodeSequence", "LongitudinalTemporalInformationModified",
    *(f"{part}{kind}" for part in ("Study", "Series", "Acquisition", "Content")
      for kind in ("Date", "Time")),
    "AcquisitionDateTime", "FrameAcquisitionDateTime", "FrameReferenceDateTime",
}  # fmt: skip


@pytest.fixture(scope="session")
def planted():
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[2] / "planted.py")))


def copied(path, tmp_path, origin=ORIGIN):
    target = tmp_path / "copies" / f"{path.stem}.dcm"
    assert write_copy(path, target, origin, HIDDEN)
    return target


@pytest.mark.parametrize("charset", ["ISO_IR 100", "ISO_IR 192", "ISO 2022 IR 87"])
def test_of_a_file_full_of_names_nothing_but_the_list_is_in_the_copy(
    tmp_path, dicom, planted, charset
):
    with quietly():
        uids = {
            f"{kind}InstanceUID": f"1.2.{planted.DIGITS}" for kind in ("Study", "Series", "SOP")
        }
        found = dicom.slice_of(dicom.VOXELS, dicom.AFFINE, 0, StudyDate=planted.DATES[3], **uids)
        planted.Planter(charset).plant(found)
        found.file_meta.SourceApplicationEntityTitle = planted.WORD
        found.preamble = planted.WORD.encode() * 21 + b"  "
        found.PixelData += planted.WORD.encode()
        path = dicom.save(found, tmp_path / "a.dcm")
    target = copied(path, tmp_path)
    assert len(set(planted.search(path.read_bytes()))) > 5
    assert planted.search(target.read_bytes()) == []
    allowed = WHITELIST.keys() | {pydicom.tag.Tag(keyword) for keyword in OWN}
    made = pydicom.dcmread(target)
    assert {int(tag) for tag in made.keys()} <= allowed  # noqa: SIM118  # elements are no tags
    np.testing.assert_array_equal(read_pixels(target).stored, dicom.VOXELS[:, :, 0].T)


def test_what_dicognito_would_take_away_is_gone_or_changed(tmp_path, dicom, planted):
    """The second opinion: a tool that lists what identifies, where this one lists what does not."""
    with quietly():
        found = dicom.slice_of(dicom.VOXELS, dicom.AFFINE, 0, StudyDate=planted.DATES[3])
        path = dicom.save(planted.Planter().plant(found), tmp_path / "a.dcm")
        original, anonymous = pydicom.dcmread(path), pydicom.dcmread(path)
        Anonymizer(seed="0").anonymize(anonymous)
        made = pydicom.dcmread(copied(path, tmp_path))
        touched = [e.tag for e in original if e.tag not in anonymous or anonymous[e.tag] != e]
    assert len(touched) > 300
    kept = [tag for tag in touched if tag in made and made[tag] == original[tag]]
    assert [pydicom.datadict.keyword_for_tag(tag) for tag in kept] == []


def test_what_reads_a_volume_reads_the_same_of_the_copy(tmp_path, dicom):
    path = dicom.write(
        tmp_path / "in", PatientAge="093Y", PatientSex="F", BodyPartExamined="HEAD",
        Manufacturer="SIEMENS", ManufacturerModelName="Skyra", StudyDate="19210201",
        ReferencedImageSequence=[dicom.change(pydicom.Dataset(), {
            "ReferencedSOPClassUID": CTImageStorage, "ReferencedSOPInstanceUID": "1.2.3.4.5.6",
        })],
    )[0]  # fmt: skip
    (before,), (after,) = read_headers(path), read_headers(copied(path, tmp_path))
    for name in ("pixel_spacing_mm", "orientation", "position_mm", "rows", "columns", "contrast"):
        assert getattr(before, name) == getattr(after, name)
    assert after.attributes == before.attributes | {"age": "090Y"}
    assert after.series_uid == HIDDEN.uid(before.series_uid)
    assert after.study_date == "2000-02-01"
    made = pydicom.dcmread(tmp_path / "copies" / "000.dcm")
    assert made.PatientID == made.PatientName == ORIGIN.subject_id
    assert made.PatientIdentityRemoved == "YES"
    (reference,) = made.ReferencedImageSequence
    assert reference.ReferencedSOPClassUID == CTImageStorage
    assert reference.ReferencedSOPInstanceUID == HIDDEN.uid("1.2.3.4.5.6")
    assert made.file_meta.MediaStorageSOPInstanceUID == made.SOPInstanceUID


@pytest.mark.parametrize(
    "syntax",
    [
        ExplicitVRLittleEndian,
        ImplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
    ],
)
def test_a_copy_keeps_the_transfer_syntax(tmp_path, dicom, syntax):
    found = dicom.slice_of(dicom.VOXELS, dicom.AFFINE, 0, RescaleSlope="0.5", PixelPaddingValue=-7)
    found.file_meta.TransferSyntaxUID = syntax
    if syntax == ExplicitVRBigEndian:
        found.PixelData = dicom.VOXELS[:, :, 0].T.astype(">i2").tobytes()
    with quietly():
        path = dicom.save(found, tmp_path / "a.dcm")
    target = copied(path, tmp_path)
    assert pydicom.dcmread(target).file_meta.TransferSyntaxUID == syntax
    assert pydicom.dcmread(target).PixelPaddingValue == -7
    before, after = read_pixels(path), read_pixels(target)
    np.testing.assert_array_equal(before.stored, after.stored)
    assert after.slope == 0.5
    assert read_headers(target)[0].position_mm == read_headers(path)[0].position_mm


@pytest.mark.parametrize(
    ("keyword", "representation", "value"),
    [
        ("SliceThickness", "LO", b"Zephyr"),
        ("SliceThickness", "DS", b"Zephyr"),
        ("SliceThickness", "DS", b"19481103"),
        ("SeriesNumber", "IS", b"77001234"),
        ("WindowCenter", "DS", b"1\\Zephyr "),
        ("LargestImagePixelValue", "US", b"Zephyr"),
        ("DiffusionBValue", "FD", b"Zephyros"),
        ("DiffusionBValue", "OB", b"Zephyros"),
        ("DimensionIndexValues", "UL", b"Zephyros"),
        ("PatientAge", "AS", b"Zeph"),
        ("KVP", "UN", b"Zephyr"),
    ],
)
def test_a_number_that_is_none_is_left_out(dicom, keyword, representation, value):
    found = dicom.slice_of(dicom.VOXELS, dicom.AFFINE, 0)
    tag = Tag(keyword)
    found._dict[tag] = pydicom.dataelem.RawDataElement(
        tag, representation, len(value), value, 0, is_implicit_VR=False, is_little_endian=True
    )
    with quietly():
        assert not copy_of(found, ORIGIN, HIDDEN, file_id="f").get(keyword)


def test_series_that_carry_one_uid_get_one_each(dicom):
    found = dicom.slice_of(dicom.VOXELS, dicom.AFFINE, 0)
    origins = [Origin(subject_id="a", study_id="b", series_id="c", copy=n) for n in range(3)]
    made = [copy_of(found, origin, HIDDEN, file_id="f") for origin in origins]
    assert len({copy.SeriesInstanceUID for copy in made}) == 3
    assert len({copy.StudyInstanceUID for copy in made}) == 1


def test_a_copy_that_is_there_is_not_written_again_unless_something_changed(tmp_path, dicom):
    path = dicom.write(tmp_path / "in")[0]
    target = tmp_path / "out" / "a.dcm"
    target.parent.mkdir()
    (target.parent / ".a.dcm.part").write_bytes(b"what a killed run left")
    assert write_copy(path, target, ORIGIN, HIDDEN)
    assert [p.name for p in target.parent.iterdir()] == ["a.dcm"]
    assert not write_copy(path, target, ORIGIN, HIDDEN)
    earlier = Origin(subject_id="a" * 16, study_id="b" * 16, series_id="c" * 16)
    assert write_copy(path, target, earlier, HIDDEN)
    path.write_bytes(path.read_bytes() + b"\0\0")
    assert write_copy(path, target, earlier, HIDDEN)
    path.unlink()
    with pytest.raises(RefusedError, match="unreadable: it cannot be copied"):
        write_copy(path, target, earlier, HIDDEN)


@pytest.mark.mirror
def test_every_syntax_decodes_to_the_same_pixels(mirror, tmp_path):
    for path in sorted((mirror / "dicom_mr_slice_all_syntaxes").rglob("*")):
        if path.is_file() and path.suffix not in (".md", ".txt"):
            target = copied(path, tmp_path)
            np.testing.assert_array_equal(read_pixels(target).stored, read_pixels(path).stored)
            syntax = read_dataset(path).file_meta.TransferSyntaxUID
            assert pydicom.dcmread(target).file_meta.TransferSyntaxUID == syntax
