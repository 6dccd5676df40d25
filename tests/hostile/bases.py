"""Small files that are cases by themselves, of each kind that is read: they are mutated."""

import io

import nibabel
import numpy as np
import pydicom
import SimpleITK
from PIL import Image
from pydicom import uid

# Large enough for wavelets, and of values that all encoders keep.
VOXELS = np.add.outer(np.arange(48 * 40).reshape(48, 40) % 251, np.arange(3)).astype(np.int16)

KINDS = [  # below the folder of real images
    "dicom_ct_chest_cptac/data/**/*.dcm",
    "dicom_ct_totalseg_jpeg2000/data/CT*",
    "dicom_mr_sag_anon/data/*.dcm",
    "dicom_4d_mosaic_nih/data/20180918Si/mr_0004/*.dcm",
    "dicom_enhanced_mr/data/Siemens/XA10/*.dcm",
    "dicom_enhanced_mr/data/Philips/*.dcm",
    "dicom_seg_highdicom/data/test_files/seg_image_ct_binary.dcm",
    "dicom_seg_highdicom/data/test_files/sr_document.dcm",
    "dicom_seg_highdicom/data/test_files/sm_image_jpegls.dcm",
    "dicom_rtstruct/tests/mock_data/rt.dcm",
]


def dicom_files(folder, dicom):
    """Write DICOM files by means of `tests/dicom_series.py`, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {
        "plain": _slice(dicom),
        "implicit": _stored(_slice(dicom), uid.ImplicitVRLittleEndian),
        "deflated": _stored(_slice(dicom), uid.DeflatedExplicitVRLittleEndian),
        "rle": _compressed(_slice(dicom), uid.RLELossless),
        "jpegls": _compressed(_slice(dicom), uid.JPEGLSLossless),
        "jpeg2000": _compressed(_slice(dicom), uid.JPEG2000Lossless),
        "jpeg": _jpeg(_slice(dicom)),
        "mosaic": dicom.mosaic_of(dicom.VOXELS, dicom.AFFINE),
        "enhanced": dicom.enhanced_of(dicom.VOXELS[None], dicom.AFFINE),
        "enhanced_jpeg2000": _compressed(
            dicom.enhanced_of(VOXELS[None], dicom.AFFINE), uid.JPEG2000Lossless
        ),
    }
    return [dicom.save(dataset, folder / f"{name}.dcm") for name, dataset in found.items()]


def volume_files(folder):
    """Write a volume in each format, and return the paths of the headers."""
    folder.mkdir(parents=True, exist_ok=True)
    voxels = np.arange(720, dtype=np.int16).reshape(8, 9, 10)
    one = nibabel.Nifti1Image(voxels, np.diag([1.0, 2, 3, 1]))
    for name, image in {
        "one.nii": one,
        "one_packed.nii.gz": one,
        "two.nii": nibabel.Nifti2Image(voxels, np.eye(4)),
        "frames.nii.gz": nibabel.Nifti1Image(np.stack([voxels, voxels], -1), np.eye(4)),
    }.items():
        nibabel.save(image, folder / name)
    image = SimpleITK.GetImageFromArray(voxels)
    for name in ("raw.nrrd", "packed.nrrd", "apart.nhdr", "raw.mha", "packed.mha", "beside.mhd"):
        SimpleITK.WriteImage(image, folder / name, useCompression=name.startswith("packed"))
    return sorted(path for path in folder.iterdir() if path.suffix != ".raw")


def real_files(folder, mirror):
    """Copy a real slice in each transfer syntax, such that each is a case by itself."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for path in sorted((mirror / "dicom_mr_slice_all_syntaxes" / "data").glob("*.dcm")):
        dataset = pydicom.dcmread(path)
        dataset.SpacingBetweenSlices = "1.0"
        found.append(folder / path.name)
        dataset.save_as(found[-1])
    return found


def real_kinds(folder, mirror):
    """Copy a real file of each kind of object."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for pattern in KINDS:
        path = sorted(mirror.glob(pattern))[0]
        found.append(folder / f"{len(found)}.dcm")
        found[-1].write_bytes(path.read_bytes())
    return found


def _slice(dicom):
    return dicom.slice_of(VOXELS, dicom.AFFINE, 1, SpacingBetweenSlices="2.5")


def _stored(dataset, syntax):
    dataset.file_meta.TransferSyntaxUID = syntax
    return dataset


def _compressed(dataset, syntax):
    dataset.compress(syntax, generate_instance_uid=False)
    return dataset


def _jpeg(dataset):
    stream = io.BytesIO()
    Image.fromarray(VOXELS[:, :, 1].T.astype(np.uint8)).save(stream, "JPEG")
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    dataset.PixelData = pydicom.encaps.encapsulate([stream.getvalue()])
    return _stored(dataset, uid.JPEGBaseline8Bit)
