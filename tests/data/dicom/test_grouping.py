"""Series as scanners make them, written by hand, against what dcm2niix converts them into."""

import subprocess
import time
from dataclasses import replace

import dcm2niix
import highdicom
import nibabel
import numpy as np
import pytest
import SimpleITK
from pydicom.uid import EnhancedCTImageStorage, EnhancedPETImageStorage, MRImageStorage

from medssl.data.archive.ledger import Ledger
from medssl.data.archive.pseudonyms import Pseudonyms
from medssl.data.archive.read import volumes_of
from medssl.data.dicom.header import read_headers
from medssl.data.dicom.regrid import Allowed
from medssl.data.dicom.stacks import stacks
from medssl.data.readers.dicom_series import DicomSeries

pytestmark = pytest.mark.slow

MR = {"SOPClassUID": MRImageStorage, "Modality": "MR", "Manufacturer": "Philips"}


def ours(folder):
    """The cases and volumes of a folder, and the codes of its files."""
    ledger = Ledger(Pseudonyms(b"some secret of 16 bytes"))
    found = list(volumes_of(folder, ledger))
    return found, [str(entry.code) for entry in ledger.entries.values()]


def theirs(folder, out):
    """What dcm2niix makes of the folder, a volume a frame."""
    out.mkdir()
    command = [dcm2niix.bin_path, "-p", "n", "-z", "n", "-b", "n", "-f", "%s_%j", "-o", out, folder]
    subprocess.run(command, check=True, capture_output=True)
    images = [nibabel.load(path) for path in sorted(out.glob("*.nii"))]
    return [v for i in images for v in (nibabel.four_to_three(i) if i.ndim == 4 else [i])]


def in_ras(image):
    turned = nibabel.as_closest_canonical(image)
    return np.asanyarray(turned.dataobj), turned.affine


def assert_alike(volumes, images):
    """Compare volumes in whatever order, by the least value of each."""

    def by_least(pair):
        return float(pair[0].min()), pair[0].size

    found = [in_ras(nibabel.Nifti1Image(v.voxels[0].astype(np.float64), v.affine)) for v in volumes]
    expected = [in_ras(image) for image in images]
    assert len(found) == len(expected)
    for (a, grid), (b, other) in zip(
        sorted(found, key=by_least), sorted(expected, key=by_least), strict=True
    ):
        np.testing.assert_allclose(grid, other, atol=1e-3)
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6 * np.abs(b).max())


POSITIONS = {
    "HFS": [1, 0, 0, 0, 1, 0],
    "HFP": [-1, 0, 0, 0, -1, 0],
    "HFDR": [0, -1, 0, 1, 0, 0],
    "HFDL": [0, 1, 0, -1, 0, 0],
    "FFS": [-1, 0, 0, 0, 1, 0],
    "FFP": [1, 0, 0, 0, -1, 0],
    "FFDR": [0, 1, 0, 1, 0, 0],
    "FFDL": [0, -1, 0, -1, 0, 0],
}


def turned(cosines, spacing=(0.5, 0.75, 2.5), sign=1):
    """A grid to RAS+ with these cosines of DICOM."""
    row, column = np.reshape(cosines, (2, 3)).astype(float)
    grid = np.eye(4)
    grid[:3, :3] = np.stack([row, column, sign * np.cross(row, column)], axis=1) * spacing
    grid[:3, 3] = 11, -13, 17
    return np.diag([-1, -1, 1, 1]) @ grid


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("position", POSITIONS)
def test_every_patient_position(tmp_path, dicom, voxels, position, sign):
    grid = turned(POSITIONS[position], sign=sign)
    dicom.write(tmp_path / "in", voxels, grid, PatientPosition=position, Manufacturer="GE")
    ((_, volume),), _ = ours(tmp_path / "in")
    assert_alike([volume], theirs(tmp_path / "in", tmp_path / "out"))


