import json

import numpy as np
import pytest

from medssl.data.fingerprint import Fingerprint, Look, grid, measure
from medssl.data.manifest import Case, Manifest
from medssl.data.volume import Volume
from medssl.errors import DataError

# The axes run along S, R and A.
TURNED = np.array([[0, 2.0, 0, 0], [0, 0, -3.0, 0], [5.0, 0, 0, 0], [0, 0, 0, 1]])


def case(number, affine=TURNED, **changes):
    return Case(
        **{
            "case_id": f"c{number}",
            "digest": f"d{number}",
            "subject_id": f"s{number}",
            "modality": "CT",
            "image_uri": "",
            "shape": [60, 50, 40 + number],
            "spacing_mm": [5.0, 2.0, 3.0],
            "affine": affine.ravel().tolist(),
            "split": "train",
        }
        | changes
    )


def body_in_air(of):
    voxels = np.random.default_rng(0).normal(-1000, 10, (1, *of.shape))
    voxels[:, 20:40, 10:30] = np.random.default_rng(1).normal(40, 10, (1, 20, 20, of.shape[2]))
    return Volume(voxels.astype(np.int16), TURNED)


def test_a_cases_grid_is_along_r_a_and_s():
    assert grid(case(0)) == ([2.0, 3.0, 5.0], [50, 40, 60])
    assert grid(case(0, affine=np.eye(4))) == ([5.0, 2.0, 3.0], [60, 50, 40])


def test_headers_are_all_it_takes_where_nobody_looks():
    def read(of):
        raise AssertionError(of.case_id)

    found = measure(Manifest.of([case(0), case(1, modality=None)]), read, 0)
    assert found.modalities == {"CT": 1, "unknown": 1}
    np.testing.assert_array_equal(found.spacing_mm, [[2, 3, 5], [2, 3, 5]])
    np.testing.assert_array_equal(found.shape, [[50, 40, 60], [50, 41, 60]])
    np.testing.assert_array_equal(found.kept, [1, 1, 1])


@pytest.mark.parametrize(("looks", "rows"), [(1, [0]), (3, [0, 3, 6]), (99, range(7))])
def test_so_many_volumes_are_read_evenly_spread(looks, rows):
    read = []

    def image(of):
        read.append(of.case_id)
        return body_in_air(of)

    measure(Manifest.of([case(n) for n in range(7)]), image, looks)
    assert read == [f"c{row}" for row in rows]


def test_a_look_says_what_cropping_keeps_and_what_the_voxels_are():
    found = measure(Manifest.of([case(0)]), body_in_air, 1)
    (look,) = found.looks
    # R: 20 of 50 voxels and 5 more on both sides are 10 mm; A: all; S: 20 and 2 more of 60.
    np.testing.assert_allclose(look.kept, [30 / 50, 1, 24 / 60])
    np.testing.assert_allclose(found.kept, look.kept)
    assert look.percentiles[0] == pytest.approx(-1026, abs=5)
    assert look.percentiles[-1] == pytest.approx(64, abs=5)


def test_the_summary_is_json_with_percentiles_along_each_axis():
    cases = [case(n) for n in range(11)]
    summary = json.loads(json.dumps(measure(Manifest.of(cases), body_in_air, 1).summary()))
    assert summary["cases"] == 11
    assert summary["shape"]["median"] == [50, 45, 60]
    assert summary["shape"]["p10"] == [50, 41, 60]
    assert summary["extent_mm"]["max"] == [100, 150, 300]
    assert summary["looks"][0]["case_id"] == "c0"


def test_no_case_has_no_fingerprint():
    with pytest.raises(DataError, match="expected cases to take a fingerprint of, got none"):
        measure(Manifest.of([]), body_in_air, 1)


def test_levels_are_medians_by_modality():
    looks = [
        Look(case_id=str(n), modality=modality, kept=(1.0, 1.0, 1.0), percentiles=percentiles)
        for n, (modality, percentiles) in enumerate(
            [("MR", (1.0, 20.0)), ("CT", (-5.0, 7.0)), ("MR", (3.0, 60.0)), (None, (0.0, 1.0))]
        )
    ]
    found = Fingerprint(
        modalities={},
        spacing_mm=np.ones((4, 3)),
        shape=np.ones((4, 3), np.int64),
        looks=tuple(looks),
    )
    assert found.levels == {"CT": (-5.0, 7.0), "MR": (2.0, 40.0), "unknown": (0.0, 1.0)}
    assert list(found.levels) == ["CT", "MR", "unknown"]
    assert found.summary()["levels"] == found.levels
