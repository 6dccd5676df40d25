"""`probe` on vectors that are made up, and its baselines on real nodules."""

import json
from pathlib import PurePosixPath

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from sklearn.metrics import roc_auc_score

from medssl.data.manifest import Case, Manifest, read_manifest, write_manifest
from pipelines.__main__ import main
from pipelines._parts import Part, Rows, write_part

TARGETS = {
    "malign": {"attribute": "verdict", "equals": "Malign"},
    "malign_large": {
        "attribute": "verdict",
        "equals": "Malign",
        "within": {"attribute": "diameter", "low": 6.0, "high": 12.0},
    },
    "malign_matched": {
        "attribute": "verdict",
        "equals": "Malign",
        "matched": {"attribute": "diameter", "within": 1.0},
    },
    "solid": {"attribute": "texture", "at_least": 4},
    "ground_glass": {"attribute": "texture", "below": 4},
}
ONE = {"malign": TARGETS["malign"]}
SHORT = {"num_folds": 3, "num_repeats": 2, "num_resamples": 100}


def cases(change=None):
    """Cases of 40 subjects, one or two each; the larger half of them are malign, but for some."""
    rng = np.random.default_rng(0)
    diameter = rng.uniform(4, 14, size=60)
    malign = diameter + rng.normal(scale=2, size=60) > 9
    found = []
    for n in range(60):
        attributes = {
            "diameter": f"{diameter[n]:.3f}",
            "verdict": "Malign" if malign[n] else "Benign",
            "texture": str(1 + n % 5),
        }
        found.append(
            Case(
                case_id=f"c{n}",
                digest=f"d{n}",
                subject_id=f"s{n % 40}",
                image_uri=f"volumes/c{n}.b2nd",
                shape=[20, 21, 4 + int(diameter[n])],
                spacing_mm=[1.0, 1.0, 1.0],
                attributes=attributes | (change or {}).get(n, {}),
                split="test",
            )
        )
    other = Case(**vars(found[0]) | {"case_id": "x", "digest": "x", "subject_id": "x"})
    return [*found, Case(**vars(other) | {"split": "train", "attributes": {}})]


def malign_of(some):
    return np.array([case.attributes["verdict"] == "Malign" for case in some])


def embedding(folder, values, of=None, *, cell=None, unit="volume", kind="vector"):
    """Write what `embed` leaves; without a manifest of the cases above, and one besides."""
    if of is None:
        values = np.concatenate([values, values[:1]])
        of = cases()
    dtype = np.uint64 if kind == "hash" else np.float32
    none, shown = np.array([-1]), np.array([False])
    rows = [
        Rows(case.case_id, PurePosixPath(case.image_uri).name, none, row[None].astype(dtype), shown)
        for case, row in zip(of, values, strict=True)
    ]
    write_part(Part(folder / "rows" / "part-00000.parquet", 0, len(rows)), rows, "a stamp")
    dim = values.shape[1]
    card = {
        "format": 2,
        "kind": kind,
        "unit": unit,
        "num_rows": len(rows),
        "dim": dim,
        "columns": [],
    }
    card |= {} if cell is None else {"cell": cell}
    (folder / "card.json").write_text(json.dumps(card))
    return str(folder)


def probe(root, folders, **more):
    """Run the stage on a config of its own."""
    config = {
        "manifest": str(root / "manifest.parquet"),
        "descriptors": folders,
        "output": str(root / "out"),
        "targets": ONE,
        **SHORT,
        **more,
    }
    (root / "probe.yaml").write_text(yaml.safe_dump(config))
    return main(["probe", str(root / "probe.yaml")])


def flags(keys):
    """Return what lays keys over a config on the command line."""
    texts = {key: json.dumps(value, default=str) for key, value in keys.items()}
    return [word for key, text in texts.items() for word in ("--set", f"{key}={text}")]


def lines(root):
    found = json.loads((root / "out/table.json").read_text())["lines"]
    return {(line["target"], line["setting"], line["arm"]): line for line in found}


@pytest.fixture
def arms(tmp_path):
    """Two arms with two seeds each: `told` is told the verdict beside noise, `noise` is not."""
    write_manifest(Manifest.of(cases()), tmp_path / "manifest.parquet")
    rng = np.random.default_rng(1)
    malign = malign_of(cases()[:60])
    folders = []
    for arm, weight in (("noise", 0.0), ("told", 3.0)):
        for seed in ("0", "1"):
            values = rng.normal(size=(60, 4)) + weight * malign[:, None]
            cell = {"arm": arm, "steps": "few", "seed": seed}
            folders.append(embedding(tmp_path / f"{arm}_{seed}", values, cell=cell))
    return folders