@pytest.mark.parametrize(
    "cosines",
    [[0, 1, 0, 0, 0, -1], [1, 0, 0, 0, 0, -1], [0.8, 0.6, 0, 0, 0, -1], [0, 0.8, -0.6, 1, 0, 0]],
)
def test_every_plane(tmp_path, dicom, voxels, cosines):
    dicom.write(tmp_path / "in", voxels, turned(cosines), **MR)
    ((_, volume),), _ = ours(tmp_path / "in")
    assert_alike([volume], theirs(tmp_path / "in", tmp_path / "out"))


def bits(stored, is_signed):
    return {"BitsStored": stored, "HighBit": stored - 1, "PixelRepresentation": is_signed}


@pytest.mark.parametrize(
    ("dtype", "tags"),
    [
        (np.int16, {}),
        (np.uint16, {}),
        (np.uint16, bits(12, 0)),
        (np.int16, bits(12, 1)),
        (np.uint8, {}),
        (np.uint16, {"PhotometricInterpretation": "MONOCHROME1"}),
        (np.int16, {"PixelPaddingValue": -50}),
        (np.int16, {"RescaleSlope": "0.37", "RescaleIntercept": "-3"}),
        (np.uint16, {"RescaleSlope": 1, "RescaleIntercept": -1024}),
    ],
)
def test_every_kind_of_number(tmp_path, dicom, voxels, affine, dtype, tags):
    values = (voxels + 50 if np.dtype(dtype).kind == "u" else voxels).astype(dtype)
    dicom.write(tmp_path / "in", values, affine, Manufacturer="GE", **tags)
    ((_, volume),), _ = ours(tmp_path / "in")
    assert_alike([volume], theirs(tmp_path / "in", tmp_path / "out"))


def test_slices_with_scales_of_their_own(tmp_path, dicom, voxels, affine):
    def each(k):
        return {"RescaleSlope": f"{1 + 0.25 * k}", "RescaleIntercept": "0"}

    files = dicom.write(tmp_path, voxels, affine, each=each, Modality="PT", Units="BQML")
    ((case, volume),), _ = ours(tmp_path)
    for k, path in enumerate(files):  # dcm2niix takes one scale for all
        (plane,) = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(path))
        np.testing.assert_allclose(volume.voxels[0, :, :, k], plane.T, rtol=1e-6)
    assert case.attributes == {"units": "BQML", "rescale": "of each slice its own"}


