"""Prediction with a network that finds what is bright: masks must lie where the ball is."""

import json
import stat
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pydicom
import pytest
import SimpleITK
import torch
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from scipy.spatial.transform import Rotation
from torch import nn

from medssl.config.load import load
from medssl.config.stages.predict import Predict
from medssl.errors import ConfigError, DataError
from medssl.heads.segmentation import SegmentationHead
from medssl.models.decoders.unet import UNetDecoder
from medssl.models.encoders.unet import UNet
from medssl.models.export import write_export
from medssl.models.network import DenseNetwork
from pipelines import _masks, predict

NAME = "DOE^JANE"


class Bright(nn.Module):
    """Calls the upper half of the intensities `ball`."""

    def forward(self, image):
        return torch.cat([torch.zeros_like(image), 20 * (image - 0.5)], dim=1)


def distance_mm(affine, shape):
    """Distance of each voxel from a point in the patient."""
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    return np.linalg.norm(grid @ affine[:3, :3].T + affine[:3, 3] - [3.0, -5.0, 8.0], axis=-1)


def ball_image(affine, shape, radius_mm=14.0):
    """A ball in the patient whose border is a slope of about a voxel."""
    return 100 / (1 + np.exp(2 * (distance_mm(affine, shape) - radius_mm)))


def grid_of(signs, spacing_mm, angle):
    """A grid of 48 mm around the ball, oblique and flipped as asked for."""
    turn = Rotation.from_rotvec([angle, -angle / 2, angle / 3]).as_matrix()
    shape = tuple(int(48 / step) for step in spacing_mm)
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag(np.array(signs) * spacing_mm)
    affine[:3, 3] = [3.0, -5.0, 8.0] - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return affine, shape


@pytest.fixture
def bright(monkeypatch, tmp_path):
    """Stand in for a trained model; the contract may be changed by the test."""
    card = {
        "crop_vox": [16, 16, 16],
        "classes": ["ball"],
        "preprocessing": {"spacing_mm": None, "crop_to_foreground": False},
    }
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights.safetensors").write_bytes(b"stands for weights")
    monkeypatch.setattr(_masks, "restore", lambda export: (Bright().eval(), card))
    return card


def run(tmp_path, source, *overrides, output="masks"):
    tree = {"model": tmp_path / "model", "source": source, "output": tmp_path / output}
    keys = [f"{key}={json.dumps(str(value))}" for key, value in tree.items()]
    predict.run(load(Predict, None, [*keys, "device=cpu", *overrides]))
    return tmp_path / output


def dice(a, b):
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def test_arrays_are_segmented_where_a_layout_says_what_they_are(tmp_path, bright):
    affine, shape = grid_of([1, 1, 1], [2.0, 2.0, 3.0], 0.0)
    affine[:3, 3] = 0
    label = np.linalg.norm(np.indices(shape).T - np.array(shape) / 2, axis=-1).T < 5
    with h5py.File(tmp_path / "ball.h5", "w") as file:
        file["image"] = np.where(label, 100, 0).astype(np.int16).T
    layout = "layout={name: hdf5, image: image, axes: kji, spacing_mm: [2, 2, 3], orientation: RAS}"

    output = run(tmp_path, tmp_path / "ball.h5", layout)

    (path,) = output.glob("*.nii.gz")
    mask = nibabel.load(path)
    np.testing.assert_allclose(mask.affine, affine)
    assert dice(np.asarray(mask.dataobj) == 1, label) == 1


def test_masks_are_not_written_among_the_images_they_are_of(tmp_path, bright):
    with pytest.raises(ConfigError, match=r"^output: expected a folder outside of source, whose"):
        run(tmp_path, tmp_path, output="masks")
    assert not (tmp_path / "masks").exists()