def test_arms_are_compared_on_every_target_beside_baselines(tmp_path, arms, capsys):
    targets = {name: TARGETS[name] for name in ("malign", "malign_matched")}
    more = {"draw": "seed", "reference": "noise", "baselines": ["diameter", "shape"]}
    assert probe(tmp_path, arms, targets=targets, **more) == 0
    found = lines(tmp_path)
    assert list(found) == [
        (target, "steps-few", arm)
        for target in targets
        for arm in ("noise", "told", "diameter", "shape")
    ]
    told, noise = (found["malign", "steps-few", arm] for arm in ("told", "noise"))
    assert told["auc"]["mean"] > 0.95
    assert noise["auc"]["mean"] < 0.7
    assert [draw["draw"] for draw in told["draws"]] == ["0", "1"]
    assert told["auc"]["mean"] == pytest.approx(np.mean([draw["auc"] for draw in told["draws"]]))
    difference = told["auc"]["mean"] - noise["auc"]["mean"]
    assert told["difference"]["mean"] == pytest.approx(difference)
    assert told["difference"]["low"] > 0
    assert noise["difference"] is None
    assert found["malign", "steps-few", "diameter"]["is_baseline"]
    assert (told["num_cases"], told["num_subjects"]) == (60, 40)
    assert told["num_positives"] == malign_of(cases()[:60]).sum()

    shown = capsys.readouterr().out
    assert "diameter alone" in shown
    assert "minus noise" in shown
    assert (tmp_path / "out/probe.png").stat().st_size > 5000
    kept = pq.read_table(tmp_path / "out/table.parquet").to_pylist()
    assert [line["auc"] for line in kept] == [line["auc"] for line in found.values()]
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]


def test_draws_are_paired_by_name_and_resampled(tmp_path, arms):
    """Of two arms, each tells all in one draw and nothing in the other, but listed crosswise."""
    tables = []
    malign = malign_of(cases()[:60])[:, None].astype(float)
    noise = np.random.default_rng(4).normal(size=(60, 1))
    for number, order in enumerate((("0", "1"), ("1", "0"))):
        folders = [
            embedding(
                tmp_path / f"{number}_{arm}_{draw}",
                malign if draw == "0" else noise,
                cell={"arm": arm, "draw": draw},
            )
            for arm, listed in (("a", ("0", "1")), ("b", order))
            for draw in listed
        ]
        assert probe(tmp_path, folders, reference="a") == 0
        tables.append(lines(tmp_path))
    assert tables[0] == tables[1]
    line = tables[0]["malign", "", "b"]
    assert [draw["draw"] for draw in line["draws"]] == ["0", "1"]
    assert line["difference"] == {"mean": 0.0, "low": 0.0, "high": 0.0}
    all_told, nothing = (draw["auc"] for draw in line["draws"])
    assert line["auc"]["low"] < nothing < line["auc"]["mean"] < line["auc"]["high"] == all_told


def test_a_score_stands_for_each_case_target_and_repeat_and_makes_the_auc(tmp_path, arms):
    assert probe(tmp_path, arms, draw="seed", num_repeats=1, baselines=["diameter"]) == 0
    scores = pq.read_table(tmp_path / "out/scores.parquet").to_pylist()
    assert len(scores) == 60 * 5
    by_subject = {(score["subject_id"], score["fold"]) for score in scores}
    assert len(by_subject) == 40
    own = [s for s in scores if (s["arm"], s["draw"], s["setting"]) == ("told", "1", "steps-few")]
    won, total = 0.0, 0
    for fold in range(3):
        label, score = zip(
            *((s["label"], s["score"]) for s in own if s["fold"] == fold), strict=True
        )
        pairs = sum(label) * (len(label) - sum(label))
        won, total = won + pairs * roc_auc_score(label, score), total + pairs
    line = lines(tmp_path)["malign", "steps-few", "told"]
    assert line["draws"][1]["auc"] == pytest.approx(won / total)
    assert line["num_pairs"] == total
    assert {s["case_id"]: s["label"] for s in own} == {
        case.case_id: case.attributes["verdict"] == "Malign" for case in cases()[:60]
    }


