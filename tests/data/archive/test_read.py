"""What becomes of every file of a folder, for folders such as archives have them."""

import shutil

import numpy as np
import pydicom
import pytest

from medssl.data.archive.ledger import Ledger
from medssl.data.archive.pseudonyms import Pseudonyms
from medssl.data.archive.read import volumes_of

KEY = b"some secret of 16 bytes"


def looked(folder):
    """The cases with their volumes, and the codes of the files by name."""
    ledger = Ledger(Pseudonyms(KEY))
    cases = list(volumes_of(folder, ledger))
    codes = {e.file.name: (e.is_accepted, str(e.code)) for e in ledger.entries.values()}
    assert len(codes) == ledger.verdicts().num_rows
    return cases, codes, ledger


def test_mixed_series_in_one_folder_become_their_volumes(tmp_path, dicom, voxels, affine):
    rng = np.random.default_rng(0)
    written = []
    for number, change in enumerate(
        [{}, {"SeriesInstanceUID": "1.9"}, {"EchoTime": "7"}, {"PatientID": "P-2"}]
    ):
        written += dicom.write(tmp_path / str(number), voxels + 300 * number, affine, **change)
    folder = tmp_path / "all"
    folder.mkdir()
    for name, row in enumerate(rng.permutation(len(written))):
        shutil.copy(written[row], folder / f"{name:03d}")
    cases, codes, _ = looked(folder)
    found = sorted(int(volume.voxels.min()) for _, volume in cases)
    assert found == [-50, 250, 550, 850]
    for _, volume in cases:
        np.testing.assert_array_equal(volume.voxels[0] - volume.voxels.min(), voxels - voxels.min())
        np.testing.assert_allclose(volume.affine, affine, atol=1e-6)
    assert set(codes.values()) == {(True, "image")}
    assert len({case.case_id for case, _ in cases}) == 4
    assert len({case.subject_id for case, _ in cases}) == 2


def test_slices_of_another_plane_or_grid_are_another_volume(tmp_path, dicom, voxels, affine):
    dicom.write(tmp_path / "a", voxels, affine)
    turned = affine.copy()
    turned[:3, :3] = affine[:3, [2, 0, 1]]
    dicom.write(tmp_path / "b", voxels, turned)
    dicom.write(tmp_path / "c", voxels[:5], affine)
    cases, _, _ = looked(tmp_path)
    assert sorted(case.shape for case, _ in cases) == [[5, 5, 7], [6, 5, 7], [6, 5, 7]]
    assert {case.series_id for case, _ in cases} == {cases[0][0].series_id}
    assert len({case.attributes.get("part") for case, _ in cases}) == 3


def test_a_truncated_slice_takes_its_volume_along_and_no_other(tmp_path, dicom, voxels, affine):
    dicom.write(tmp_path / "good", voxels, affine)
    bad = dicom.write(tmp_path / "bad", voxels, affine, SeriesInstanceUID="1.9")[3]
    bad.write_bytes(bad.read_bytes()[:-20])
    cases, codes, ledger = looked(tmp_path)
    assert len(cases) == 1
    assert {code for name, code in codes.items() if "good" in name} == {(True, "image")}
    assert codes["bad/003.dcm"] == (False, "truncated")
    assert {codes[f"bad/{k:03d}.dcm"] for k in (0, 1, 2, 4, 5, 6)} == {(False, "broken_series")}
    sentences = {row["sentence"] for row in ledger.verdicts().to_pylist()}
    assert f"another file of its volume cannot be read: file {ledger.file_id(bad)}" in sentences


def test_a_slice_cut_off_within_its_header_takes_its_volume_along(tmp_path, dicom, voxels, affine):
    bad = dicom.write(tmp_path, voxels, affine)[6]  # the last one leaves no gap
    content = bad.read_bytes()
    bad.write_bytes(content[: content.index(b"\x28\x00\x10\x00")])  # before Rows
    cases, codes, _ = looked(tmp_path)
    assert cases == []
    assert codes.pop("006.dcm") == (False, "truncated")
    assert set(codes.values()) == {(False, "broken_series")}


