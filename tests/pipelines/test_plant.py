"""Planting, whole, in small balls in boxes: how many pieces become targets, and what stays."""

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cohorts import write_cohort
from nibabel.affines import apply_affine
from PIL import Image

from medssl.config.component import build, described
from medssl.config.load import load
from medssl.config.stages.plant import Plant
from medssl.data.balanced import rows_by_group
from medssl.data.cache import open_cached, write_cached
from medssl.data.manifest import Manifest, read_manifest, write_manifest
from medssl.data.planting import Scene
from medssl.data.planting.digits import written
from medssl.data.volume import Volume
from medssl.errors import ConfigError, DataError
from pipelines import plant
from pipelines.__main__ import main
from pipelines._files import write_json

DIGITS = {"name": "digits", "side_vox": 12, "digit_vox": 8, "high": 2.0}
LESION = {"name": "lesion", "radius_mm": [1.5, 2.0], "margin_mm": 0.5}
AFFINE = np.array([[1.0, 0.1, 0, -8], [-0.1, 1.0, 0, 3], [0, 0, 2.0, 40], [0, 0, 0, 1]])


def config(cohort, output, **keys):
    tree = {"manifest": cohort / "manifest.parquet", "output": output, "planting": DIGITS} | keys
    return load(Plant, None, [f"{k}={json.dumps(v, default=str)}" for k, v in tree.items()])


def planted(cohort, output, **keys):
    plant.run(config(cohort, output, **keys))
    return {case.case_id: case for case in read_manifest(output / "manifest.parquet")}


def rewrite(cohort, change):
    """Change the rows of a cohort's manifest."""
    path = cohort / "manifest.parquet"
    cases = [change(row, case) for row, case in enumerate(read_manifest(path))]
    write_manifest(Manifest.of(cases), path)
    return cohort


