import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import yaml

import pipelines.cache
from medssl.config.load import load
from medssl.config.stages.cache import Cache
from medssl.data.cache import open_cached
from medssl.data.manifest import Case, Manifest, read_manifest, write_manifest
from medssl.data.readers.nifti import Nifti
from medssl.data.volume import Volume
from medssl.errors import ConfigError, DataError
from pipelines.__main__ import main

AFFINE = np.array([[0, 0, -3.0, 50], [2.0, 0, 0, -20], [0, 1.5, 0, 7], [0, 0, 0, 1]])
SHAPE = (9, 11, 6)


def case(name, *, split="train", **changes):
    return Case(
        **{
            "case_id": name,
            "digest": f"digest of {name}",
            "subject_id": f"subject of {name}",
            "modality": "MR",
            "image_uri": f"series:{name}",
            "label_uri": f"file:{name}",
            "shape": list(SHAPE),
            "spacing_mm": [2.0, 1.5, 3.0],
            "affine": AFFINE.ravel().tolist(),
            "attributes": {"grade": "5"},
            "split": split,
        }
        | changes
    )


class Archive:
    """Stands for `Source`: images and labels by name, and a list of what was asked for."""

    def __init__(self):
        self.asked, self.changed = [], {}

    def __call__(self, folder):
        return self

    def image(self, of):
        self.asked.append(f"image {of.case_id}")
        found = self.changed.get(f"image {of.case_id}", self.made(of.digest, 30, np.int16))
        if isinstance(found, Exception):
            raise found
        return found

    def label(self, of):
        self.asked.append(f"label {of.case_id}")
        return self.changed.get(f"label {of.case_id}", self.made(of.case_id, 3, np.uint8))

    def made(self, seed, top, dtype):
        rng = np.random.default_rng(list(seed.encode()))
        return Volume(rng.integers(0, top, (1, *SHAPE)).astype(dtype), AFFINE)


@pytest.fixture
def archive(monkeypatch):
    made = Archive()
    monkeypatch.setattr(pipelines.cache, "source_of", made)
    return made


def index(folder, *cases):
    write_manifest(Manifest.of(cases), folder / "manifest.parquet")
    return folder


def cached(tmp_path, *cases, **keys):
    index(tmp_path / "index", *cases)
    output = tmp_path / keys.pop("output", "cache")
    tree = {"index": str(tmp_path / "index"), "output": str(output)}
    tree |= {"preprocessing": {"crop_to_foreground": False}} | keys
    (tmp_path / "cache.yaml").write_text(yaml.safe_dump(tree))
    pipelines.cache.run(load(Cache, tmp_path / "cache.yaml"))
    return output