def test_a_target_takes_its_range_and_compares_matched_pairs(tmp_path, arms):
    assert probe(tmp_path, arms[:1], targets=TARGETS, num_repeats=1) == 0
    found = {target: line for (target, *_), line in lines(tmp_path).items()}
    diameter = np.array([float(case.attributes["diameter"]) for case in cases()[:60]])
    malign = malign_of(cases()[:60])
    large = (diameter >= 6) & (diameter <= 12)
    assert found["malign_large"]["num_cases"] == large.sum() < 60
    assert found["malign_large"]["num_positives"] == malign[large].sum()
    close = np.abs(diameter[malign, None] - diameter[~malign]) <= 1
    assert 0 < found["malign_matched"]["num_pairs"] < close.sum()
    assert found["solid"]["num_positives"] == 24
    assert found["ground_glass"]["num_positives"] == 36


def test_a_baseline_is_its_attribute_alone(tmp_path, arms):
    assert probe(tmp_path, arms[:1], baselines=["diameter", "shape"], num_repeats=1) == 0
    scores = pq.read_table(tmp_path / "out/scores.parquet").to_pylist()
    diameter = {case.case_id: float(case.attributes["diameter"]) for case in cases()[:60]}
    depth = {case.case_id: case.shape[2] for case in cases()[:60]}
    for arm, known in (("diameter", diameter), ("shape", depth)):
        for fold in range(3):
            own = [s for s in scores if (s["arm"], s["fold"]) == (arm, fold)]
            assert all(s["is_baseline"] for s in own)
            by_score = [known[s["case_id"]] for s in sorted(own, key=lambda s: s["score"])]
            assert by_score == sorted(by_score)


def test_folders_without_a_cell_are_arms_of_their_own_name(tmp_path, arms):
    bare = [
        embedding(tmp_path / name, np.random.default_rng(2).normal(size=(60, 2)), cell=cell)
        for name, cell in (("a", None), ("b", {}))
    ]
    assert probe(tmp_path, bare) == 0
    assert [arm for *_, arm in lines(tmp_path)] == ["a", "b"]
    assert all(line["difference"] is None for line in lines(tmp_path).values())


def test_a_run_says_the_same_twice_and_another_seed_divides_otherwise(tmp_path, arms):
    texts = []
    for seed in (0, 0, 1):
        assert probe(tmp_path, arms[:1], num_repeats=1, seed=seed) == 0
        texts.append((tmp_path / "out/table.json").read_text())
    assert texts[0] == texts[1] != texts[2]


@pytest.mark.long
def test_who_fits_decides_nothing(tmp_path, arms):
    scores = []
    for scheduler, jobs in (("threads", 1), ("threads", 3), ("processes", 2)):
        more = {"num_repeats": 1, "scheduler": scheduler, "jobs": jobs}
        assert probe(tmp_path, arms, draw="seed", **more) == 0
        scores.append(pq.read_table(tmp_path / "out/scores.parquet"))
    assert scores[0].equals(scores[1])
    assert scores[0].equals(scores[2])


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"reference": "scratch"}, "expected the reference 'scratch' among the arms"),
        ({"split": "val"}, "has no case of the split 'val': expected one of ['test', 'train']"),
        ({"baselines": ["volume_ml"]}, "60 of 60 cases lack the attribute 'volume_ml', such as c0"),
        ({"baselines": ["verdict"]}, "verdict of 60 of 60 cases is no finite number, such as"),
        ({"num_folds": 30}, "target malign: expected positive and negative cases of at least 30"),
        ({"descriptors": ["nowhere"]}, "nowhere holds no finished descriptors"),
        ({"targets": {}}, "targets"),
    ],
)
def test_a_mistake_is_named(tmp_path, arms, capsys, more, said):
    folders = more.pop("descriptors", arms)
    assert probe(tmp_path, folders, **({"draw": "seed"} | more)) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ({"attribute": "shade", "equals": "dark"}, "lack the attribute 'shade', such as c0; there"),
        (
            {"attribute": "verdict", "equals": "Malignant"},
            "target t: expected positive and negative cases, all 60 are negative: their verdict is "
            "one of ['Benign', 'Malign']",
        ),
        ({"attribute": "texture", "at_least": 1}, "all 60 are positive"),
        ({"attribute": "texture"}, "expected exactly one of at_least, below, equals, got none"),
        (
            {"attribute": "texture", "below": 2, "at_least": 2},
            "expected exactly one of at_least, below, equals, got at_least, below",
        ),
        (
            {
                **TARGETS["malign"],
                "within": {"attribute": "diameter", "low": 3, "high": 2},
            },
            "expected low to be at most high, got 3.0 and 2.0",
        ),
        (
            {**TARGETS["malign"], "matched": {"attribute": "diameter", "within": 0}},
            "make a pair in one fold that differs by at most 0",
        ),
    ],
)
def test_a_target_that_can_not_be_probed_is_named(tmp_path, arms, capsys, target, said):
    assert probe(tmp_path, arms[:1], targets={"t": target}) == 2
    assert said in capsys.readouterr().err


