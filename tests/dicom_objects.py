"""DICOM segmentations, by highdicom, and RT structure sets that tests write over a series."""

from types import SimpleNamespace

import highdicom
import numpy as np
import pydicom
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid

# What highdicom needs of the slices that it refers to, beside what `dicom_series` writes.
FULL = {
    "PatientName": "", "PatientBirthDate": "", "PatientSex": "", "StudyDate": "", "StudyTime": "",
    "StudyID": "", "AccessionNumber": "", "ReferringPhysicianName": "", "SeriesNumber": 1,
    "SliceThickness": "2", "FrameOfReferenceUID": "1.2.3.9",
}  # fmt: skip
MAKER = {
    "series_number": 9, "instance_number": 1, "manufacturer": "m", "manufacturer_model_name": "m",
    "software_versions": "1", "device_serial_number": "1",
}  # fmt: skip


def slices_of(paths):
    return [pydicom.dcmread(path) for path in paths]


def segmentation(sources, voxels, names, kind="BINARY", **how):
    """Return a segmentation of (i, j, k) voxels, or of (i, j, k, segment), or of a volume.

    Args:
        sources: The slices it refers to, in the order of k.
        voxels: Numbers of segments, or a mask or fraction for each; or a highdicom volume.
        names: Of the segments, from number 1.
        kind: BINARY, FRACTIONAL or LABELMAP.
        how: For highdicom.
    """
    described = [
        highdicom.seg.SegmentDescription(
            segment_number=number,
            segment_label=name,
            segmented_property_category=codes.SCT.Organ,
            segmented_property_type=codes.SCT.Liver,
            algorithm_type="MANUAL",
        )
        for number, name in enumerate(names, start=1)
    ]
    is_volume = isinstance(voxels, highdicom.Volume)
    made = {"series_instance_uid": generate_uid(), "sop_instance_uid": generate_uid()}
    return highdicom.seg.Segmentation(
        source_images=sources,
        pixel_array=voxels if is_volume else np.ascontiguousarray(np.swapaxes(voxels, 0, 2)),
        segmentation_type=kind,
        segment_descriptions=described,
        **MAKER | made | how,
    )


def item(**elements):
    found = pydicom.Dataset()
    for name, value in elements.items():
        setattr(found, name, value)
    return found


def contour(points, *, images=(), kind="CLOSED_PLANAR", digits=9):
    """Return a contour through points (point, 3) in RAS+ mm, drawn on instances."""
    lps = np.asarray(points) * [-1, -1, 1]
    return SimpleNamespace(points=lps.round(digits), images=tuple(images), kind=kind)


def _instances(uids):
    return [item(ReferencedSOPInstanceUID=uid) for uid in uids]


def structures(rois, *, listed=(), series="1.2.3.4", space="1.2.3.9", **tags):
    """Return a structure set of contours by the name of their region.

    Args:
        rois: A list of contours a name.
        listed: Instances that it names as a whole.
        series: Their series.
        space: The frame of reference.
        tags: Further elements.
    """
    found = item(SOPClassUID=RTStructureSetStorage, SOPInstanceUID=generate_uid())
    found.file_meta = pydicom.dataset.FileMetaDataset()
    found.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    found.Modality, found.PatientID = "RTSTRUCT", "P-1"
    found.StudyInstanceUID, found.SeriesInstanceUID = "1.2.3", generate_uid()
    one = item(SeriesInstanceUID=series, ContourImageSequence=_instances(listed))
    study = item(RTReferencedSeriesSequence=[one] if listed else [])
    found.ReferencedFrameOfReferenceSequence = [
        item(FrameOfReferenceUID=space, RTReferencedStudySequence=[study])
    ]
    found.StructureSetROISequence = [
        item(ROINumber=number, ROIName=name, ReferencedFrameOfReferenceUID=space)
        for number, name in enumerate(rois, start=1)
    ]
    found.ROIContourSequence = [
        item(ReferencedROINumber=number, ContourSequence=[_drawn(one) for one in contours])
        for number, contours in enumerate(rois.values(), start=1)
    ]
    for name, value in tags.items():
        setattr(found, name, value)
    return found


def _drawn(one):
    found = item(ContourGeometricType=one.kind, NumberOfContourPoints=len(one.points))
    if one.images:
        found.ContourImageSequence = _instances(one.images)
    found.ContourData = [f"{value:.10g}" for value in one.points.ravel()]
    return found