def contents(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_the_manifest_lists_the_cached_volumes_and_keeps_the_rest(tmp_path, archive):
    cases = [case("b", split="val", site="there"), case("a", label_uri=None)]
    output = cached(tmp_path, *cases)
    rows = list(read_manifest(output / "manifest.parquet"))
    assert [row.case_id for row in rows] == ["b", "a"]
    for row, before in zip(rows, cases, strict=True):
        volume = open_cached(output / row.image_uri)
        assert row.shape == list(volume.shape) == [6, 9, 11]
        assert row.spacing_mm == [3.0, 2.0, 1.5]
        np.testing.assert_array_equal(np.reshape(row.affine, (4, 4)), volume.affine)
        np.testing.assert_array_equal(volume.source_affine, AFFINE)
        assert volume.source_shape == SHAPE
        moved = {"image_uri", "label_uri", "shape", "spacing_mm", "affine", "bytes"}
        same = vars(before).keys() - moved
        assert {key: vars(row)[key] for key in same} == {key: vars(before)[key] for key in same}
    assert rows[1].label_uri is None
    assert json.loads((output / "preprocessing.json").read_text())["spacing_mm"] is None


def test_voxels_and_labels_are_the_sources_on_axes_r_a_s(tmp_path, archive):
    output = cached(tmp_path, case("a"))
    (row,) = read_manifest(output / "manifest.parquet")
    for uri, stored in (
        (row.image_uri, archive.made("digest of a", 30, np.int16)),
        (row.label_uri, archive.made("a", 3, np.uint8)),
    ):
        volume = open_cached(output / uri)
        image = nibabel.as_closest_canonical(nibabel.Nifti1Image(stored.voxels[0], AFFINE))
        np.testing.assert_array_equal(volume.raw()[0], np.asarray(image.dataobj))
        np.testing.assert_allclose(volume.affine, image.affine)
        assert volume.raw().dtype == stored.voxels.dtype


def test_labels_of_test_cases_are_not_asked_for(tmp_path, archive):
    output = cached(tmp_path, case("a"), case("b", split="test"), case("c", split="val"))
    assert sorted(archive.asked) == ["image a", "image b", "image c", "label a", "label c"]
    rows = read_manifest(output / "manifest.parquet")
    assert [row.label_uri is None for row in rows] == [False, True, False]
    assert len(list((output / "labels").iterdir())) == 2


def test_copies_share_a_volume_and_keep_their_own_labels(tmp_path, archive):
    output = cached(tmp_path, case("a"), case("b"), case("c", digest="digest of a"))
    a, b, c = read_manifest(output / "manifest.parquet")
    assert a.image_uri == c.image_uri != b.image_uri
    assert a.label_uri != c.label_uri
    assert sorted(name for name in archive.asked if "image" in name) == ["image a", "image b"]


def test_ct_has_a_window_and_other_modalities_percentiles(tmp_path, archive):
    contract = {"window_hu": [-5, 5], "crop_to_foreground": False}
    cases = [case("a", modality="CT"), case("b"), case("c", modality=None)]
    output = cached(tmp_path, *cases, preprocessing=contract)
    rows = read_manifest(output / "manifest.parquet")
    rules = [open_cached(output / row.image_uri).intensity for row in rows]
    assert [rule.offset for rule in rules] == [-5, 0, 0]
    assert [rule.high for rule in rules] == [1, 10, 10]


def test_planes_stay_where_they_are_and_mr_loses_its_bias_field_where_that_is_asked_for(
    tmp_path, archive
):
    keys = {"spacing_mm": [None, 1.0, 1.5], "crop_to_foreground": False}
    bias = {"bias_correction": {"iterations": [5, 5]}}
    cases = [case("a"), case("b", modality="CT")]
    plain = cached(tmp_path, *cases, output="plain", preprocessing=keys)
    even = cached(tmp_path, *cases, output="even", preprocessing=keys | bias)
    rows = [list(read_manifest(folder / "manifest.parquet")) for folder in (plain, even)]
    for before, after in zip(*rows, strict=True):
        assert before.shape == after.shape == [6, 18, 11]
        np.testing.assert_allclose([before.spacing_mm, after.spacing_mm], [[3.0, 1.0, 1.5]] * 2)
        first = open_cached(plain / before.image_uri).raw()
        second = open_cached(even / after.image_uri).raw()
        assert np.array_equal(first, second) == (before.modality == "CT")


def test_cases_of_one_kind_can_be_cached_alone(tmp_path, archive):
    cases = [case("a"), case("b", modality="CT"), case("c", site="here")]
    output = cached(tmp_path, *cases, only={"modality": "MR", "site": "here"})
    assert [row.case_id for row in read_manifest(output / "manifest.parquet")] == ["c"]
    assert not any("b" in asked.split() for asked in archive.asked)
    with pytest.raises(DataError, match=r"no case of modality 'PT'; expected one of .'CT', 'MR'."):
        cached(tmp_path, *cases, only={"modality": "PT"})
    with pytest.raises(ConfigError, match=r"only"):
        cached(tmp_path, *cases, only={"modalities": "PT"})


def test_cases_of_two_groups_can_be_cached_in_pairs_that_hardly_differ(tmp_path, archive, capsys):
    def nodule(name, diameter, verdict, split="train"):
        known = {"diameter_mm": str(diameter), "Diagnosis": verdict}
        return case(name, split=split, attributes=known)

    cases = [
        nodule("a", 5.0, "Benign"), nodule("b", 30.0, "Benign"), nodule("c", 5.4, "Malign"),
        nodule("d", 9.0, "Malign"), nodule("e", 9.3, "Benign", "test"),
        nodule("f", 20.0, "Benign", "test"), nodule("g", 20.5, "Malign", "test"),
    ]  # fmt: skip
    pairs = {
        "target": {"by": "Diagnosis", "equals": "Malign"},
        "attribute": "diameter_mm",
        "within": 0.5,
    }
    output = cached(tmp_path, *cases, matched=pairs)
    # d and e would be a pair, were they of one split
    kept = [row.case_id for row in read_manifest(output / "manifest.parquet")]
    assert kept == ["a", "c", "f", "g"]
    assert "4 of 7 cases have a partner in the other group" in capsys.readouterr().out
    assert not any("b" in asked.split() for asked in archive.asked)
    with pytest.raises(DataError, match=r"no two cases of both groups differ by at most 0\.1 in"):
        cached(tmp_path, *cases, matched=pairs | {"within": 0.1})
    with pytest.raises(DataError, match=r"7 of 7 cases lack the attribute 'size'"):
        cached(tmp_path, *cases, matched=pairs | {"attribute": "size"})


def test_a_second_run_reads_and_writes_no_image(tmp_path, archive):
    output = cached(tmp_path, case("a"), case("b"))
    before = {path: path.stat().st_mtime_ns for path in output.glob("*/*")}
    archive.asked.clear()
    cached(tmp_path, case("a"), case("b"))
    assert sorted(archive.asked) == ["label a", "label b"]
    assert {path: path.stat().st_mtime_ns for path in output.glob("*/*")} == before


def test_what_is_damaged_or_half_written_is_put_right(tmp_path, archive):
    output = cached(tmp_path, case("a"), case("b"))
    before = contents(output)
    for path in output.glob("*/*.b2nd"):
        path.write_bytes(path.read_bytes()[:-9])
        path.with_name(".gone.b2nd.part").write_bytes(b"half")
    cached(tmp_path, case("a"), case("b"))
    assert contents(output) == before


def test_a_corrected_label_is_cached_anew(tmp_path, archive):
    first = read_manifest(cached(tmp_path, case("a")) / "manifest.parquet")[0]
    archive.changed["label a"] = archive.made("corrected", 3, np.uint8)
    second = read_manifest(cached(tmp_path, case("a")) / "manifest.parquet")[0]
    assert first.label_uri != second.label_uri
    assert first.image_uri == second.image_uri


def test_jobs_and_memory_change_no_byte(tmp_path, archive):
    cases = [case(name) for name in "abcdefgh"]
    one = cached(tmp_path, *cases, output="one", jobs=1)
    many = cached(tmp_path, *cases, output="many", jobs=5, memory_gib=1e-6)
    assert contents(one) == contents(many)


def test_a_plan_says_the_preprocessing(tmp_path, archive):
    plan = {
        "preprocessing": {"spacing_mm": [4, 4, 4], "crop_to_foreground": False},
        "spatial_dims": 3,
        "crop_vox": [4, 4, 4],
        "batch_size": 2,
        "channels": [16],
    }
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(plan))
    output = cached(tmp_path, case("a"), preprocessing=None, plan=str(tmp_path / "plan.yaml"))
    assert read_manifest(output / "manifest.parquet")[0].spacing_mm == pytest.approx([4, 4, 4])

    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(plan | {"batch_sise": 2}))
    with pytest.raises(ConfigError, match=r"plan\.yaml .*: batch_sise: unknown key"):
        cached(tmp_path, case("a"), preprocessing=None, plan=str(tmp_path / "plan.yaml"))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ([], "preprocessing, plan: expected exactly one of the two, got neither"),
        (["preprocessing={}", "plan=p.yaml"], "exactly one of the two, got both"),
        (["preprocessing.spacing=3"], r"preprocessing\.spacing: unknown key"),
        (["preprocessing.spacing_mm=[1,2]"], r"preprocessing\.spacing_mm.*: "),
        (["preprocessing.window_hu=[5,2]"], r"window_hu must be a lower and a higher .* \(5.0, 2"),
    ],
)
def test_a_config_that_says_no_preprocessing_is_refused(keys, message):
    with pytest.raises(ConfigError, match=message):
        load(Cache, None, ["index=i", "output=o", *keys])


