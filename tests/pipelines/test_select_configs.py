"""Every config of `select` as it is shipped, on a small cohort described as it asks for."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from scipy.ndimage import gaussian_filter
from selections import write_cases, write_voxels

from medssl.models.encoders.small_conv import SmallConv
from medssl.models.export import write_export
from pipelines.__main__ import main

CONFIGS = Path("configs").resolve()
SHAPE = (16, 18, 12)
SUBJECTS = 10
FIRST = [1, 2, 4, 6, 8, 10]  # slices that are not like one before; slice 0 shows nothing
DESCRIBED = ["dhash", "dhash_volumes", "content", "thumbnails", "radiometry"]

# How alike dropped rows are at least to what stands for them, and what they have in common.
LIMITS = {
    "near_duplicates": (1 - 6 / 64, "subject"),
    "near_duplicate_volumes": (1 - 144 / 1536, "subject"),
    "ssim": (0.8, "case"),
    "nmi": (0.5, "case"),
    "deep_net": (0.95, "all"),
}
# Of 20 volumes or of 220 slices that show something.
COUNTS = {
    "uniform": 22,
    "cluster_balance": 2,
    "facility_location": 2,
    "k_center": 2,
    "quotas": 2,
}
OTHERS = {"all", "calibrated", "chain", "entropy_filter", "every_n", "simcore"}
# Run in `test_select.py`.
ELSEWHERE = {"reduce_then_simcore"}


def volume(seed):
    """Six unlike planes, each twice, the second a little darker; the first slice is black.

    The fourth plane of the first volume is of two greys, one of which is rare.
    """
    noise = np.random.default_rng(seed).normal(size=(*SHAPE[:2], 6))
    fields = gaussian_filter(noise, (1.5, 1.5, 0))
    low, high = fields.min(axis=(0, 1)), fields.max(axis=(0, 1))
    planes = 100 + 800 * (fields - low) / (high - low)
    if seed == 0:
        planes[..., 3] = 500
        planes[3:5, 3:5, 3] = 600
    voxels = np.repeat(planes, 2, axis=2)
    voxels[..., 1::2] *= 0.99
    voxels[..., 0] = 0
    return voxels


def subject(case):
    return f"s{int(case[1:]) // 2}"


def export(folder, spatial_dims):
    torch.manual_seed(0)
    shape = {"in_channels": 1, "width": 4, "spatial_dims": spatial_dims}
    seen = pa.table({"subject_id": ["x"], "digest": ["x"]})
    card = {"encoder": {"name": "small_conv", **shape}}
    write_export(folder, {"encoder": SmallConv(**shape)}, card, subjects=seen)


def embed(name, **keys):
    flags = [word for key, value in keys.items() for word in ("--set", f"{key}={value}")]
    assert main(["embed", str(CONFIGS / "embed" / f"{name}.yaml"), *flags]) == 0


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with what the configs name: twenty volumes, two of a subject, and a cohort."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        outputs, cases = Path("outputs"), [f"c{number}" for number in range(2 * SUBJECTS)]
        outputs.mkdir()
        known = [
            {"case_id": case, "subject_id": subject(case), "site": "xy"[int(case[1:]) // 2 % 2]}
            for case in cases
        ]
        write_cases(outputs, *known, {"case_id": "t0", "split": "test"}, shape=SHAPE)
        for number, case in enumerate(cases):
            gain = 1 if number % 2 == 0 else 1.02
            write_voxels(outputs, case, gain * volume(number // 2))
        write_voxels(outputs, "t0", volume(97))

        # Of the cohort one subject is learned from, and one is evaluated on that the archive has.
        (outputs / "cohort").mkdir()
        evaluated = {"case_id": "t2", "subject_id": "s4", "split": "test"}
        write_cases(outputs / "cohort", {"case_id": "t1"}, evaluated, shape=SHAPE)
        for name, seed in (("t1", 98), ("t2", 99)):
            write_voxels(outputs / "cohort", name, volume(seed))

        for name in DESCRIBED:
            embed(name)
        of_cohort = {"manifest": "outputs/cohort/cache/manifest.parquet"}
        for name, spatial_dims in (("encoder", 3), ("encoder_slices", 2)):
            asked = yaml.safe_load((CONFIGS / "embed" / f"{name}.yaml").read_text())
            export(Path(asked["export"]), spatial_dims)
            embed(name, device="cpu")
        embed("encoder_slices", device="cpu", output="outputs/cohort/slice_vectors", **of_cohort)
    return home


def select(home, name, monkeypatch):
    """Run a config as it is; return what was decided on, step by step."""
    monkeypatch.chdir(home)
    path = CONFIGS / "select" / f"{name}.yaml"
    assert main(["select", str(path), "--set", "num_examples=1"]) == 0
    output = Path(yaml.safe_load(path.read_text())["output"])
    assert (output / "manifest.parquet").is_file()
    rows = pq.read_table(output / "audit.parquet").to_pylist()
    decided = [row for row in rows if row["reason"] != "other_split"]
    assert len(decided) == len(rows) - 1
    return decided


def of(rows, reason):
    return [row for row in rows if row["reason"] == reason]


def places(rows):
    return {(row["case_id"], row["slice"]) for row in rows}


def kept_of(rows):
    return sorted(places(row for row in rows if row["kept"]))


def test_every_config_that_is_shipped_is_run_here():
    shipped = {path.stem for path in (CONFIGS / "select").glob("*.yaml")}
    assert shipped == LIMITS.keys() | COUNTS.keys() | OTHERS | ELSEWHERE


@pytest.mark.parametrize("name", LIMITS)
def test_what_is_dropped_is_as_like_another_as_its_config_says(home, monkeypatch, name):
    rows = select(home, name, monkeypatch)
    least, scope = LIMITS[name]
    kept, dropped = places(of(rows, "kept")), of(rows, "represented")
    assert len(kept) + len(dropped) + len(of(rows, "blank")) == len(rows)
    assert dropped
    for row in dropped:
        case, other = row["case_id"], row["stands_for_case"]
        assert (other, row["stands_for_slice"]) in kept
        assert row["similarity"] >= least
        assert scope != "case" or case == other
        assert scope != "subject" or subject(case) == subject(other)


def test_of_copies_of_slices_the_first_of_a_subject_is_kept(home, monkeypatch):
    firsts = [(f"c{2 * number}", k) for number in range(SUBJECTS) for k in FIRST]
    assert kept_of(select(home, "near_duplicates", monkeypatch)) == sorted(firsts)


def test_of_copies_of_volumes_the_first_of_a_subject_is_kept(home, monkeypatch):
    firsts = [(f"c{2 * number}", None) for number in range(SUBJECTS)]
    assert kept_of(select(home, "near_duplicate_volumes", monkeypatch)) == sorted(firsts)


@pytest.mark.parametrize("name", ["ssim", "nmi"])
def test_of_a_volumes_slices_those_that_are_unlike_others_are_kept(home, monkeypatch, name):
    firsts = [(f"c{number}", k) for number in range(2 * SUBJECTS) for k in FIRST]
    assert kept_of(select(home, name, monkeypatch)) == sorted(firsts)


@pytest.mark.parametrize("name", COUNTS)
def test_as_many_are_kept_as_a_config_says(home, monkeypatch, name):
    rows = select(home, name, monkeypatch)
    assert len(of(rows, "kept")) == COUNTS[name]
    if name == "quotas":  # one of each site, which subjects take turns to be of
        assert len({int(row["case_id"][1:]) // 2 % 2 for row in of(rows, "kept")}) == 2


def test_the_nearest_to_half_of_the_slices_that_can_be_kept_is(home, monkeypatch, capsys):
    """Slices of equal hashes cannot both be kept, whatever the radius: fewer than half differ."""
    rows = select(home, "calibrated", monkeypatch)
    kept = len(of(rows, "kept"))
    assert 80 < kept < 110
    assert {row["similarity"] for row in of(rows, "represented")} == {1.0}
    assert f"level 0, missed_rows {kept - 110}" in capsys.readouterr().out


def test_all_that_shows_something_is_kept(home, monkeypatch):
    rows = select(home, "all", monkeypatch)
    assert (len(of(rows, "kept")), len(of(rows, "blank"))) == (220, 20)
    assert {row["slice"] for row in of(rows, "blank")} == {0}


def test_every_tenth_slice_is_kept(home, monkeypatch):
    tenth = [(f"c{number}", k) for number in range(2 * SUBJECTS) for k in (1, 11)]
    assert kept_of(select(home, "every_n", monkeypatch)) == sorted(tenth)


def test_slices_of_next_to_one_grey_are_filtered(home, monkeypatch):
    rows = select(home, "entropy_filter", monkeypatch)
    assert places(of(rows, "filtered")) == {(case, k) for case in ("c0", "c1") for k in (6, 7)}
    assert (len(of(rows, "kept")), len(of(rows, "blank"))) == (216, 20)


def test_each_selector_of_a_chain_sees_what_the_one_before_it_left(home, monkeypatch):
    rows = select(home, "chain", monkeypatch)
    steps = [[row for row in rows if row["step"] == step] for step in range(3)]
    for before, after in pairwise(steps):
        assert sorted(places(after)) == kept_of(before)
    # Without the plane of two greys there are 59 of 60 that differ within their subjects.
    assert [len(kept_of(one)) for one in steps] == [216, 59, 30]


def test_what_is_like_the_target_is_kept_and_whom_it_is_evaluated_on_is_not(home, monkeypatch):
    rows = select(home, "simcore", monkeypatch)
    assert {row["case_id"] for row in of(rows, "evaluated")} == {"c8", "c9"}
    kept = of(rows, "kept")
    assert len(kept) == (220 - 22) // 2
    by_subject = [subject(row["case_id"]) for row in kept]
    assert max(map(by_subject.count, by_subject)) <= 20