def contents(folder, pattern="*"):
    files = sorted(path for path in folder.rglob(pattern) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return write_cohort(tmp_path_factory.mktemp("cohort") / "cache")


@pytest.mark.parametrize("share", [0.5, 0.3])
def test_each_split_has_exactly_its_share_of_targets(cohort, tmp_path, share, capsys):
    found = planted(cohort, tmp_path / "out", share=share, per_case=5)
    assert len(found) == 5 * 8
    groups = Counter((case.split, case.group) for case in found.values())
    counts = {"train": 25, "val": 5, "test": 10}
    wanted = {split: round(share * count) for split, count in counts.items()}
    for split, count in counts.items():
        assert groups[split, "target"] == wanted[split]
        assert groups[split, "background"] == count - wanted[split]
    for subject in {case.subject_id for case in found.values()}:
        own = [case.group for case in found.values() if case.subject_id == subject]
        assert len(own) == 5
        assert abs(own.count("target") - 5 * share) <= 1
    told = json.loads((tmp_path / "out/planting.json").read_text())
    assert {split: counts["target"] for split, counts in told["pieces"].items()} == wanted
    assert told["planting"]["digit_vox"] == 8
    assert told["source"] == read_manifest(cohort / "manifest.parquet").digest()
    assert f"{wanted['train']} targets in train" in capsys.readouterr().out


@pytest.mark.parametrize("planting", [DIGITS, LESION], ids=lambda planting: planting["name"])
def test_only_targets_have_what_is_planted_and_all_have_the_common_factor(
    cohort, tmp_path, planting
):
    found = planted(cohort, tmp_path / "out", planting=planting, per_case=2)
    before = {case.case_id: case for case in read_manifest(cohort / "manifest.parquet")}
    names = {"digits": {"digit"}, "lesion": {"lesion_diameter_mm", "lesion_side"}}
    for name, case in found.items():
        told = names[planting["name"]] if case.group == "target" else set()
        assert case.attributes.keys() == told | {"foreground_ml"}
        source = open_cached(cohort / before[name.rpartition("-")[0]].image_uri)
        scene = Scene.of(Volume(source.read(), source.affine))
        assert float(case.attributes["foreground_ml"]) == pytest.approx(
            scene.foreground_ml, abs=1e-3
        )


def test_the_manifest_keeps_the_rest_and_its_volumes_are_as_it_says(tmp_path):
    changed = rewrite(
        write_cohort(tmp_path / "changed"),
        lambda row, case: replace(
            case, site=f"site {row % 2}", study_id=f"study {row}", attributes={"grade": str(row)}
        ),
    )
    out = tmp_path / "out"
    found = planted(changed, out, per_case=2)
    before = list(read_manifest(changed / "manifest.parquet"))
    assert [*found] == [f"{case.case_id}-{n}" for case in before for n in range(2)]
    moved = {"case_id", "digest", "image_uri", "label_uri", "shape", "spacing_mm", "affine"}
    same = vars(before[0]).keys() - moved - {"attributes", "group", "bytes"}
    for case, source in zip(found.values(), (case for case in before for _ in "01"), strict=True):
        assert {k: vars(case)[k] for k in same} == {k: vars(source)[k] for k in same}
        assert case.attributes["grade"] == source.attributes["grade"]
        assert case.label_uri is None
        piece = open_cached(out / case.image_uri)
        assert case.shape == list(piece.shape) == [12, 12, 1]
        np.testing.assert_array_equal(np.reshape(case.affine, (4, 4)), piece.affine)
        assert case.spacing_mm == [1.0, 1.0, 1.0]
        assert case.bytes == 4 * 12 * 12
        assert piece.source_shape == (16, 17, 18)
        np.testing.assert_array_equal(piece.source_affine, np.eye(4))
        assert piece.raw().dtype == np.float32
        np.testing.assert_array_equal(piece.read(), piece.raw())
        assert case.digest != source.digest
    assert len({case.digest for case in found.values()}) > 8
    contract = (out / "preprocessing.json").read_text()
    assert json.loads(contract) == json.loads((changed / "preprocessing.json").read_text())
    rows = rows_by_group(read_manifest(out / "manifest.parquet").split("train"), "group")
    assert [*rows] == ["background", "target"]
    with Image.open(out / "figures/examples.png") as figure:
        assert np.asarray(figure).std() > 10


def turned(cohort):
    """Give the volumes of a cohort another affine."""
    for path in sorted((cohort / "volumes").glob("*.b2nd")):
        old = open_cached(path)
        write_cached(
            path, Volume(old.raw(), AFFINE), intensity=old.intensity, key=path.stem,
            source_affine=old.source_affine, source_shape=old.source_shape,
        )  # fmt: skip
    return rewrite(cohort, lambda _, case: replace(case, affine=AFFINE.ravel().tolist()))


def test_what_a_piece_shows_lies_where_it_lay_in_the_source(tmp_path):
    cohort = turned(write_cohort(tmp_path / "cache"))
    found = planted(cohort, tmp_path / "out")
    planes = set()
    for case in found.values():
        piece = open_cached(tmp_path / "out" / case.image_uri)
        source = open_cached(cohort / "volumes" / f"{case.case_id[4:].partition('-')[0]}.b2nd")
        places = np.argwhere(np.ones(piece.shape))
        before = apply_affine(np.linalg.inv(source.affine) @ piece.affine, places)
        np.testing.assert_allclose(before, before.round(), atol=1e-9)
        i, j, k = before.round().astype(int).T
        expected = np.clip(source.read()[0, i, j, k] / 2, 0, 1) / 2
        outside = ((places < 2) | (places >= 10))[:, :2].any(axis=1)  # of the digit
        shown = piece.read()[0].ravel()
        if case.group == "background":
            outside[:] = True
        np.testing.assert_allclose(shown[outside], expected[outside], atol=1e-6)
        assert (shown >= expected - 1e-6).all()
        planes |= set(k.tolist())
    assert len(planes) > 2
    assert min(planes) >= 4
    assert max(planes) < 14


def test_digits_of_test_cases_are_in_no_other_split(cohort, tmp_path):
    # Where the image is black half of the digit is all there is; what shows nothing is no copy.
    black = DIGITS | {"low": 1e6, "high": 2e6}
    found = planted(cohort, tmp_path / "out", planting=black, per_case=6)
    held = {p.tobytes() for digit in written(is_held_out=True) for p in digit}
    seen = {p.tobytes() for digit in written(is_held_out=False) for p in digit}
    for case in found.values():
        shown = open_cached(tmp_path / "out" / case.image_uri).read()[0, :, :, 0]
        if case.group == "background":
            assert not shown.any()
        else:
            known = (2 * shown[2:10, 2:10].T[::-1]).astype(np.float32).tobytes()
            assert (known in held, known in seen) == (case.split == "test", case.split != "test")


def test_neither_the_order_of_cases_nor_jobs_nor_memory_change_a_piece(cohort, tmp_path):
    keys = {"per_case": 3, "planting": LESION}
    one = planted(cohort, tmp_path / "one", jobs=1, **keys)
    turned_round = tmp_path / "cache"
    turned_round.mkdir()
    for name in ("volumes", "preprocessing.json"):
        (turned_round / name).symlink_to(cohort / name)
    manifest = read_manifest(cohort / "manifest.parquet")
    write_manifest(manifest.keep(np.arange(8)[::-1]), turned_round / "manifest.parquet")
    other = planted(turned_round, tmp_path / "other", jobs=3, memory_gib=1e-6, **keys)
    assert one == other
    assert [*one] != [*other]
    assert contents(tmp_path / "one/volumes") == contents(tmp_path / "other/volumes")


def test_another_seed_gives_other_targets_and_other_pieces(cohort, tmp_path):
    one = planted(cohort, tmp_path / "one", per_case=4)
    other = planted(cohort, tmp_path / "other", per_case=4, seed=1)
    assert {k: c.group for k, c in one.items()} != {k: c.group for k, c in other.items()}
    assert {c.digest for c in one.values()} != {c.digest for c in other.values()}
    assert not contents(tmp_path / "one", "*.b2nd").keys() & contents(tmp_path / "other", "*.b2nd")


def test_copies_are_copies_still_where_they_are_of_one_group(tmp_path):
    cohort = write_cohort(tmp_path / "cache")
    first = next(iter(read_manifest(cohort / "manifest.parquet")))

    def copied(row, case):
        same = {"digest": first.digest, "image_uri": first.image_uri, "label_uri": None}
        return replace(case, **same) if row < 4 else case

    found = planted(rewrite(cohort, copied), tmp_path / "out", per_case=3)
    groups = Counter(case.group for case in found.values() if case.split == "train")
    assert groups == {"target": 8, "background": 7}
    pieces = {(case.group, case.case_id[-1]): case for case in list(found.values())[:12]}
    for case in list(found.values())[:12]:
        like = pieces[case.group, case.case_id[-1]]
        assert (case.digest, case.image_uri) == (like.digest, like.image_uri)


def test_a_run_that_was_stopped_goes_on_and_gives_the_same(cohort, tmp_path, monkeypatch):
    planted(cohort, tmp_path / "whole", per_case=2)
    out, writes = tmp_path / "out", []

    def stopping(tree, path):
        writes.append(path)
        if len(writes) >= 7:
            raise KeyboardInterrupt
        write_json(tree, path)

    monkeypatch.setattr("pipelines._pieces.write_json", stopping)
    with pytest.raises(KeyboardInterrupt):
        planted(cohort, out, per_case=2, jobs=1)
    assert not (out / "manifest.parquet").exists()
    # what kill -9 leaves: a piece of which nothing is known, one that is damaged, a half of one
    there = sorted((out / "volumes").glob("*.json"))
    assert len(there) == 6
    damaged = there[0].with_suffix(".b2nd")
    damaged.write_bytes(damaged.read_bytes()[:-9])
    (out / "volumes/.half.b2nd.part").write_bytes(b"half")
    kept = {path: path.stat().st_mtime_ns for path in there[1:]}
    monkeypatch.undo()
    planted(cohort, out, per_case=2)
    assert contents(out) == contents(tmp_path / "whole")
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_a_second_run_makes_no_piece(cohort, tmp_path, monkeypatch):
    planted(cohort, tmp_path / "out", planting=LESION)
    before = contents(tmp_path / "out")
    monkeypatch.setattr("pipelines._pieces.Scene.of", None)
    monkeypatch.setattr("pipelines._pieces.write_cached", None)
    planted(cohort, tmp_path / "out", planting=LESION)
    assert contents(tmp_path / "out") == before


def test_work_can_be_sent_to_another_process(cohort, tmp_path):
    planted(cohort, tmp_path / "one")
    manifest = read_manifest(cohort / "manifest.parquet")
    cfg = config(cohort, tmp_path / "two")
    text = json.dumps(described(cfg.planting), sort_keys=True)
    work = plant.PlantWork(cohort, tmp_path / "two", build(cfg.planting), text)
    units = plant.by_image(plant.cut_up(manifest, cfg))
    task, sent = pickle.loads(pickle.dumps((work.plant, units)))
    rows = [case for unit in sent for case in task(unit)]
    assert rows == list(read_manifest(tmp_path / "one/manifest.parquet"))


def test_where_the_source_lay_is_said_nowhere(tmp_path):
    cohort = write_cohort(tmp_path / "Qzxvkj^Jane" / "cache")
    planted(cohort, tmp_path / "out", planting=LESION)
    written_down = contents(tmp_path / "out")
    assert len(written_down) > 10
    for name, content in written_down.items():
        assert "Qzxvkj" not in name
        assert b"Qzxvkj" not in content


def test_an_empty_manifest_is_refused(tmp_path):
    cohort = write_cohort(tmp_path / "cache")
    write_manifest(Manifest.of([]), cohort / "manifest.parquet")
    with pytest.raises(DataError, match=r"expected cases, it lists none; give .* `medssl cache`"):
        planted(cohort, tmp_path / "out")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"slices": [3, 4]}, r"expected whole volumes, case case0 is reduced to 2 slices; give"),
        ({"attributes": {"digit": "3"}}, r"nothing was planted, case case0 has \['digit'\]; give"),
        ({"attributes": {"foreground_ml": "3"}}, r"planted, case case0 has \['foreground_ml'\]"),
    ],
)
def test_cases_that_are_not_as_they_were_cached_are_refused(tmp_path, change, message):
    cohort = rewrite(
        write_cohort(tmp_path / "cache"), lambda row, case: replace(case, **({} if row else change))
    )
    with pytest.raises(DataError, match=message) as said:
        planted(cohort, tmp_path / "out")
    assert len(str(said.value).splitlines()) == 1


