"""Objects that were damaged on their way: drawn or refused, and nothing else."""

from contextlib import suppress

import numpy as np
import pytest

from medssl.data.dicom.references import read_references
from medssl.data.readers.dicom_objects import draw_objects
from medssl.data.verdicts import RefusedError

CLASSES = {"organ": 1, "tumor": 2}
SHAPE = (6, 5, 7)


@pytest.fixture(scope="module")
def contents(tmp_path_factory, dicom, objects):
    """The bytes of a segmentation of each type and of a structure set."""
    folder = tmp_path_factory.mktemp("objects")
    sources = objects.slices_of(dicom.write(folder / "in", **objects.FULL))
    numbers = np.random.default_rng(0).integers(0, 3, SHAPE).astype(np.uint8)
    for kind in ("BINARY", "FRACTIONAL", "LABELMAP"):
        made = objects.segmentation(sources, numbers, list(CLASSES), kind)
        made.save_as(folder / f"{kind}.dcm")
    corners = [[1.5, 1.5, 2, 1], [4.5, 1.5, 2, 1], [4.5, 4.5, 2, 1]]
    contour = objects.contour((corners @ dicom.AFFINE.T)[:, :3], images=["1.2"])
    dicom.save(objects.structures({"organ": [contour]}, listed=["1.2"]), folder / "rt.dcm")
    return [path.read_bytes() for path in sorted(folder.glob("*.dcm"))]


def mutated(content, generator):
    found = bytearray(content)
    for _ in range(generator.integers(1, 4)):
        place = int(generator.integers(132, len(found)))
        if generator.random() < 0.5:
            found[place] ^= 1 << int(generator.integers(8))
        else:
            found[place : place + 4] = generator.bytes(4)
    return bytes(found[: int(generator.integers(132, 4 * len(found)))])


@pytest.mark.parametrize("seed", range(40))
def test_a_mutated_object_is_drawn_or_refused(tmp_path, contents, affine, seed):
    path = tmp_path / "a.dcm"
    generator = np.random.default_rng(seed)
    for content in contents:
        path.write_bytes(mutated(content, generator))
        with suppress(RefusedError):  # anything else is a fault of ours
            read_references(path, CLASSES)
        with suppress(RefusedError):
            drawn = draw_objects([(path, CLASSES)], SHAPE, affine)
            assert drawn.voxels.shape == (1, *SHAPE)
            assert set(np.unique(drawn.voxels)) <= {0, *CLASSES.values()}


def test_what_was_not_mutated_is_drawn(tmp_path, contents, affine):
    for content in contents:
        (tmp_path / "a.dcm").write_bytes(content)
        assert draw_objects([(tmp_path / "a.dcm", CLASSES)], SHAPE, affine).voxels.any()


@pytest.mark.parametrize("length", range(3))
def test_a_meta_header_of_an_impossible_length_is_refused(tmp_path, contents, affine, length):
    content = bytearray(contents[0])
    content[136:140] = b"\0\0" + bytes([length + 1, 0x26])  # of the group's length, which has 4
    (tmp_path / "a.dcm").write_bytes(content)
    with pytest.raises(RefusedError):
        draw_objects([(tmp_path / "a.dcm", CLASSES)], SHAPE, affine)
