import nibabel
import numpy as np
import pytest
import SimpleITK

from medssl.data.archive.ledger import Ledger
from medssl.data.archive.pseudonyms import Pseudonyms
from medssl.data.archive.read import volumes_of
from medssl.data.readers import nifti as module
from medssl.data.readers.nifti import Nifti
from medssl.data.verdicts import Code, RefusedError
from medssl.errors import DataError
from medssl.geometry import spacing_mm


def write(path, shape):
    affine = np.diag([2.0, 3.0, 4.0, 1.0])
    nibabel.save(
        nibabel.Nifti1Image(np.arange(np.prod(shape), dtype=np.int16).reshape(shape), affine), path
    )
    return path


def test_three_axes_gain_a_channel(tmp_path):
    volume = Nifti().read(write(tmp_path / "v.nii.gz", (4, 5, 6)))
    assert volume.voxels.shape == (1, 4, 5, 6)
    assert volume.voxels.dtype == np.int16
    np.testing.assert_array_equal(spacing_mm(volume.affine), [2, 3, 4])


def test_a_fourth_axis_is_frames_of_one_channel(tmp_path):
    path = write(tmp_path / "v.nii", (4, 5, 6, 2))
    volume = Nifti().read(path, frame=1)
    assert volume.voxels.shape == (1, 4, 5, 6)
    assert volume.voxels[0, 0, 0, 0] == 1


@pytest.mark.parametrize(
    ("shape", "frame", "message"),
    [
        ((4, 5), None, r"v\.nii: frame None asks for 3 axes, .* shape \(4, 5\)"),
        ((4, 5, 6, 2), None, r"v\.nii: frame None asks for 3 axes, .* shape \(4, 5, 6, 2\)"),
        ((4, 5, 6), 0, r"v\.nii: frame 0 asks for 4 axes, .* shape \(4, 5, 6\)"),
        ((4, 5, 6, 2), 2, r"v\.nii: there is no frame 2 in shape \(4, 5, 6, 2\)"),
    ],
)
def test_a_frame_that_does_not_fit_the_axes_is_refused(tmp_path, shape, frame, message):
    with pytest.raises(DataError, match=message):
        Nifti().read(write(tmp_path / "v.nii", shape), frame=frame)


def test_a_file_that_ends_early_is_refused(tmp_path):
    path = write(tmp_path / "v.nii.gz", (40, 50, 60))
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(RefusedError, match="truncated: its voxels cannot be read"):
        Nifti().read(path)


def test_a_file_that_is_no_nifti_is_refused(tmp_path):
    path = tmp_path / "v.nii"
    path.write_bytes(b"no header at all")
    with pytest.raises(RefusedError, match="unreadable: named NIfTI"):
        Nifti().grid(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"affine": None}, "no_geometry: neither its sform nor its qform is set"),
        (
            {"affine": np.array([[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])},
            "sheared",
        ),
        ({"shape": (3, 4)}, r"unsupported: .* this one has shape \(3, 4\)"),
        ({"shape": (3, 4, 5, 1, 3)}, r"unsupported: .* shape \(3, 4, 5, 1, 3\)"),
        ({"dtype": np.complex64}, "unsupported: its voxels are complex64"),
    ],
)
def test_a_header_without_a_volume_or_its_place_is_refused(tmp_path, change, message):
    given = {"shape": (3, 4, 5), "dtype": np.float32, "affine": np.eye(4)} | change
    image = nibabel.Nifti1Image(np.zeros(given["shape"], given["dtype"]), given["affine"])
    nibabel.save(image, tmp_path / "v.nii")
    with pytest.raises(RefusedError, match=message):
        Nifti().grid(tmp_path / "v.nii")


@pytest.mark.mirror
@pytest.mark.slow
def test_simpleitk_sees_every_spinal_cord_image_where_we_do(mirror):
    compared = 0
    for path in sorted((mirror / "sct_spinal_cord").rglob("*.nii.gz")):
        if len(nibabel.load(path).shape) != 3:
            continue
        ours, theirs = Nifti().read(path), SimpleITK.ReadImage(path)
        for index in [(0, 0, 0), [length - 1 for length in ours.voxels.shape[1:]]]:
            place = theirs.TransformIndexToPhysicalPoint([int(i) for i in index])
            np.testing.assert_allclose(
                (ours.affine @ [*index, 1])[:3], np.array(place) * [-1, -1, 1], atol=1e-2
            )
        is_finite = np.isfinite(ours.voxels[0])  # ITK makes 0 of what is not
        values = SimpleITK.GetArrayFromImage(theirs).T
        np.testing.assert_allclose(ours.voxels[0][is_finite], values[is_finite], rtol=1e-5)
        compared += 1
    assert compared > 90


@pytest.mark.mirror
@pytest.mark.long
def test_every_readable_nifti_is_indexed_with_nibabels_voxels(mirror):
    roots = ["msd_hippocampus", "lidc_nodule_voi", "sct_spinal_cord", "totalsegmentator_examples"]
    for root in roots:
        ledger = Ledger(Pseudonyms(b"some secret of 16 bytes"))
        path, image, whole = None, None, None
        for case, volume in volumes_of(mirror / root, ledger):
            (entry,) = [e for e in ledger.entries.values() if f"file:{e.file_id}" == case.image_uri]
            if entry.file.path != path:  # frames of a file come one after another
                path, image = entry.file.path, nibabel.load(entry.file.path)
                whole = np.asanyarray(image.dataobj)
            expected = whole if case.frame is None else whole[..., case.frame]
            np.testing.assert_array_equal(volume.voxels[0], expected)
            np.testing.assert_array_equal(volume.affine, image.affine)
        names = {entry.code for entry in ledger.entries.values() if not entry.is_accepted}
        assert names <= {Code.NOT_AN_IMAGE, Code.UNSUPPORTED}


def test_packed_frames_are_found_in_any_order_in_a_file_that_is_opened_once(tmp_path, monkeypatch):
    path = write(tmp_path / "v.nii.gz", (4, 5, 6, 7))
    whole = np.asarray(nibabel.load(path).dataobj)
    opened = []
    load = module._load
    monkeypatch.setattr(module, "_load", lambda *of, **how: opened.append(of) or load(*of, **how))
    for frame in (0, 1, 2, 6, 3, 3, 0):
        np.testing.assert_array_equal(Nifti().read(path, frame=frame).voxels[0], whole[..., frame])
    assert len(opened) == 1


def test_packed_frames_of_a_file_that_was_written_anew_are_its_own(tmp_path):
    path = write(tmp_path / "v.nii.gz", (4, 5, 6, 2))
    before = Nifti().read(path, frame=1).voxels
    write(path, (4, 5, 6, 3))
    np.testing.assert_array_equal(
        Nifti().read(path, frame=1).voxels[0], np.asarray(nibabel.load(path).dataobj)[..., 1]
    )
    assert not np.array_equal(before, Nifti().read(path, frame=1).voxels)
    path.unlink()
    with pytest.raises(RefusedError, match="there is no such file"):
        Nifti().read(path, frame=1)