def test_a_case_without_room_for_a_lesion_is_named(cohort, tmp_path):
    with pytest.raises(DataError, match=r"^case case0: expected room for a ball of 9 mm, .* lower"):
        planted(cohort, tmp_path / "out", planting=LESION | {"radius_mm": [1, 9]})
    with pytest.raises(DataError, match=r"^case case\d: expected tissue on the (left|right) for a"):
        planted(cohort, tmp_path / "out", planting=LESION | {"margin_mm": 5})


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"share": 0}, r"share: .*greater than 0, got 0"),
        ({"share": 1}, r"share: .*less than 1, got 1"),
        ({"per_case": 0}, r"per_case: .*greater than 0, got 0"),
        ({"planting": {"name": "digit"}}, r"planting: no 'digit' in .* Did you mean 'digits'\?"),
        (
            {"planting": {"name": "digits", "digit_vox": 40}},
            r"planting: digits: digit_vox must be from 8 to side_vox, got 40 and 32",
        ),
        ({"output": "cache/../cache"}, r"output: expected another folder than that of the m"),
    ],
)
def test_what_cannot_be_planted_is_refused_before_anything_is_read(keys, message):
    tree = {"output": "out"} | keys
    with pytest.raises(ConfigError, match=message):
        config(Path("cache"), **tree)