@pytest.mark.parametrize("spacing_mm", [None, [1.5, 1.5, 1.5]])
@pytest.mark.parametrize("window", [[16, 16, 16], [16, 16]])
@pytest.mark.parametrize(
    "grid",
    [
        ([1, 1, 1], [2.0, 2.0, 2.0], 0.0),
        ([-1, 1, -1], [1.0, 1.0, 3.0], 0.3),
        ([1, -1, -1], [1.2, 2.6, 1.1], -0.7),
    ],
)
def test_a_mask_lies_on_the_grid_of_its_image(tmp_path, bright, grid, window, spacing_mm):
    affine, shape = grid_of(*grid)
    image = nibabel.Nifti1Image(ball_image(affine, shape).astype(np.float32), affine)
    nibabel.save(image, tmp_path / "ball.nii.gz")
    bright["crop_vox"] = window
    bright["preprocessing"] |= {"spacing_mm": spacing_mm, "crop_to_foreground": True}

    output = run(tmp_path, tmp_path / "ball.nii.gz")

    (path,) = output.glob("*.nii.gz")
    mask, source = nibabel.load(path), nibabel.load(tmp_path / "ball.nii.gz")
    found = np.asarray(mask.dataobj)
    assert (mask.shape, found.dtype) == (shape, np.uint8)
    np.testing.assert_allclose(mask.affine, source.affine, atol=1e-4)
    np.testing.assert_allclose(mask.get_qform(), source.affine, atol=1e-4)
    truth = distance_mm(affine, shape) <= 14
    assert dice(found == 1, truth) > 0.95
    (row,) = pq.read_table(output / "predictions.parquet").to_pylist()
    assert row["volume_ml"] == pytest.approx(4 / 3 * np.pi * 1.4**3, rel=0.06)
    assert (row["case_id"], row["class_name"]) == (path.name.removesuffix(".nii.gz"), "ball")
    assert json.loads((output / "classes.json").read_text()) == {"0": "background", "1": "ball"}
    assert (output / "figures" / f"{row['case_id']}.png").stat().st_size > 1000


def write_series(folder, affine, shape):
    """Write an axis-aligned or oblique series; RAS+ becomes LPS+ here."""
    folder.mkdir(parents=True)
    lps = np.diag([-1, -1, 1, 1]) @ affine
    voxels = ball_image(affine, shape).round().astype(np.int16)
    series, study, frame = generate_uid(), generate_uid(), generate_uid()
    i, j = (lps[:3, axis] / np.linalg.norm(lps[:3, axis]) for axis in (0, 1))
    for k in range(shape[2]):
        slice_ = pydicom.Dataset()
        slice_.file_meta = pydicom.dataset.FileMetaDataset()
        slice_.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        slice_.SOPClassUID, slice_.SOPInstanceUID = CTImageStorage, generate_uid()
        slice_.file_meta.MediaStorageSOPClassUID = slice_.SOPClassUID
        slice_.file_meta.MediaStorageSOPInstanceUID = slice_.SOPInstanceUID
        slice_.SeriesInstanceUID, slice_.StudyInstanceUID = series, study
        slice_.FrameOfReferenceUID, slice_.Modality = frame, "CT"
        slice_.PatientName, slice_.PatientID = NAME, NAME
        slice_.InstanceNumber = shape[2] - k
        slice_.Rows, slice_.Columns = shape[1], shape[0]
        slice_.PixelSpacing = [round(np.linalg.norm(lps[:3, axis]), 6) for axis in (1, 0)]
        slice_.SliceThickness = round(np.linalg.norm(lps[:3, 2]), 6)
        slice_.ImageOrientationPatient = [round(x, 9) for x in (*i, *j)]
        slice_.ImagePositionPatient = [round(x, 6) for x in (lps @ [0, 0, k, 1])[:3]]
        slice_.BitsAllocated = slice_.BitsStored = 16
        slice_.HighBit, slice_.PixelRepresentation, slice_.SamplesPerPixel = 15, 1, 1
        slice_.PhotometricInterpretation = "MONOCHROME2"
        slice_.RescaleSlope, slice_.RescaleIntercept = 1, 0
        slice_.PixelData = np.ascontiguousarray(voxels[:, :, k].T).tobytes()
        slice_.save_as(folder / f"{100 - k}.dcm", enforce_file_format=True)