def test_acquisitions_on_one_even_grid_are_one_volume(tmp_path, dicom, voxels, affine):
    dicom.write(tmp_path / "in", voxels, affine, each=lambda k: {"AcquisitionNumber": k // 2 + 1})
    ((_, volume),), _ = ours(tmp_path / "in")
    assert_alike([volume], theirs(tmp_path / "in", tmp_path / "out"))


def test_sizes_that_are_mixed_in_a_series(tmp_path, dicom, voxels, affine):
    small = voxels[:5, :4] + np.int16(1000)
    dicom.write(tmp_path / "in/a", voxels, affine)
    dicom.write(tmp_path / "in/b", small, affine)
    found, _ = ours(tmp_path / "in")
    assert_alike([volume for _, volume in found], theirs(tmp_path / "in", tmp_path / "out"))


def test_echoes_of_a_series(tmp_path, dicom, voxels, affine):
    for number in (1, 2, 3):
        dicom.write(
            tmp_path / "in" / str(number),
            voxels + np.int16(1000 * number),
            affine,
            EchoTime=f"{2.5 * number}",
            EchoNumbers=number,
            each=lambda k, number=number: {"InstanceNumber": 7 * number + k},
            **MR,
        )
    found, _ = ours(tmp_path / "in")
    assert [case.frame for case, _ in found] == [None] * 3
    assert_alike([volume for _, volume in found], theirs(tmp_path / "in", tmp_path / "out"))


def frames_of(tmp_path, dicom, voxels, affine, tags, *, count=3, number=None, **common):
    """Write frames; `tags(frame, k)` of each, numbered frame by frame or as `number` says."""
    number = number or (lambda frame, k: 7 * frame + k + 1)
    for frame in range(count):
        dicom.write(
            tmp_path / "in" / str(frame),
            voxels + np.int16(1000 * frame),
            affine,
            each=lambda k, frame=frame: {"InstanceNumber": number(frame, k)} | tags(frame, k),
            **MR | common,
        )
    found, codes = ours(tmp_path / "in")
    assert set(codes) == {"image"}
    assert [case.frame for case, _ in found] == list(range(count))
    return [volume for _, volume in found]


@pytest.mark.parametrize(
    "tags",
    [
        lambda frame, k: {"TemporalPositionIdentifier": frame + 1},
        lambda frame, k: {"AcquisitionNumber": frame + 1},
        lambda frame, k: {"AcquisitionTime": f"1200{10 * frame + k:02d}"},
        # Weightings in the order in which they were made.
        lambda frame, k: {"DiffusionBValue": [1000.0, 0.0, 500.0][frame]},
    ],
)
def test_frames_in_their_order(tmp_path, dicom, voxels, affine, tags):
    volumes = frames_of(tmp_path, dicom, voxels, affine, tags)
    for frame, (volume, image) in enumerate(
        zip(volumes, theirs(tmp_path / "in", tmp_path / "out"), strict=True)
    ):
        np.testing.assert_array_equal(volume.voxels[0], voxels + 1000 * frame)
        assert_alike([volume], [image])


def test_phases_of_a_heartbeat_whose_length_varies(tmp_path, dicom, voxels, affine):
    def delay(frame, k):
        return {"TriggerTime": f"{frame * (30 + k) + k}", "CardiacNumberOfImages": 3}

    def slice_by_slice(frame, k):
        return 3 * k + (frame + 1) % 3 + 1  # not in the order of the phases

    volumes = frames_of(tmp_path, dicom, voxels, affine, delay, number=slice_by_slice)
    for frame, volume in enumerate(volumes):
        np.testing.assert_array_equal(volume.voxels[0], voxels + 1000 * frame)


def test_trace_and_adc_beside_their_weightings(tmp_path, dicom, voxels, affine):
    kinds = ["DIFFUSION", "TRACEW", "ADC"]
    for number, kind in enumerate(kinds):
        for frame in range(2 if kind == "DIFFUSION" else 1):
            dicom.write(
                tmp_path / kind / str(frame),
                voxels + np.int16(1000 * number + 200 * frame),
                affine,
                ImageType=["DERIVED", "PRIMARY", "DIFFUSION", kind, "ND"],
                AcquisitionNumber=frame + 1,
                **MR,
            )
    found, _ = ours(tmp_path)
    assert [(int(v.voxels.min()), case.frame) for case, v in found] == [
        (1950, None), (-50, 0), (150, 1), (950, None),
    ]  # fmt: skip


def shifted(affine, mm):
    """Positions whose k-th is shifted along a column by so many mm a slice."""
    world = np.diag([-1, -1, 1, 1]) @ affine
    column = world[:3, 1] / np.linalg.norm(world[:3, 1])

    def each(k):
        return {
            "ImagePositionPatient": [
                f"{v:.9g}" for v in (world @ [0, 0, k, 1])[:3] + mm * k * column
            ]
        }

    return each


@pytest.mark.parametrize("mm", [0.4, -0.4])
@pytest.mark.parametrize("is_reversed", [False, True])
@pytest.mark.parametrize("tag", [None, "9.1", "-9.1"])
@pytest.mark.parametrize("manufacturer", ["GE MEDICAL SYSTEMS", "Philips"])
def test_a_tilt_is_that_of_the_positions_whatever_the_tag(
    tmp_path, dicom, tag, manufacturer, mm, is_reversed
):
    i, j, k = np.indices((16, 20, 7))
    stored = (40 * i + 25 * j + 100 * k + 7).astype(np.int16)
    grid = turned(POSITIONS["HFS"])
    tags = {"Manufacturer": manufacturer} | ({} if tag is None else {"GantryDetectorTilt": tag})
    move = shifted(grid, mm)

    def each(k):
        return move(k) | {"InstanceNumber": 7 - k if is_reversed else k + 1}

    dicom.write(tmp_path / "in", stored, grid, each=each, **tags)
    refused, codes = ours(tmp_path / "in")
    assert (refused, set(codes)) == ([], {"sheared"})
    volume = DicomSeries(Allowed(tilted=True)).read(tmp_path / "in")
    theirs(tmp_path / "in", tmp_path / "out")
    (path,) = (tmp_path / "out").glob("*_Tilt*.nii")
    expected, other = in_ras(nibabel.load(path))
    found, affine = in_ras(nibabel.Nifti1Image(volume.voxels[0], volume.affine))
    assert np.abs(found.astype(int) - expected).max() <= 1  # they interpolate in float32
    # Where dcm2niix says they are is off by the drift if the slices are numbered downwards, and
    # by the part of a row that the plane grows too much if they drift along j.
    drift_mm, row_mm = 6 * mm, 0.75
    other[1, 3] += drift_mm if is_reversed else 0
    other[1, 3] += (np.ceil(drift_mm / row_mm) - drift_mm / row_mm) * row_mm if mm > 0 else 0
    np.testing.assert_allclose(affine, other, atol=1e-3)


RANGES = {
    "a gap": (0, 25),
    "an overlap": (0, 8),
    "another grid": (0, 12.5),
}


@pytest.mark.parametrize("name", RANGES)
def test_a_range_that_was_planned_apart_is_a_volume_of_its_own(tmp_path, dicom, affine, name):
    stored = np.arange(6 * 5 * 14, dtype=np.int16).reshape(6, 5, 14)
    for number, start in enumerate(RANGES[name]):
        grid = affine.copy()
        grid[:3, 3] += affine[:3, 2] * start
        dicom.write(
            tmp_path / str(number), stored + np.int16(1000 * number), grid, AcquisitionNumber=number
        )
    found, codes = ours(tmp_path)
    assert set(codes) == {"image"}
    headers = [header for path in tmp_path.rglob("*.dcm") for header in read_headers(path)]
    assert len(list(stacks(headers, Allowed(tilted=True, uneven=True)))) == 2
    for number, (case, volume) in enumerate(found):
        np.testing.assert_array_equal(volume.voxels[0], stored + 1000 * number)
        assert case.frame is None
    assert len({case.case_id for case, _ in found}) == 2


@pytest.mark.parametrize(
    ("second", "code"),
    [
        ({"start": 15, "count": 14}, "missing_slice"),  # one slice short of one grid
        ({"start": 0.1, "count": 1}, "uneven_spacing"),  # no volume by itself
    ],
)
def test_a_lack_of_few_slices_is_no_other_range(tmp_path, dicom, affine, second, code):
    stored = np.arange(6 * 5 * 14, dtype=np.int16).reshape(6, 5, 14)
    dicom.write(tmp_path / "0", stored, affine, AcquisitionNumber=0)
    grid = affine.copy()
    grid[:3, 3] += affine[:3, 2] * second["start"]
    dicom.write(tmp_path / "1", stored[:, :, : second["count"]], grid, AcquisitionNumber=1)
    found, codes = ours(tmp_path)
    assert (found, set(codes)) == ([], {code})


@pytest.mark.parametrize(
    ("start", "length"),
    [(0, 14), (4, 7), (2.4, 7)],
    ids=["another time", "an overlap of few slices", "half a step beside it"],
)
def test_short_ranges_that_overlap_are_volumes_of_their_own(tmp_path, dicom, affine, start, length):
    stored = np.arange(6 * 5 * length, dtype=np.int16).reshape(6, 5, length)
    grid = affine.copy()
    grid[:3, 3] += affine[:3, 2] * start
    dicom.write(tmp_path / "0", stored, affine, AcquisitionNumber=0)
    dicom.write(tmp_path / "1", stored + np.int16(1000), grid, AcquisitionNumber=1)
    found, codes = ours(tmp_path)
    assert set(codes) == {"image"}
    assert [int(volume.voxels.min()) for _, volume in found] == [0, 1000]
    assert [case.frame for case, _ in found] == ([0, 1] if start == 0 else [None, None])
    assert [volume.voxels.shape[3] for _, volume in found] == [length, length]


TOLD_APART = {
    "time": lambda n: {"TemporalPositionIdentifier": n + 1},
    "weighting": lambda n: {"DiffusionBValue": 500.0 * n},
    "acquisition": lambda n: {"AcquisitionNumber": n + 1},
    "hour": lambda n: {"AcquisitionTime": f"10000{n}"},
}


@pytest.mark.parametrize("tags", TOLD_APART.values(), ids=TOLD_APART)
@pytest.mark.parametrize("lacks", [{6}, {3}, {0, 4}])
def test_of_frames_those_that_lack_a_slice_are_refused_and_no_other(
    tmp_path, dicom, affine, voxels, tags, lacks
):
    for number in range(3):
        skip = lacks if number == 1 else set()
        values = voxels + np.int16(1000 * number)
        dicom.write(tmp_path / str(number), values, affine, skip=skip, **MR, **tags(number))
    ledger = Ledger(Pseudonyms(b"some secret of 16 bytes"))
    found = list(volumes_of(tmp_path, ledger))
    assert [(int(v.voxels.min()), case.frame) for case, v in found] == [(-50, 0), (1950, 2)]
    refused = [entry for entry in ledger.entries.values() if entry.code == "missing_slice"]
    assert len(refused) == 7 - len(lacks)
    first = min(lacks) + 1
    expected = f"frame 1 of 3 has {len(refused)} of 7 slices; there is none at position {first} (at"
    assert all(expected in entry.sentence for entry in refused)


@pytest.mark.parametrize("kind", ["time", "weighting"])
@pytest.mark.parametrize("start", [7, 0.5], ids=["one after the other", "in turn"])
def test_times_and_weightings_that_share_no_position_are_volumes(
    tmp_path, dicom, affine, voxels, kind, start
):
    grid = affine.copy()
    grid[:3, 3] += affine[:3, 2] * start
    for number, place in enumerate((affine, grid)):
        values = voxels + np.int16(1000 * number)
        dicom.write(tmp_path / str(number), values, place, **MR, **TOLD_APART[kind](number))
    found, codes = ours(tmp_path)
    assert set(codes) == {"image"}
    for number, (case, volume) in enumerate(found):
        np.testing.assert_array_equal(volume.voxels[0], voxels + 1000 * number)
        assert case.frame is None
    assert len(found) == 2


@pytest.mark.parametrize("kind", ["time", "weighting"])
def test_a_volume_whose_slices_count_as_times_is_one(tmp_path, dicom, affine, voxels, kind):
    dicom.write(tmp_path, voxels, affine, each=TOLD_APART[kind], **MR)
    ((_, volume),), codes = ours(tmp_path)
    assert set(codes) == {"image"}
    np.testing.assert_array_equal(volume.voxels[0], voxels)


@pytest.mark.parametrize("skip", [{7}, {4}, {0, 8}])
def test_table_positions_that_lack_a_slice_are_not_taken_apart(tmp_path, dicom, affine, skip):
    stored = np.arange(6 * 5 * 16, dtype=np.int16).reshape(6, 5, 16)
    dicom.write(tmp_path, stored, affine, skip=skip, each=lambda k: {"AcquisitionNumber": k // 4})
    found, codes = ours(tmp_path)
    assert (found, set(codes)) == ([], {"missing_slice"})


def test_an_enhanced_image_of_several_planes(tmp_path, dicom, voxels):
    grids = [turned(POSITIONS["HFS"]), turned([0, 1, 0, 0, 0, -1])]

    def each(volume, k):
        world = np.diag([-1, -1, 1, 1]) @ grids[volume]
        cosines = (world[:3, :2] / np.linalg.norm(world[:3, :2], axis=0)).T.ravel()
        return {
            "PlaneOrientationSequence": {"ImageOrientationPatient": dicom.decimals(cosines)},
            "PlanePositionSequence": {
                "ImagePositionPatient": dicom.decimals((world @ [0, 0, k, 1])[:3])
            },
        }

    two = np.stack([voxels, voxels + np.int16(1000)])
    found = dicom.enhanced_of(
        two, grids[0], each=each, SOPClassUID=EnhancedCTImageStorage, Modality="CT"
    )
    del found.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence
    dicom.save(found, tmp_path / "a.dcm")
    cases, codes = ours(tmp_path)
    assert codes == ["image"]
    for (_, volume), expected, grid in zip(cases, two, grids, strict=True):
        np.testing.assert_array_equal(volume.voxels[0], expected)
        np.testing.assert_allclose(volume.affine, grid, atol=1e-6)


def test_an_enhanced_pet_image_has_a_scale_a_frame(tmp_path, dicom, voxels, affine):
    def each(_, k):
        return {
            "PixelValueTransformationSequence": {
                "RescaleSlope": 1 + k / 4, "RescaleIntercept": 0, "RescaleType": "US",
            },
            "PETFrameTypeSequence": {"FrameType": ["ORIGINAL", "PRIMARY", "STATIC", "NONE"]},
        }  # fmt: skip

    tags = {"SOPClassUID": EnhancedPETImageStorage, "Modality": "PT"}
    path = dicom.save(dicom.enhanced_of(voxels[None], affine, each=each, **tags), tmp_path / "a")
    ((case, volume),), _ = ours(tmp_path)
    frames = highdicom.imread(path).get_frames(apply_real_world_transform=False)
    expected = np.moveaxis(frames, 0, 2).transpose(1, 0, 2)
    np.testing.assert_allclose(volume.voxels[0], expected, rtol=1e-6)
    np.testing.assert_allclose(volume.affine, affine, atol=1e-6)
    assert (case.modality, case.attributes["rescale"]) == ("PT", "of each slice its own")


def test_magnitude_and_phase_of_two_stacks_are_four_volumes(tmp_path, dicom, voxels, affine):
    stacks = np.stack([voxels + np.int16(1000 * number) for number in range(4)])

    def each(number, k):
        stack, is_phase = divmod(number, 2)
        place = np.diag([-1, -1, 1, 1]) @ affine @ [0, 0, k + 20 * stack, 1]
        kind = "PHASE" if is_phase else "MAGNITUDE"
        return {
            "PlanePositionSequence": {"ImagePositionPatient": dicom.decimals(place[:3])},
            "FrameContentSequence": {"StackID": str(stack + 1), "InStackPositionNumber": k + 1},
            "MRImageFrameTypeSequence": {
                "FrameType": ["ORIGINAL", "PRIMARY", "M", "NONE"],
                "ComplexImageComponent": kind,
            },
        }

    order = [(number, k) for k in range(7) for number in range(4)]
    found = dicom.enhanced_of(stacks, affine, each=each, order=order, Manufacturer="Philips")
    dicom.save(found, tmp_path / "a.dcm")
    cases, codes = ours(tmp_path)
    assert codes == ["image"]
    for number, (case, volume) in enumerate(cases):
        np.testing.assert_array_equal(volume.voxels[0], stacks[number])
        assert case.frame is None


def test_thousands_of_slices_are_told_apart_in_time(tmp_path, dicom, voxels, affine):
    (path,) = dicom.write(tmp_path, voxels, affine, skip=set(range(1, 7)))
    (header,) = read_headers(path)

    def seconds(count):
        headers = [
            replace(
                header,
                sop_uid=f"1.{frame}.{k}",
                position_mm=(0.0, 0.0, 3.0 * k),
                moments={"InstanceNumber": 35.0 * frame + k},
            )
            for frame in range(count)
            for k in range(35)
        ]
        shuffled = [headers[row] for row in np.random.default_rng(0).permutation(len(headers))]
        start = time.process_time()  # of this process alone
        assert [stack.frame for stack in stacks(shuffled)] == list(range(count))
        return time.process_time() - start

    few, many = min(seconds(20) for _ in range(2)), min(seconds(80) for _ in range(2))
    assert many < 8 * few  # four times as many; their square would be sixteen