def test_the_command_line_plants_in_one_line(cohort, tmp_path, capsys):
    keys = [f"manifest={cohort / 'manifest.parquet'}", f"output={tmp_path / 'out'}"]
    keys += ["planting.side_vox=12", "planting.digit_vox=8"]
    flags = [word for key in keys for word in ("--set", key)]
    assert main(["plant", "configs/plant/digits.yaml", *flags]) == 0
    assert "16 pieces of 8 cases, 2 targets in test, 5 targets in train, 1 targets in val" in (
        capsys.readouterr().out
    )


KILLED = """
import sys, time
import pipelines._pieces
from medssl.data.planting import Scene
from pipelines.__main__ import main
from pipelines._files import write_json

plain = Scene.of.__func__

def slow(cls, volume):
    time.sleep(0.05)
    return plain(cls, volume)

Scene.of = classmethod(slow)
print("ready", flush=True)
main(sys.argv[1:])
"""


@pytest.mark.long
def test_a_killed_run_that_is_run_again_gives_the_same_folder(tmp_path):
    cohort = write_cohort(tmp_path / "cache", unlabeled=14)
    planted(cohort, tmp_path / "whole", planting=LESION, per_case=2)
    keys = [f"manifest={cohort / 'manifest.parquet'}", f"output={tmp_path / 'out'}", "per_case=2"]
    keys.append(f"planting={json.dumps(LESION)}")
    flags = [word for key in keys for word in ("--set", key)]
    out = tmp_path / "out"
    for there in (3, 15):
        command = [sys.executable, "-c", KILLED, "plant", *flags]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as run:
            assert run.stdout.readline() == b"ready\n"
            while len(list(out.glob("volumes/*.b2nd"))) < there:
                assert run.poll() is None
                time.sleep(0.001)
            os.kill(run.pid, signal.SIGKILL)
        for path in out.glob("volumes/*.b2nd"):
            open_cached(path).raw()
    assert not (out / "manifest.parquet").exists()
    planted(cohort, out, planting=LESION, per_case=2)
    assert contents(out) == contents(tmp_path / "whole")
