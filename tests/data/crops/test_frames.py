from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from medssl.data.cache import write_cached
from medssl.data.crops.frames import Frames
from medssl.data.manifest import Case, Manifest
from medssl.data.preprocessing import Intensity
from medssl.data.volume import Volume
from medssl.errors import DataError

SHAPE = (7, 8, 5)
LENGTH = 20  # frames of the longer series
VOXELS = int(np.prod(SHAPE))


def case(series, frame, **more):
    return Case(
        case_id=f"{series}:{frame}",
        digest=f"{series}:{frame}",
        subject_id=series,
        series_id=series,
        frame=frame,
        image_uri=f"{series}{frame}.b2nd",
        shape=list(SHAPE),
        spacing_mm=[1.0, 1.0, 1.0],
        affine=np.eye(4).ravel().tolist(),
        split="train",
        **more,
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder of two series whose voxels say which frame and where they are."""
    root = tmp_path_factory.mktemp("frames")
    for number, series in enumerate("ab"):
        for frame in range(LENGTH):
            first = 1 + VOXELS * (LENGTH * number + frame)
            write_cached(
                root / f"{series}{frame}.b2nd",
                Volume(
                    np.arange(first, first + VOXELS, dtype=np.int32).reshape(1, *SHAPE), np.eye(4)
                ),
                intensity=Intensity(0.0, 1.0, -1e9, 1e9),
                source_affine=np.eye(4),
                source_shape=SHAPE,
                key=f"{series}{frame}",
            )
    return root


def shown(view):
    """Return the series, the frame and the place of the first voxel of a view."""
    number, place = divmod(int(view.flatten()[0]) - 1, VOXELS)
    return "ab"[number // LENGTH], number % LENGTH, np.unravel_index(place, SHAPE)


def two_series(frames=range(LENGTH)):
    # Mixed, and out of order, as a selection may leave them.
    return Manifest.of(case(series, frame) for frame in reversed(frames) for series in "ab")


def made(root, manifest=None, crop_vox=(2, 3, 2), **options):
    return Frames(
        two_series() if manifest is None else manifest, root, 0, crop_vox=crop_vox, **options
    )


@pytest.mark.parametrize("crop_vox", [(2, 3), (2, 3, 2)])
def test_views_are_of_frames_of_their_own_of_one_series_at_one_place(root, crop_vox):
    manifest = two_series()
    source = made(root, manifest, crop_vox, num_views=3)
    for row in range(len(manifest)):
        crops = source[1, row]
        views = [shown(view) for view in crops.image[0]]
        assert {series for series, _, _ in views} == {manifest[row].series_id}
        assert views[0][1] == manifest[row].frame
        assert len({frame for _, frame, _ in views}) == 3
        assert [list(place) for _, _, place in views] == crops.start[0].tolist()
        assert len({tuple(place) for _, _, place in views}) == 1


def test_views_have_places_of_their_own_where_they_share_none(root):
    source = made(root, shared_crop=False)
    apart = [source[epoch, 0].start[0] for epoch in range(20)]
    assert sum(not torch.equal(one, other) for one, other in apart) > 15
    views = source[0, 0]
    for view, start in zip(views.image[0], views.start[0], strict=True):
        assert list(shown(view)[2]) == start.tolist()


def test_views_of_a_slice_share_it_even_where_they_share_no_place(root):
    source = made(root, crop_vox=(2, 3), shared_crop=False)
    starts = torch.stack([source[epoch, 0].start[0] for epoch in range(30)])
    assert torch.equal(starts[:, 0, 2], starts[:, 1, 2])
    assert starts[:, 0, 2].unique().tolist() == list(range(SHAPE[2]))


def paper_gaps(length, draws, generator):
    """CVRL literally: an interval, then where it begins; whole frames, and never one twice."""
    gaps = []
    while len(gaps) < draws:
        interval = length * (1 - np.sqrt(1 - generator.random()))
        start = generator.uniform(0, length - interval)
        if gap := int(start + interval) - int(start):
            gaps.append(gap)
    return np.array(gaps)


def drawn_gaps(source, epochs):
    rows = range(len(source.manifest))
    pairs = [
        (source.numbers[row], source.numbers[other])
        for epoch in range(epochs)
        for row in rows
        for other in source._others(row, torch.Generator().manual_seed(1000 * epoch + row))
    ]
    return np.array([abs(int(one) - int(other)) for one, other in pairs])


def test_intervals_become_less_likely_linearly_as_in_cvrl(root):
    gaps = drawn_gaps(made(root), 150)
    assert len(gaps) == 6000
    # The paper's CDF, 2k/T - k^2/T^2, at whole frames of which none is met by itself.
    k = np.arange(1, LENGTH)
    cdf = (2 * k / LENGTH - k * (k + 1) / LENGTH**2) / (1 - 1 / LENGTH)
    expected = np.diff(cdf, prepend=0) * len(gaps)
    assert stats.chisquare(np.bincount(gaps, minlength=LENGTH)[1:], expected).pvalue > 0.01
    literal = paper_gaps(LENGTH, 6000, np.random.default_rng(0))
    assert stats.chisquare(np.bincount(literal, minlength=LENGTH)[1:], expected).pvalue > 0.01
    # The paper's mean of T/3, of frames that are never the same one.
    assert gaps.mean() == pytest.approx((LENGTH + 1) / 3, abs=0.2)


def test_around_a_circle_the_shorter_way_counts(root):
    source = made(root, periodic=True)
    gaps = drawn_gaps(source, 150)
    around = Counter(np.minimum(gaps, LENGTH - gaps).tolist())
    half = LENGTH // 2
    weights = np.array([(half + 1 - c) * (1 if c == half else 2) for c in range(1, half + 1)])
    expected = weights / weights.sum() * len(gaps)
    found = [around[c] for c in range(1, half + 1)]
    assert stats.chisquare(found, expected).pvalue > 0.01
    assert gaps.max() == LENGTH - 1  # the last and the first are neighbors


def test_a_short_series_gives_what_it_has(root):
    source = made(root, two_series(range(3, 5)), periodic=True)
    assert {shown(source[epoch, 0].image[0, 1])[1] for epoch in range(9)} == {3}
    assert {shown(source[epoch, 2].image[0, 1])[1] for epoch in range(9)} == {4}


def test_only_frames_that_the_manifest_lists_are_met(root):
    source = made(root, two_series(range(2, LENGTH, 5)))
    met = {shown(source[epoch, 0].image[0, 1])[1] for epoch in range(60)}
    assert met == {2, 7, 12}


@pytest.mark.parametrize(
    "change",
    [
        {"series_id": None},
        {"frame": None},
        {"attributes": {"part": "0.1"}},
    ],
)
def test_a_case_without_another_frame_is_refused(root, change):
    cases = [case("a", frame) for frame in range(3)]
    manifest = Manifest.of([*cases, replace(case("a", 3), **change)])
    expected = r"views of 2 frames .* 1 of 4 cases have fewer, the first a:3, with 1; leave"
    with pytest.raises(DataError, match=expected):
        made(root, manifest)


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [7, 8, 6]},
        {"affine": np.diag([1.0, 1, 2, 1]).ravel().tolist()},
        {"affine": None},
    ],
)
def test_frames_on_several_grids_are_refused(root, change):
    cases = [case(series, frame) for frame in range(3) for series in "ab"]
    manifest = Manifest.of([*cases, replace(case("a", 3), **change)])
    expected = r"on one grid, those of 1 of 2 do not, such as cases a:0 and a:3 of .* crop_to_fore"
    with pytest.raises(DataError, match=expected):
        made(root, manifest)


def test_fewer_frames_than_views_are_refused(root):
    with pytest.raises(DataError, match=r"views of 4 frames .* 6 of 6 cases .* a:2, with 3"):
        made(root, two_series(range(3)), num_views=4)
    with pytest.raises(ValueError, match="num_views must be at least 2, a frame each, got 1"):
        made(root, num_views=1)


def test_an_order_of_rows_changes_no_draw(root):
    manifest = two_series()
    turned = manifest.keep(np.arange(len(manifest))[::-1].copy())
    one, other = made(root, manifest)[4, 0], made(root, turned)[4, len(manifest) - 1]
    assert torch.equal(one.image, other.image)