@pytest.mark.parametrize("is_split", [False, True])
def test_a_series_stored_twice_is_one_case(tmp_path, dicom, voxels, affine, is_split):
    files = dicom.write(tmp_path / "a", voxels, affine)
    (tmp_path / "b").mkdir()
    for file in files[3:]:
        shutil.copy(file, tmp_path / "b")
    if is_split:  # no folder has the whole of it
        files[-1].unlink()
    ((case, _),), codes, _ = looked(tmp_path)
    assert case.shape == [6, 5, 7]
    assert list(codes.values()).count((False, "duplicate_file")) == (3 if is_split else 4)


def test_a_copy_under_new_uids_has_an_equal_digest(tmp_path, dicom, voxels, affine):
    for number in range(2):
        uid = f"1.2.{number}"
        dicom.write(tmp_path / str(number), voxels, affine, SeriesInstanceUID=uid)
    dicom.write(tmp_path / "2", voxels + 1, affine, SeriesInstanceUID="1.5")
    moved = affine.copy()
    moved[0, 3] += 0.01
    dicom.write(tmp_path / "3", voxels, moved, SeriesInstanceUID="1.6")
    a, b, *others = [case.digest for case, _ in looked(tmp_path)[0]]
    assert a == b
    assert len({a, *others}) == 3


def test_a_slip_in_every_study_uid_does_not_break_a_series(tmp_path, dicom, voxels, affine):
    dicom.write(tmp_path, voxels, affine, each=lambda k: {"StudyInstanceUID": f"1.7.{k}"})
    assert len(looked(tmp_path)[0]) == 1


def test_what_is_no_image_is_counted_and_refused(tmp_path, dicom, voxels, affine):
    dicom.write(tmp_path / "s", voxels, affine)
    (tmp_path / "notes.txt").write_text("nothing to see")
    (tmp_path / "empty.dcm").touch()
    (tmp_path / "broken.nii.gz").write_bytes(b"\x1f\x8b no")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "gone.dcm").symlink_to(tmp_path / "nowhere")
    (tmp_path / "half").write_bytes(b"\0" * 128 + b"DICM" + b"\x02\x00\x00\x00UL\x04")
    cases, codes, _ = looked(tmp_path)
    assert len(cases) == 1
    assert {name: code for name, (_, code) in codes.items() if "/" not in name} == {
        "notes.txt": "not_an_image",
        "empty.dcm": "not_an_image",
        "broken.nii.gz": "unreadable",
        "loop": "unreadable",
        "gone.dcm": "unreadable",
        "half": codes["half"][1],
    }
    assert codes["half"][0] is False


def test_dicom_without_preamble_or_suffix_is_known_by_its_content(tmp_path, dicom, voxels, affine):
    for number, file in enumerate(dicom.write(tmp_path / "s", voxels, affine)):
        found = pydicom.dcmread(file)
        del found.file_meta
        bare = tmp_path / f"IM{number}"
        pydicom.dcmwrite(bare, found, implicit_vr=True, little_endian=True)
        file.unlink()
    ((_, volume),), codes, _ = looked(tmp_path)
    np.testing.assert_array_equal(volume.voxels[0], voxels)
    assert len(codes) == 7


@pytest.mark.parametrize(
    ("text", "years"),
    [
        ("077Y", 77),
        ("090Y", 90),
        ("101Y", 90),
        ("089Y", 89),
        ("018M", 1.5),
        ("", None),
    ],
)
def test_ages_above_89_become_90(tmp_path, dicom, voxels, affine, text, years):
    dicom.write(tmp_path, voxels, affine, PatientAge=text, PatientSex="F")
    ((case, _),), _, _ = looked(tmp_path)
    assert (case.age_years, case.sex) == (years, "F")


def test_ids_depend_on_the_key_and_on_nothing_else(tmp_path, dicom, voxels, affine):
    dicom.write(tmp_path / "a", voxels, affine)
    shutil.copytree(tmp_path / "a", tmp_path / "elsewhere" / "a")
    ((one, _),), _, _ = looked(tmp_path / "a")
    ((two, _),), _, _ = looked(tmp_path / "elsewhere" / "a")
    ((other, _),) = list(volumes_of(tmp_path / "a", Ledger(Pseudonyms(KEY + b"!"))))
    assert one == two
    assert {one.case_id, one.subject_id, one.study_id, one.series_id}.isdisjoint(
        {other.case_id, other.subject_id, other.study_id, other.series_id}
    )