@pytest.mark.parametrize("error", [FileNotFoundError, PermissionError, DataError])
def test_an_image_that_cannot_be_read_any_more_is_named_without_its_path(tmp_path, archive, error):
    archive.changed["image b"] = error("/archive/Jane Doe/1.dcm")
    with pytest.raises(DataError, match=r"case b: .* \(series:b\) .* `medssl index` again") as said:
        cached(tmp_path, case("a"), case("b"))
    assert "Jane" not in str(said.value)
    assert error.__name__ in str(said.value)


@pytest.mark.parametrize(
    ("what", "volume", "message"),
    [
        ("image", Volume(np.zeros((1, 9, 11, 5)), AFFINE), r"shape \[9, 11, 6\], got \[9, 11, 5\]"),
        ("image", Volume(np.full((1, *SHAPE), np.nan), AFFINE), "expected finite voxels"),
        ("label", Volume(np.full((1, *SHAPE), 0.5), AFFINE), "whole numbers, got 0.5"),
    ],
)
def test_a_case_that_cannot_be_prepared_is_named(tmp_path, archive, what, volume, message):
    archive.changed[f"{what} a"] = volume
    with pytest.raises(DataError, match=f"case a: its {what} cannot be prepared: .*{message}"):
        cached(tmp_path, case("a"))


def test_an_index_without_cases_is_refused(tmp_path, archive):
    with pytest.raises(DataError, match=r"index: its manifest lists no case; see verdicts"):
        cached(tmp_path)


KILLED = """
import sys, time
from pathlib import Path
import pipelines.cache
from medssl.config.load import load
from medssl.config.stages.cache import Cache
sys.path.insert(0, sys.argv[1])
import {module} as tests

class Slow(tests.Archive):
    def image(self, of):
        time.sleep(0.05)
        return super().image(of)

pipelines.cache.source_of = Slow()
print("ready", flush=True)
pipelines.cache.run(load(Cache, Path(sys.argv[2])))
"""