def test_a_dicom_folder_gives_a_mask_where_a_second_reader_sees_the_image(tmp_path, bright):
    archive = tmp_path / "archive" / NAME
    write_series(archive / "series", *grid_of([1, 1, 1], [1.5, 1.0, 3.0], 0.3))
    (archive / f"{NAME}.txt").write_text("no image")
    bright["preprocessing"] |= {"window_hu": [0.0, 100.0]}

    output = run(tmp_path, archive)

    names = SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(archive / "series"))
    image = SimpleITK.ReadImage(names)
    (path,) = output.glob("*.nii.gz")
    mask = SimpleITK.ReadImage(str(path))
    assert mask.GetSize() == image.GetSize()
    for ours, theirs in (
        (mask.GetOrigin(), image.GetOrigin()),
        (mask.GetSpacing(), image.GetSpacing()),
        (mask.GetDirection(), image.GetDirection()),
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
    found, seen = map(SimpleITK.GetArrayFromImage, (mask, image))
    np.testing.assert_array_equal(found == 1, seen > 50)

    verdicts = pq.read_table(output / "verdicts.parquet").to_pylist()
    assert sorted({(row["status"], row["code"]) for row in verdicts}) == [
        ("accepted", "image"),
        ("refused", "not_an_image"),
    ]
    assert stat.S_IMODE((output / "private").stat().st_mode) == 0o700
    for file in (p for p in output.rglob("*") if p.is_file() and p.parent.name != "private"):
        content = file.read_bytes()
        assert NAME.encode() not in content, file
        assert b"DOE" not in str(file.relative_to(output)).encode()


def test_a_run_that_is_started_again_keeps_its_masks_and_makes_the_missing(tmp_path, bright):
    (tmp_path / "images").mkdir()
    for name, signs in (("a", [1, 1, 1]), ("b", [-1, 1, 1])):
        affine, shape = grid_of(signs, [3.0] * 3, 0.0)
        image = nibabel.Nifti1Image(ball_image(affine, shape).astype(np.float32), affine)
        nibabel.save(image, tmp_path / "images" / f"{name}.nii.gz")
    output = run(tmp_path, tmp_path / "images")
    kept, lost = sorted(output.glob("*.nii.gz"))
    before, content = kept.stat().st_mtime_ns, np.asarray(nibabel.load(lost).dataobj)
    table = pq.read_table(output / "predictions.parquet")
    lost.unlink()
    (output / "predictions.parquet").unlink()
    run(tmp_path, tmp_path / "images")
    assert kept.stat().st_mtime_ns == before
    np.testing.assert_array_equal(np.asarray(nibabel.load(lost).dataobj), content)
    assert pq.read_table(output / "predictions.parquet").equals(table)
    with pytest.raises(
        ConfigError, match=r"masks holds predictions of a run with another config\.w"
    ):
        run(tmp_path, tmp_path / "images", "window_overlap=0.25")


def test_a_folder_without_volumes_is_refused_with_the_reasons(tmp_path, bright):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "notes.txt").write_text("no image")
    with pytest.raises(DataError, match=r"no volume among its 1 files \(1 not_an_image\); see"):
        run(tmp_path, tmp_path / "images")


def test_a_network_of_stacks_is_fed_stacks(tmp_path, bright, monkeypatch):
    class Middle(Bright):
        def forward(self, image):
            assert image.shape[1] == 3
            return super().forward(image[:, 1:2])

    affine, shape = grid_of([1, 1, 1], [2.0, 2.0, 3.0], 0.0)
    image = nibabel.Nifti1Image(ball_image(affine, shape).astype(np.float32), affine)
    nibabel.save(image, tmp_path / "ball.nii.gz")
    masks = []
    for output, change in (("one", {}), ("stacks", {"thickness": 3})):
        card = bright | {"crop_vox": [16, 16]} | change
        made = ((Middle() if change else Bright()).eval(), card)
        monkeypatch.setattr(_masks, "restore", lambda export, made=made: made)
        (path,) = run(tmp_path, tmp_path / "ball.nii.gz", output=output).glob("*.nii.gz")
        masks.append(np.asarray(nibabel.load(path).dataobj))
    assert masks[0].any()
    np.testing.assert_array_equal(*masks)


def test_a_real_export_is_fed_as_its_card_says(tmp_path):
    torch.manual_seed(0)
    encoder = UNet(channels=(4, 8))
    decoder = UNetDecoder(encoder.channels, encoder.strides, 3)
    network = DenseNetwork(encoder, decoder, SegmentationHead(4, 3, 3))
    unet = {"name": "unet", "channels": [4, 8], "in_channels": 1, "norm": "instance"}
    card = {
        "encoder": unet | {"spatial_dims": 3},
        "decoder": {"name": "unet", "norm": "instance"},
        "head": {"name": "segmentation"},
        "classes": ["one", "two"],
        "crop_vox": [8, 8, 8],
        "preprocessing": {"spacing_mm": [4.0, 4.0, 4.0], "percentiles": [0.0, 50.0]},
    }
    write_export(
        tmp_path / "model", network.parts, card,
        subjects=pa.table({"subject_id": ["s"], "digest": ["d"]}),
    )  # fmt: skip
    affine, shape = grid_of([1, 1, 1], [3.0, 3.0, 3.0], 0.0)
    image = nibabel.Nifti1Image(ball_image(affine, shape).astype(np.float32), affine)
    nibabel.save(image, tmp_path / "ball.nii.gz")
    output = run(tmp_path, tmp_path / "ball.nii.gz")
    (path,) = output.glob("*.nii.gz")
    assert nibabel.load(path).shape == shape
    rows = pq.read_table(output / "predictions.parquet").to_pylist()
    counts = np.bincount(np.asarray(nibabel.load(path).dataobj).ravel(), minlength=3)
    assert [row["voxels"] for row in rows] == counts[1:].tolist()
    with pytest.raises(DataError, match=r"there is no file .*weights"):
        run(tmp_path, tmp_path / "ball.nii.gz", f"model={Path('nowhere')}", output="other")
