"""DICOM series that tests write, from (i, j, k) voxels and an affine to RAS+.

A file a slice, a mosaic of all slices, or an enhanced image of all frames.
"""

import struct
from pathlib import Path

import numpy as np
import pydicom
from pydicom.uid import (
    CTImageStorage,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    generate_uid,
)
from pydicom.valuerep import format_number_as_ds

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])

# Values that are all different, and an oblique grid of 0.5 by 0.75 by 2.5 mm whose third axis is
# DICOM's: the normal of the first two.
VOXELS = np.arange(210, dtype=np.int16).reshape(6, 5, 7) - 50
_TURN = np.radians(20)
AFFINE = LPS @ np.array(
    [
        [0.5 * np.cos(_TURN), -0.75 * np.sin(_TURN), 0, 11],
        [0.5 * np.sin(_TURN), 0.75 * np.cos(_TURN), 0, -13],
        [0, 0, 2.5, 17],
        [0, 0, 0, 1],
    ]
)


def decimals(values):
    return [format_number_as_ds(float(value)) for value in values]


def slice_of(voxels, affine, k, **tags):
    """Return one slice as a data set; a tag that is None is taken out."""
    world = LPS @ affine
    spacing = np.linalg.norm(world[:3, :3], axis=0)
    found = pydicom.Dataset()
    found.file_meta = pydicom.dataset.FileMetaDataset()
    found.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    found.SOPClassUID, found.SOPInstanceUID = CTImageStorage, generate_uid()
    found.Modality, found.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
    found.PatientID = "P-1"
    found.StudyInstanceUID, found.SeriesInstanceUID = "1.2.3", "1.2.3.4"
    found.InstanceNumber = k + 1
    found.ImageOrientationPatient = decimals((world[:3, :2] / spacing[:2]).T.ravel())
    found.ImagePositionPatient = decimals((world @ [0, 0, k, 1])[:3])
    found.PixelSpacing = decimals([spacing[1], spacing[0]])
    found.SamplesPerPixel, found.PhotometricInterpretation = 1, "MONOCHROME2"
    set_pixels(found, voxels[:, :, k].T)
    return change(found, tags)


def set_pixels(found, frames):
    """Give the data set the pixels of a plane (row, column) or of frames (frame, row, column)."""
    found.Rows, found.Columns = frames.shape[-2:]
    found.BitsAllocated = found.BitsStored = 8 * frames.dtype.itemsize
    found.HighBit = found.BitsStored - 1
    found.PixelRepresentation = int(frames.dtype.kind == "i")
    found.PixelData = frames.astype(frames.dtype.newbyteorder("<")).tobytes()


def change(found, tags):
    """Set these; one that is None is taken out."""
    for name, value in tags.items():
        if value is None:
            delattr(found, name)
        else:
            setattr(found, name, value)
    return found


def csa2(**values):
    """Return Siemens' private header with these lists of text, padded as scanners pad it."""
    content = b"SV10\4\3\2\1" + struct.pack("<2I", len(values), 77)
    for name, items in values.items():
        padded = [item.encode() for item in items] + [b""] * (6 - len(items))
        tag = (name.encode(), len(items), b"FD", 4, len(padded), 77)
        content += struct.pack("<64si4s3i", *tag)
        for item in padded:
            content += struct.pack("<4i", len(item), len(item), 77, len(item))
            content += item + b"\0" * (-len(item) % 4)
    return content


def mosaic_of(voxels, affine, *, csa=None, public_count=None, **tags):
    """Return a Siemens mosaic; the third axis of the affine is DICOM's normal or its opposite.

    `csa` replaces entries of the private header, or as bytes the whole of it.
    """
    columns, rows, number = voxels.shape
    across = int(np.ceil(np.sqrt(number)))
    plane = np.zeros((across * rows, across * columns), voxels.dtype)
    for k in range(number):
        row, column = divmod(k, across)
        tile = np.s_[row * rows : (row + 1) * rows, column * columns : (column + 1) * columns]
        plane[tile] = voxels[:, :, k].T
    world = LPS @ affine
    step_mm = np.linalg.norm(world[:3, 2])
    # The mosaic lies as an image of its size would around the first slice.
    margin = np.array([columns, rows]) * (across - 1) / 2
    corner = world[:3, 3] - world[:3, :2] @ margin
    found = slice_of(voxels, affine, 0, SOPClassUID=MRImageStorage, Modality="MR")
    found.Manufacturer, found.ImageType = "SIEMENS", ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]
    found.ImagePositionPatient = decimals(corner)
    found.SpacingBetweenSlices = decimals([step_mm])[0]
    set_pixels(found, plane)
    entries = {
        "NumberOfImagesInMosaic": [str(number)],
        "SliceNormalVector": [f"{value:.8f}" for value in world[:3, 2] / step_mm],
    }
    header = csa if isinstance(csa, bytes) else csa2(**entries | (csa or {}))
    found.private_block(0x29, "SIEMENS CSA HEADER", create=True).add_new(0x10, "OB", header)
    if public_count is not None:
        block = found.private_block(0x19, "SIEMENS MR HEADER", create=True)
        block.add_new(0x0A, "US", public_count)
    return change(found, tags)


def enhanced_of(volumes, affine, *, each=lambda volume, k: {}, order=None, **tags):
    """Return an enhanced image of volumes (volume, i, j, k) on one grid.

    `each(volume, k)` gives the functional groups of a frame, None for one without; `order` is
    the order of the frames, as pairs (volume, k).
    """
    world = LPS @ affine
    order = order or list(np.ndindex(len(volumes), volumes.shape[3]))
    found = slice_of(volumes[0], affine, 0, SOPClassUID=EnhancedMRImageStorage, Modality="MR")
    measures = {"PixelSpacing": found.PixelSpacing}
    orientation = {"ImageOrientationPatient": found.ImageOrientationPatient}
    for name in ("PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient"):
        delattr(found, name)
    shared = {"PixelMeasuresSequence": measures, "PlaneOrientationSequence": orientation}
    found.SharedFunctionalGroupsSequence = [_groups(shared)]
    found.PerFrameFunctionalGroupsSequence = [
        _groups(
            {
                "PlanePositionSequence": {
                    "ImagePositionPatient": decimals((world @ [0, 0, k, 1])[:3])
                }
            }
            | each(volume, k)
        )
        for volume, k in order
    ]
    found.NumberOfFrames = len(order)
    set_pixels(found, np.stack([volumes[volume, :, :, k].T for volume, k in order]))
    return change(found, tags)


def _groups(tree):
    """Return a data set of sequences with one item each."""
    found = pydicom.Dataset()
    for name, elements in tree.items():
        if elements is not None:
            setattr(found, name, [change(pydicom.Dataset(), elements)])
    return found


def save(found, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    found.file_meta.MediaStorageSOPClassUID = found.SOPClassUID
    found.file_meta.MediaStorageSOPInstanceUID = found.SOPInstanceUID
    found.save_as(path, enforce_file_format=True)
    return path


def write(folder, voxels=VOXELS, affine=AFFINE, *, skip=(), each=lambda k: {}, **tags):
    """Write a series in the folder; `each(k)` gives tags of one slice."""
    return [
        save(slice_of(voxels, affine, k, **tags | each(k)), Path(folder) / f"{k:03d}.dcm")
        for k in range(voxels.shape[2])
        if k not in skip
    ]
