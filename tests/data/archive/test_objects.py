"""Which case a DICOM segmentation or an RT structure set is of."""

from pathlib import Path

import numpy as np
import pytest

from medssl.data.archive.ledger import Ledger
from medssl.data.archive.objects import KINDS, Archive, find_objects
from medssl.data.archive.pseudonyms import Pseudonyms
from medssl.data.archive.scan import scan
from medssl.data.archive.units import find_units
from medssl.data.archive.walk import walk

CLASSES = {"organ": 1}


@pytest.fixture
def series(tmp_path, dicom, objects):
    """Writes a series and returns its slices as they were written."""

    def write(name, uid="1.2.3.4", **tags):
        how = objects.FULL | {"SeriesInstanceUID": uid} | tags
        return objects.slices_of(dicom.write(tmp_path / "in" / name, **how))

    return write


@pytest.fixture
def structure_set(tmp_path, dicom, objects):
    """Writes a structure set drawn on some instances, or on none."""

    def write(name, drawn_on=(), listed=(), **how):
        contours = [objects.contour(np.eye(3), images=[uid]) for uid in drawn_on]
        contours = contours or [objects.contour(np.eye(3))]
        found = objects.structures({"Organ": contours}, listed=listed, **how)
        return dicom.save(found, tmp_path / "in" / name)

    return write


def archive_of(folder, ledger):
    ledger.open(walk(folder))
    scan(ledger)
    return Archive(tuple(find_units(ledger)), ledger.looks.has_series)


@pytest.fixture
def found(tmp_path):
    """Finds the series UID of each object's image, and the verdicts by the files' names."""

    def find():
        ledger = Ledger(Pseudonyms(b"some secret of 16 bytes"))
        archive = archive_of(tmp_path / "in", ledger)
        files = [(e.file, CLASSES) for e in ledger.entries.values() if e.code in KINDS]
        objects = find_objects(files, archive, ledger)
        units = {unit.identity: unit for unit in archive.units}
        named = {
            Path(member.file.name).name: units[identity].name
            for identity, labels in objects.items()
            for member in labels.members
        }
        verdicts = {
            entry.file.path.name: (str(entry.code), entry.sentence)
            for entry in ledger.entries.values()
        }
        return named, verdicts

    return find


def uids(slices):
    return [one.SOPInstanceUID for one in slices]


def test_the_images_that_contours_were_drawn_on_decide(series, structure_set, found):
    one, other = series("a"), series("b", "1.9")
    structure_set("drawn.dcm", uids(other)[2:4], listed=uids(one))
    structure_set("listed.dcm", listed=uids(one))
    named, _ = found()
    assert named == {"drawn.dcm": "1.9", "listed.dcm": "1.2.3.4"}


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
def test_the_images_that_frames_come_from_decide(tmp_path, series, objects, found, kind):
    series("a")
    other = series("b", "1.9")
    made = objects.segmentation(other, np.ones((6, 5, 7), np.uint8), ["organ"], kind)
    made.save_as(tmp_path / "in" / "frames.dcm")
    for groups in made.PerFrameFunctionalGroupsSequence:
        groups.DerivationImageSequence = []
    made.SOPInstanceUID = "1.77"
    made.save_as(tmp_path / "in" / "listed.dcm")
    named, _ = found()
    assert named == {"frames.dcm": "1.9", "listed.dcm": "1.9"}


def test_an_object_without_references_is_of_the_one_volume_in_its_space(
    series, structure_set, found
):
    series("a")
    structure_set("one.dcm")
    structure_set("none.dcm", space="1.55")
    named, verdicts = found()
    assert named == {"one.dcm": "1.2.3.4"}
    assert verdicts["none.dcm"] == (
        "reference_missing",
        "it refers to no image, and none in the archive shares its frame of reference",
    )
    series("b", "1.9")
    named, verdicts = found()
    assert not named
    code, sentence = verdicts["one.dcm"]
    assert code == "reference_ambiguous"
    assert "are of 2 volumes" in sentence