@pytest.mark.long
def test_a_killed_run_that_is_run_again_gives_the_same_folder(tmp_path, archive):
    cases = [case(f"c{number}") for number in range(20)]
    whole = cached(tmp_path, *cases, output="whole")
    config = tmp_path / "killed.yaml"
    config.write_text((tmp_path / "cache.yaml").read_text().replace("whole", "cache"))
    module = Path(__file__).stem
    command = [sys.executable, "-c", KILLED.format(module=module), str(Path(__file__).parent)]
    output = tmp_path / "cache"
    for there in (2, 9):
        with subprocess.Popen([*command, str(config)], stdout=subprocess.PIPE) as run:
            assert run.stdout.readline() == b"ready\n"
            while len(list(output.glob("volumes/*.b2nd"))) < there:
                assert run.poll() is None
                time.sleep(0.001)
            os.kill(run.pid, signal.SIGKILL)
        for path in output.glob("*/*.b2nd"):
            open_cached(path).raw()
    assert not (output / "manifest.parquet").exists()
    assert contents(cached(tmp_path, *cases)) == contents(whole)


# Real images


class Mirror:
    """Stands for `Source`: files by their path below the mirror."""

    def __init__(self, root):
        self.root = root

    def __call__(self, folder):
        return self

    def image(self, of):
        return Nifti().read(self.root / of.image_uri, frame=of.frame)


def listed(root, path):
    image = nibabel.load(path)
    name = path.relative_to(root).as_posix()
    plain = case(name, label_uri=None, image_uri=name, shape=list(image.shape[:3]))
    plain = replace(plain, affine=image.affine.ravel().tolist(), modality=None)
    if len(image.shape) == 3:
        return [plain]
    frames = range(image.shape[3])
    return [replace(plain, case_id=f"{name}:{f}", digest=f"{name}:{f}", frame=f) for f in frames]


def compare(root, tmp_path, monkeypatch, paths):
    """Cache the files and compare each with nibabel's reading; return how many had no number."""
    monkeypatch.setattr(pipelines.cache, "source_of", Mirror(root))
    cases = [row for path in paths for row in listed(root, path)]
    output = cached(tmp_path, *cases)
    odd = 0
    for before, row in zip(cases, read_manifest(output / "manifest.parquet"), strict=True):
        volume = open_cached(output / row.image_uri)
        image = nibabel.as_closest_canonical(nibabel.load(root / before.image_uri))
        expected = np.asanyarray(image.dataobj)
        expected = expected if before.frame is None else expected[..., before.frame]
        bad = ~np.isfinite(expected)
        odd += bad.any()
        if bad.any():
            expected = np.where(bad, expected[~bad].min(), expected)
        np.testing.assert_array_equal(volume.raw()[0], expected, err_msg=before.case_id)
        np.testing.assert_allclose(volume.affine, image.affine, atol=1e-3)
        read = volume.read()
        assert np.isfinite(read).all()
        assert np.abs(read).max() <= 10
    return odd


@pytest.mark.mirror
def test_real_images_come_out_as_nibabel_brings_them_to_r_a_s(mirror, tmp_path, monkeypatch):
    paths = sorted((mirror / "msd_hippocampus" / "images").glob("*.nii.gz"))[::30]
    paths += sorted((mirror / "sct_spinal_cord").glob("[fmt]*/*.nii.gz"))[::3]
    paths += sorted((mirror / "sct_spinal_cord").rglob("mtr.nii.gz"))
    paths += sorted((mirror / "sct_spinal_cord").rglob("fmri_tsnr.nii.gz"))
    paths += sorted((mirror / "totalsegmentator_examples").glob("example_*_sm.nii.gz"))
    paths += sorted((mirror / "lidc_nodule_voi" / "image").glob("*.nii.gz"))[::100]
    assert compare(mirror, tmp_path, monkeypatch, sorted(set(paths))) >= 2


@pytest.mark.long
@pytest.mark.mirror
def test_all_real_images_come_out_as_nibabel_brings_them_to_r_a_s(mirror, tmp_path, monkeypatch):
    def is_volume(path):
        image = nibabel.load(path)
        return image.get_data_dtype().kind in "biuf" and len(image.shape) in (3, 4)

    paths = [path for path in sorted(mirror.rglob("*.nii*")) if is_volume(path)]
    assert len(paths) > 1900
    assert compare(mirror, tmp_path, monkeypatch, paths) >= 2


def test_the_command_line_says_in_one_line_what_is_wrong(tmp_path, capsys):
    keys = [f"index={tmp_path / 'nowhere'}", f"output={tmp_path / 'cache'}"]
    flags = [word for key in keys for word in ("--set", key)]
    assert main(["cache", "configs/cache/native.yaml", *flags]) == 2
    assert "nowhere/manifest.parquet" in capsys.readouterr().err