def test_a_case_without_its_attribute_is_named(tmp_path, arms, capsys):
    write_manifest(Manifest.of(cases({7: {"verdict": ""}})), tmp_path / "manifest.parquet")
    assert probe(tmp_path, arms[:1]) == 2
    assert "1 of 60 cases lack the attribute 'verdict', such as c7" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "hole", "said"),
    [
        ({"unit": "slice"}, 0.0, "expected a vector a volume, got a vector a slice; embed again"),
        ({"kind": "hash"}, 0.0, "expected a vector a volume, got a hash a volume; embed again"),
        ({}, np.nan, "1 of 60 vectors hold NaN or infinity, such as that of case c5"),
    ],
)
def test_what_are_no_vectors_of_volumes_is_refused(tmp_path, arms, capsys, more, hole, said):
    values = np.random.default_rng(3).normal(size=(60, 4))
    values[5, 2] = hole
    assert probe(tmp_path, [embedding(tmp_path / "odd", values, **more)]) == 2
    assert f"{tmp_path}/odd: {said}" in capsys.readouterr().err


def test_two_folders_of_one_cell_are_refused(tmp_path, arms, capsys):
    assert probe(tmp_path, [*arms, arms[1]], draw="seed") == 2
    said = "noise_1 both are draw '1' of the arm 'noise'; name the axes that tell them apart"
    assert said in capsys.readouterr().err


def test_arms_with_other_draws_are_refused(tmp_path, arms, capsys):
    assert probe(tmp_path, arms[:3], draw="seed") == 2
    said = "expected the same draws of each arm, got ['0', '1'] of 'noise' and ['0'] of 'told'"
    assert said in capsys.readouterr().err


@pytest.mark.long
@pytest.mark.mirror
def test_what_the_size_of_real_nodules_tells_is_what_is_known_of_them(tmp_path, mirror):
    index = {"output": tmp_path / "index", "split.test": 0}
    assert main(["index", "configs/index/lidc.yaml", *flags(index)]) == 0
    grid = {"spacing_mm": [0.7, 0.7, 2.0], "crop_to_foreground": False}
    cache = {"index": tmp_path / "index", "output": tmp_path / "cache", "preprocessing": grid}
    assert main(["cache", "configs/cache/native.yaml", *flags(cache)]) == 0
    manifest = read_manifest(tmp_path / "cache/manifest.parquet")
    noise = np.random.default_rng(0).normal(size=(len(manifest), 2))
    keys = {
        "manifest": tmp_path / "cache/manifest.parquet",
        "descriptors": [embedding(tmp_path / "noise", noise, manifest)],
        "output": tmp_path / "out",
        "split": "train",
        "num_repeats": 2,
    }
    assert main(["probe", "configs/probe/lidc.yaml", *flags(keys)]) == 0
    found = {(target, arm): line["auc"] for (target, _, arm), line in lines(tmp_path).items()}
    diameter = {target: auc["mean"] for (target, arm), auc in found.items() if arm == "diameter_mm"}
    # Known of the full set of 994: 0.92, 0.79, 0.53 and 0.45; of the array's size 0.88.
    assert diameter["malignancy"] == pytest.approx(0.92, abs=0.02)
    assert diameter["malignancy_6_to_12_mm"] == pytest.approx(0.79, abs=0.04)
    assert diameter["malignancy_matched"] == pytest.approx(0.53, abs=0.05)
    assert diameter["texture"] == pytest.approx(0.45, abs=0.05)
    assert found["malignancy", "shape"]["mean"] == pytest.approx(0.88, abs=0.02)
    for target in diameter:
        assert found[target, "noise"]["mean"] < 0.6