def test_a_reference_that_is_absent_is_a_verdict(series, structure_set, found):
    slices = series("a")
    structure_set("all.dcm", ["1.66.1", "1.66.2"], series="1.66")
    structure_set("some.dcm", [*uids(slices)[:3], "1.66.1"])
    structure_set("unused.dcm", uids(slices)[:3], listed=[*uids(slices), "1.66.1"])
    named, verdicts = found()
    assert named == {"unused.dcm": "1.2.3.4"}
    assert verdicts["all.dcm"] == (
        "reference_missing",
        "none of the 2 images it refers to is in the archive",
    )
    assert verdicts["some.dcm"] == (
        "reference_missing",
        "1 of the 4 images it was drawn on are not in the archive",
    )


def test_a_series_that_was_refused_is_not_absent(tmp_path, series, structure_set, found):
    slices = series("a")
    (tmp_path / "in/a/003.dcm").unlink()
    structure_set("rt.dcm", listed=uids(slices))
    named, verdicts = found()
    assert not named
    assert verdicts["000.dcm"][0] == "missing_slice"
    assert verdicts["rt.dcm"] == ("label_without_image", "a label whose image was refused")


def test_images_of_two_volumes_are_no_certain_reference(series, structure_set, found):
    one, other = series("a"), series("b", "1.9")
    structure_set("rt.dcm", [uids(one)[0], uids(other)[0]])
    named, verdicts = found()
    assert not named
    assert verdicts["rt.dcm"] == (
        "reference_ambiguous",
        "the images it refers to are of 2 volumes; which one it labels is not known",
    )


def test_frames_of_a_file_of_several_volumes_are_told_apart(
    tmp_path, dicom, voxels, affine, objects, found
):
    def echo(volume, _):
        return {"MREchoSequence": {"EffectiveEchoTime": 10.0 * (volume + 1)}}

    enhanced = dicom.enhanced_of(np.stack([voxels, voxels + 9]), affine, each=echo)
    dicom.save(enhanced, tmp_path / "in/enhanced.dcm")
    for name, frames in {"first": [2, 3], "second": 9, "both": [2, 9], "all": None}.items():
        contour = objects.contour(np.eye(3), images=[enhanced.SOPInstanceUID])
        made = objects.structures({"organ": [contour]})
        image = made.ROIContourSequence[0].ContourSequence[0].ContourImageSequence[0]
        if frames is not None:
            image.ReferencedFrameNumber = frames
        dicom.save(made, tmp_path / f"in/{name}.dcm")
    ledger = Ledger(Pseudonyms(b"some secret of 16 bytes"))
    archive = archive_of(tmp_path / "in", ledger)
    files = [(e.file, CLASSES) for e in ledger.entries.values() if e.code in KINDS]
    drawn = find_objects(files, archive, ledger)
    images = {
        Path(member.file.name).stem: {header.image for header in unit.stack.headers}
        for unit in archive.units
        for member in drawn[unit.identity].members
    }
    assert images == {"first": set(range(1, 8)), "second": set(range(8, 15))}
    codes = {e.file.path.stem: e.code for e in ledger.entries.values()}
    assert codes["both"] == codes["all"] == "reference_ambiguous"


def test_the_tiles_of_a_mosaic_are_one_image(tmp_path, dicom, voxels, affine, structure_set, found):
    mosaic = dicom.mosaic_of(voxels, affine, SeriesInstanceUID="1.9")
    dicom.save(mosaic, tmp_path / "in/mosaic.dcm")
    structure_set("rt.dcm", [mosaic.SOPInstanceUID])
    assert found()[0] == {"rt.dcm": "1.9"}


def test_a_copy_of_an_object_is_a_copy(tmp_path, series, structure_set, found):
    slices = series("a")
    path = structure_set("one.dcm", uids(slices))
    (tmp_path / "in/two.dcm").write_bytes(path.read_bytes())
    named, verdicts = found()
    assert named == {"one.dcm": "1.2.3.4"}
    assert verdicts["two.dcm"][0] == "duplicate_file"


def test_an_object_whose_header_is_damaged_is_refused(series, structure_set, found):
    slices = series("a")
    path = structure_set("rt.dcm", uids(slices), series="1.2.3.4")
    content = path.read_bytes()
    place = content.index(b"\x06\x30\x84\x00")  # ReferencedROINumber
    path.write_bytes(content[: place + 8] + b"x" + content[place + 9 :])
    named, verdicts = found()
    assert not named
    assert verdicts["rt.dcm"] == (
        "unreadable",
        "the DICOM header cannot be read (ValueError)",
    )
