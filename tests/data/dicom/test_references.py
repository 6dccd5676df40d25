"""What an object says of its images, read without its contours and pixels."""

import numpy as np
import pytest

from medssl.data.dicom.references import Reference, read_references
from medssl.data.verdicts import RefusedError


@pytest.fixture
def written(tmp_path, dicom, objects):
    def write(regions, **how):
        rois = {
            name: [objects.contour(np.eye(3), images=[uid]) for uid in uids]
            for name, uids in regions.items()
        }
        return objects.structures(rois, **how), tmp_path / "rt.dcm"

    return write


def test_of_a_structure_set_only_contours_of_classes_count(dicom, written):
    found, path = written({"organ": ["1.1", "1.2"], "other": ["1.3"]}, listed=["1.1", "1.4"])
    dicom.save(found, path)
    about = read_references(path, {"ORGAN": 1})
    assert about.drawn_on == {Reference("1.1"), Reference("1.2")}
    assert about.listed == {Reference("1.1"), Reference("1.4")}
    assert (about.series_uids, about.space_uids) == ({"1.2.3.4"}, {"1.2.3.9"})


def test_the_points_of_contours_stay_closed(dicom, written):
    found, path = written({"organ": ["1.1"]})
    dicom.save(found, path)
    points = b"-1"  # the first number of the identity, in LPS+
    content = path.read_bytes()
    place = content.index(points, content.index(b"\x06\x30\x50\x00"))
    path.write_bytes(content[:place] + b"x!" + content[place + 2 :])
    assert read_references(path, {"organ": 1}).drawn_on == {Reference("1.1")}


def test_the_frame_of_reference_is_that_of_its_regions(dicom, written):
    found, path = written({"organ": [], "other": ["1.1"]}, space="1.5")
    found.StructureSetROISequence[1].ReferencedFrameOfReferenceUID = "1.6"
    dicom.save(found, path)
    assert read_references(path, {"other": 1}).space_uids == {"1.6"}
    for roi in found.StructureSetROISequence:
        del roi.ReferencedFrameOfReferenceUID
    dicom.save(found, path)
    assert read_references(path, {"other": 1}).space_uids == {"1.5"}


def test_of_a_segmentation_only_frames_of_classes_count(tmp_path, dicom, objects):
    sources = objects.slices_of(dicom.write(tmp_path / "in", **objects.FULL))
    numbers = np.zeros((6, 5, 7), np.uint8)
    numbers[:, :, 1:3], numbers[:, :, 4] = 1, 2
    path = tmp_path / "seg.dcm"
    objects.segmentation(sources, numbers, ["organ", "other"]).save_as(path)
    uids = [one.SOPInstanceUID for one in sources]
    about = read_references(path, {"organ": 1})
    assert about.drawn_on == {Reference(uid) for uid in uids[1:3]}
    assert about.listed == {Reference(uid) for uid in uids}
    assert about.space_uids == {"1.2.3.9"}


def test_an_object_of_no_class_says_how_many_parts_it_has(dicom, written):
    found, path = written({"organ": ["1.1"], "other": ["1.3"]})
    dicom.save(found, path)
    with pytest.raises(RefusedError, match="of 2 regions, none of which is a class"):
        read_references(path, {"heart": 1})
