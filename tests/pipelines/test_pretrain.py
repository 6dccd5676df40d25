"""From cached volumes to an export, through the command line."""

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from safetensors.torch import load_file

from medssl import lookup
from medssl.config.component import build, recall
from medssl.config.load import load
from medssl.config.stages.pretrain import Pretrain
from medssl.data.cache import write_cached
from medssl.data.manifest import Case, Manifest, read_manifest, write_manifest
from medssl.data.preprocessing import Intensity
from medssl.data.volume import Volume
from medssl.errors import ConfigError, DataError
from medssl.models.export import load_part, read_card
from pipelines import pretrain as stage
from pipelines.__main__ import main
from pipelines._batches import Batches
from pipelines._training import lasting

SHAPE = (20, 18, 16)
SUBJECTS = {"train": ("a", "b", "c", "d", "a"), "val": ("e",), "test": ("f",)}

TINY = {
    "crops": {"name": "random", "crop_vox": [8, 8, 8]},
    "views": [{"name": "affine"}, {"name": "gamma"}, {"name": "noise"}],
    "encoder": {"name": "small_conv", "width": 4},
    "method": {"name": "joint_embedding", "objective": {"name": "vicreg"}},
    "optim": {"num_steps": 4, "batch_size": 4},
    "device": "cpu",
    "log_every": 1,
    "diagnose_every": 2,
    "save_every": 2,
}
SEP_CLR = {"name": "contrastive_analysis", "objective": {"name": "sep_clr"}}
SEPARATING = {
    "method": SEP_CLR | {"queue": 8},
    "target": {"by": "group", "equals": "target"},
}
KNOWN = [
    {"lesion_diameter_mm": str(4.0 + number), "lesion_side": ("left", "right")[number // 2 % 2]}
    for number in range(7)
]


@pytest.fixture
def cache(tmp_path):
    """A folder as `cache` leaves it: seven volumes of six subjects, frames of one series, too."""
    root, cases = tmp_path / "cache", []
    for split, subjects in SUBJECTS.items():
        for subject in subjects:
            number = len(cases)
            generator = np.random.default_rng(number)
            voxels = generator.integers(0, 1000, (1, *SHAPE), dtype=np.int16)
            write_cached(
                root / "volumes" / f"{number}.b2nd",
                Volume(voxels, np.eye(4)),
                intensity=Intensity(offset=500.0, scale=1 / 300, low=-2.0, high=2.0),
                source_affine=np.eye(4),
                source_shape=SHAPE,
                key=str(number),
            )
            cases.append(
                Case(
                    case_id=f"case{number}",
                    digest=f"digest{number}",
                    subject_id=subject,
                    series_id="series",
                    frame=number,
                    image_uri=f"volumes/{number}.b2nd",
                    shape=list(SHAPE),
                    spacing_mm=[1.0, 1.0, 1.0],
                    group=("background", "target")[number % 2],
                    attributes=KNOWN[number] if number % 2 else {},
                    split=split,
                )
            )
    write_manifest(Manifest.of(cases), root / "manifest.parquet")
    (root / "preprocessing.json").write_text('{"spacing_mm": [1.0, 1.0, 1.0]}')
    return root


def write_config(cache, name="export", **more):
    output = cache.parent / name
    path = cache.parent / f"{name}.yaml"
    tree = {"manifest": str(cache / "manifest.parquet"), "output": str(output), **TINY, **more}
    path.write_text(yaml.safe_dump({key: v for key, v in tree.items() if v is not None}))
    return path, output


def pretrain(cache, name="export", *, overrides=(), **more):
    path, output = write_config(cache, name, **more)
    flags = [word for override in overrides for word in ("--set", override)]
    assert main(["pretrain", str(path), *flags]) == 0
    return output


def weights(output):
    return load_file(output / "weights.safetensors")


def history(output):
    return pq.read_table(output / "history.parquet").to_pylist()


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_an_export_fills_the_encoder_that_its_card_describes(cache):
    output = pretrain(cache)
    card = read_card(output)
    encoder = build(recall("medssl.models.encoders", card["encoder"]))
    assert encoder.channels == (4, 8, 16)
    assert load_part(output, card["default"], encoder).filled == 1.0
    assert card["decoder"] is None
    assert card["spatial_dims"] == 3
    assert card["preprocessing"] == {"spacing_mm": [1.0, 1.0, 1.0]}
    assert card["provenance"]["config"]["optim"]["num_steps"] == 4
    assert card["provenance"]["num_steps"] == 4
    assert not cache.with_name("export.state").exists()


def test_of_a_manifest_only_the_train_split_is_read_and_listed(cache):
    for number in (5, 6):  # val and test
        (cache / "volumes" / f"{number}.b2nd").unlink()
    output = pretrain(cache)
    seen = pq.read_table(output / "subjects.parquet").to_pylist()
    assert sorted((row["subject_id"], row["digest"]) for row in seen) == [
        ("a", "digest0"), ("a", "digest4"), ("b", "digest1"), ("c", "digest2"), ("d", "digest3")
    ]  # fmt: skip


def test_the_history_holds_losses_rates_and_the_representation(cache):
    rows = history(pretrain(cache))
    steps = {}
    for row in rows:
        steps.setdefault(row["name"], []).append(row["step"])
    terms = ("total", "invariance", "variance", "covariance", "gradient_norm", "lr")
    seen = ("rank_me", "rank_me_centered", "deviation", "alignment", "uniformity", "num_rows")
    assert steps == {f"train/{term}": [0, 1, 2, 3] for term in terms} | {
        f"representation/{name}": [2, 4] for name in seen
    }
    assert all(np.isfinite(row["value"]) for row in rows)


@pytest.mark.parametrize("objective", ["ntxent", "dcl", "vicreg", "barlow_twins"])
def test_every_pair_objective_trains_and_moves_the_encoder(cache, objective):
    method = {"name": "joint_embedding", "objective": {"name": objective}}
    output = pretrain(cache, method=method)
    torch.manual_seed(0)
    untouched = lookup.build("medssl.models.encoders", "small_conv", width=4).state_dict()
    trained = weights(output)
    assert all(value.isfinite().all() for value in trained.values())
    assert not any(torch.equal(trained[f"encoder.{k}"], v) for k, v in untouched.items())


def test_a_finished_run_is_left_alone_and_another_is_not_written_over_it(cache, capsys):
    output = pretrain(cache)
    before = (output / "card.json").stat().st_mtime_ns
    pretrain(cache, overrides=["num_workers=1", "tracker={name: silent}"])
    assert "nothing to do, this run is finished" in capsys.readouterr().out
    assert (output / "card.json").stat().st_mtime_ns == before
    path, _ = write_config(cache)
    with pytest.raises(ConfigError, match=r"export of a run with another config\.seed; choose"):
        stage.run(load(Pretrain, path, ["seed=3"]))
    rows = pq.read_table(cache / "manifest.parquet")
    pq.write_table(rows.slice(1), cache / "manifest.parquet")
    with pytest.raises(ConfigError, match=r"export of a run with another manifest; choose"):
        stage.run(load(Pretrain, path))


def test_epochs_are_counted_in_items(cache):
    path, output = write_config(cache)
    items = len(read_manifest(cache / "manifest.parquet").split("train"))
    for last_batch, steps in (("drop", 3 * (items // 4)), ("carry", 3 * items // 4)):
        epochs = ["optim.num_epochs=3", f"optim.last_batch={last_batch}"]
        stage.run(load(Pretrain, path, [*epochs, f"output={output}_{last_batch}"]))
        card = json.loads(
            (output.with_name(f"{output.name}_{last_batch}") / "card.json").read_text()
        )
        assert card["provenance"]["num_steps"] == steps
    optim = load(Pretrain, path, ["optim.num_epochs=3"]).optim
    assert lasting(optim, 3).num_steps == 2  # of nine items, fours
    assert lasting(replace(optim, num_epochs=None), 3).num_steps == 4


SMALL = {
    "optim.num_epochs": "null",
    "optim.num_steps": 2,
    "optim.batch_size": 4,
    "fabric.precision": "32-true",
    "num_workers": 0,
    "device": "cpu",
    "log_every": 1,
}
CONFIGS = Path(__file__).parents[2] / "configs" / "pretrain"
CHAINS = [["simclr"], ["dcl"], ["vicreg"], ["barlow_twins"], ["frames"]]
CHAINS += [["slices_all_planes"], ["balanced_groups"], ["multi_crop"], ["mr_strong"], ["ct_strong"]]
CHAINS += [["global", "local"], ["global_slices", "local_slices"]]
CHAINS += [["global_slices", "local_partition_slices"], ["rotation_slices"], ["inpainting_slices"]]
CHAINS += [["context_restoration_slices"], ["lvm_med"], ["lvm_med_slices"], ["mixed_slices"]]
CHAINS += [["hippocampus_global", "hippocampus_local"], ["lidc_slices"], ["sep_clr"]]
CHAINS += [["sep_clr_attributes"], ["supervised_contrast"], ["digits"], ["lidc_codes"], ["lesions"]]


BALANCED = ("lvm_med_slices", "mixed_slices")  # by modality, of which the phantom has one

PLANAR = ("digits", "lidc_codes")
SMALL_CONV = ("lidc_slices", *PLANAR, "lesions")

QUICK = [["simclr"], ["global", "local"], ["inpainting_slices"]]  # of each kind of method one


def test_every_config_of_the_folder_is_tried():
    named = {path.stem for path in CONFIGS.glob("*.yaml")} - {"_base"}
    assert named == {name for chain in CHAINS for name in chain}


@pytest.mark.slow
@pytest.mark.parametrize(
    "chain",
    [pytest.param(one, marks=[] if one in QUICK else pytest.mark.long) for one in CHAINS],
    ids="-".join,
)
def test_every_config_of_the_folder_trains(cache, chain):
    before = None
    for name in chain:
        crop = [48, 48] if "slices" in name or name in PLANAR else [16, 16, 16]
        own = {"manifest": cache / "manifest.parquet", "output": cache.with_name(name)}
        if before:
            own |= {"init.export": before}
        elif name == "lvm_med_slices":
            own |= {"encoder.architecture": "resnet18"}
        elif name not in SMALL_CONV:
            own |= {"encoder.channels": [4, 8, 8, 8]}
        own |= {"balanced_by": "group"} if name in BALANCED else {}
        own |= {"target.by": "group", "target.equals": "target"} if name == "lidc_codes" else {}
        own |= {"crops.items": "case"} if name == "digits" else {}
        own |= {"crops.local_crop_vox": [8, 8, 8]} if name == "multi_crop" else {}
        overrides = own | {"crops.crop_vox": crop} | SMALL
        flags = [word for k, v in overrides.items() for word in ("--set", f"{k}={v}")]
        assert main(["pretrain", str(CONFIGS / f"{name}.yaml"), *flags]) == 0
        before = own["output"]
        assert all(value.isfinite().all() for value in weights(before).values())
        assert read_card(before)["thickness"] == (3 if name == "slices_all_planes" else 1)


@pytest.mark.slow
def test_stage_2_starts_from_the_export_of_stage_1_and_trains_a_decoder(cache, capsys):
    method = {
        "name": "global_local",
        "global_objective": {"name": "global_contrast"},
        "hidden_dim": 8,
    }
    crops = {"name": "partition", "crop_vox": [12, 12, 8], "num_parts": 2}
    encoder = {"name": "unet", "channels": [4, 8]}
    first = pretrain(cache, "stage1", method=method, crops=crops, encoder=encoder)

    method = {
        "name": "global_local",
        "local_objective": {"name": "local_contrast", "window_vox": 1},
        "decoder_blocks": 1,
        "freeze_encoder": True,
    }
    second = pretrain(
        cache,
        "stage2",
        method=method,
        crops={"name": "random", "crop_vox": [8, 8, 8], "shared_crop": True},
        views=[{"name": "gamma"}, {"name": "noise"}],
        encoder=None,
        decoder={"name": "unet"},
        init={"export": str(first)},
    )
    assert "fills 100.0%" in capsys.readouterr().out
    encoder1, trained = weights(first), weights(second)
    assert same(encoder1, {k: v for k, v in trained.items() if k.startswith("encoder.")})
    assert read_card(second)["encoder"] == read_card(first)["encoder"]
    assert read_card(second)["decoder"]["name"] == "unet"
    assert {key.split(".")[0] for key in trained} == {"encoder", "decoder"}
    names = {row["name"] for row in history(second)}
    assert {"train/local/regions", "representation/rank_me"} <= names


def test_targets_and_background_give_two_codes_that_the_export_keeps(cache):
    output = pretrain(cache, "export", **SEPARATING)
    parts = ["common_code", "encoder", "salient_code", "salient_encoder"]
    assert read_card(output)["parts"] == parts
    assert {key.split(".")[0] for key in weights(output)} == set(parts)
    names = {row["name"] for row in history(output)}
    assert {"train/background", "train/joint_entropy", "train/shared_information"} <= names
    shared = pretrain(cache, "shared", **SEPARATING | {"method": SEP_CLR | {"trunk": "shared"}})
    assert read_card(shared)["parts"] == ["common_code", "encoder", "salient_code"]


def test_the_items_of_a_batch_are_told_apart_by_their_cases(cache):
    path, _ = write_config(cache, **SEPARATING)
    cfg = load(Pretrain, path)
    manifest = stage.train_cases(cfg)
    source = build(cfg.crops, manifest, cache, cfg.seed)
    batches = Batches(cfg, stage.start_ranks(cfg), manifest, source)
    groups = manifest.table["group"].to_pylist()
    for draws, grouped in zip(batches.draws(0), batches.crops(0), strict=True):
        expected = [groups[row] == "target" for _, row in draws]
        assert grouped.is_target.tolist() == expected
        assert sum(expected) == 2
        alone = [source[draw].image for draw in draws]
        assert torch.equal(grouped.crops.image, torch.cat(alone))


def test_targets_are_told_by_an_attribute_as_by_a_column(cache):
    path, _ = write_config(
        cache, **SEPARATING | {"target": {"by": "Diagnosis", "equals": "Malign"}}
    )
    cfg = load(Pretrain, path)
    said = ["Malign", "Benign", "Benign", "Malign", "Benign"]
    cases = [
        replace(case, attributes={"Diagnosis": word})
        for case, word in zip(stage.train_cases(cfg), said, strict=True)
    ]
    source = build(cfg.crops, Manifest.of(cases), cache, cfg.seed)
    batches = Batches(cfg, stage.start_ranks(cfg), Manifest.of(cases), source)
    assert batches.is_target.tolist() == [word == "Malign" for word in said]


def test_what_is_known_of_targets_comes_with_their_items(cache):
    method = {
        "name": "contrastive_analysis",
        "salient_dim": 2,
        "objective": {"name": "sep_clr_attributes"},
    }
    kinds = {"lesion_diameter_mm": "continuous", "lesion_side": "categorical"}
    more = SEPARATING | {"method": method, "attributes": kinds}
    path, output = write_config(cache, **more)
    cfg = load(Pretrain, path)
    manifest = stage.train_cases(cfg)
    source = build(cfg.crops, manifest, cache, cfg.seed)
    batches = Batches(cfg, stage.start_ranks(cfg), manifest, source)
    # Cases 1 and 3 are targets, of 5 and 7 mm, left and right
    expected = [[0, 0], [-1, 0], [0, 0], [1, 1], [0, 0]]
    for draws, grouped in zip(batches.draws(0), batches.crops(0), strict=True):
        assert grouped.attributes.tolist() == [expected[row] for _, row in draws]
        views = batches.views(grouped)
        assert torch.equal(views.attributes, grouped.attributes)
        assert views.is_categorical.tolist() == [False, True]
    assert main(["pretrain", str(path)]) == 0
    names = {row["name"] for row in history(output)}
    assert {"train/salient_alignment", "train/background"} <= names


def test_a_later_export_lists_whom_the_earlier_one_saw(cache):
    first = pretrain(cache, "first")
    table = pq.read_table(cache / "manifest.parquet")
    pq.write_table(table.slice(1), cache / "manifest.parquet")
    second = pretrain(cache, "second", encoder=None, init={"export": str(first)})
    seen = pq.read_table(second / "subjects.parquet")["digest"].to_pylist()
    assert sorted(seen) == [f"digest{number}" for number in range(5)]


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["encoder=null"], r"encoder: required unless init brings one"),
        (["init={export: x}"], r"encoder: init brings it with its architecture; leave encoder"),
        (["init={export: x, parts: [head]}"], r"init\.parts: expected some of .* got \['head'\]"),
        (["encoder=null", "init={export: nowhere}"], r"there is no file nowhere/weights"),
        (["manifest=nowhere.parquet"], r"there is no file nowhere\.parquet"),
        (["encoder.spatial_dims=2"], r"small_conv takes images of 2 axes, crops random has 3"),
        (["encoder.in_channels=3"], r"small_conv takes 3 channels, crops random has 1; set enc"),
        (["optim={"], r"--set optim: expected a value in YAML, got '\{': "),
        (
            ["crops={name: labeled, crop_vox: [8, 8, 8]}"],
            r"labeled crops need a label for each case",
        ),
        (
            ["crops={name: multi_crop, crop_vox: [8, 8, 8], local_crop_vox: [4, 4, 4]}"],
            r"joint_embedding takes Views, crops multi_crop make MultiViews; of crops and methods",
        ),
        (
            ["method={name: multi_crop, objective: {name: vicreg}}"],
            r"multi_crop takes MultiViews, crops random make Views; of",
        ),
        (["balanced_by=shape"], r"balanced_by: expected a column of text, one of .*'group'"),
        (["target={by: group, equals: target}"], r"joint_embedding takes no targets: set targ"),
        (
            [f"method={json.dumps(SEP_CLR)}"],
            r"contrastive_analysis takes targets and background: set target",
        ),
        (
            [f"method={json.dumps(SEP_CLR)}", "target={by: group, equals: sick}"],
            r"target: expected cases of group 'sick' and others, got 0 of 5; there are \['backgr",
        ),
        (
            [f"method={json.dumps(SEP_CLR)}", "target={by: site, equals: sick}"],
            r"target: 5 of 5 cases say no site, the first case0; leave these out",
        ),
        (
            [f"method={json.dumps(SEP_CLR)}", "target={by: x, equals: sick}"],
            r"5 of 5 cases lack the attribute 'x'",
        ),
        (
            ["target={by: group, equals: target}", "balanced_by=group"],
            r"balanced_by: with target, batches are balanced by it, not by group; leave",
        ),
        (
            [
                f"method={json.dumps(SEP_CLR)}",
                "target={by: group, equals: target}",
                "optim.batch_size=5",
            ],
            r"batch_size must be a multiple of the 2 groups \['background', 'target'\]",
        ),
        (["attributes={x: continuous}"], r"attributes: they are of targets; set target to what"),
        (
            [
                f"method={json.dumps(SEP_CLR)}",
                "target={by: group, equals: target}",
                "attributes={x: continuous}",
            ],
            r"attributes: 2 of 2 cases lack the attribute 'x'",
        ),
        (
            [
                f"method={json.dumps(SEP_CLR)}",
                "target={by: group, equals: target}",
                "attributes={series_id: categorical}",
            ],
            r"attributes: all 2 targets have the same series_id; leave it out",
        ),
        (["balanced_by=site"], r"balanced_by: 5 of 5 cases say no site, the first case0; leave"),
        (["fabric.devices=3"], r"batch_size must divide among 3 ranks, got 4"),
    ],
)
def test_a_mistake_is_one_line_with_what_to_do(cache, capsys, overrides, line):
    path, output = write_config(cache)
    flags = [word for override in overrides for word in ("--set", override)]
    assert main(["pretrain", str(path), *flags]) == 2
    said = capsys.readouterr().err
    assert said.startswith("medssl: ")
    assert re.search(line, said)
    assert not output.exists()


def test_cases_that_no_cache_prepared_are_refused(cache):
    (cache / "preprocessing.json").unlink()
    path, _ = write_config(cache)
    with pytest.raises(DataError, match=r"no preprocessing\.json beside it or above its volumes"):
        stage.run(load(Pretrain, path))


def test_without_train_cases_nothing_is_learned(cache):
    table = pq.read_table(cache / "manifest.parquet")
    pq.write_table(table.slice(5), cache / "manifest.parquet")
    path, _ = write_config(cache)
    with pytest.raises(DataError, match=r"no case has split 'train'"):
        stage.run(load(Pretrain, path))


def test_a_folder_of_somebody_elses_is_not_written_over(cache):
    path, output = write_config(cache)
    output.mkdir()
    (output / "thesis.txt").write_text("precious")
    with pytest.raises(DataError, match=r"is no export .* choose another output"):
        stage.run(load(Pretrain, path))
    assert (output / "thesis.txt").read_text() == "precious"


def test_a_selection_of_the_cache_finds_the_contract_above_the_volumes(cache):
    table = pq.read_table(cache / "manifest.parquet")
    uris = [f"../cache/{uri}" for uri in table["image_uri"].to_pylist()]
    at = table.schema.get_field_index("image_uri")
    chosen = cache.with_name("select")
    chosen.mkdir()
    pq.write_table(
        table.set_column(at, "image_uri", [uris]).cast(table.schema), chosen / "manifest.parquet"
    )
    output = pretrain(cache, manifest=str(chosen / "manifest.parquet"))
    assert read_card(output)["preprocessing"] == {"spacing_mm": [1.0, 1.0, 1.0]}


def test_a_loss_that_is_not_finite_fails_the_run_by_name(cache, capsys):
    path, output = write_config(cache, optim={**TINY["optim"], "optimizer": {"name": "sgd"}})
    assert main(["pretrain", str(path), "--set", "optim.optimizer.lr=1.0e+30"]) == 2
    assert "not finite at step" in capsys.readouterr().err
    assert not output.exists()


@pytest.mark.slow
def test_workers_do_not_show_and_seeds_do(cache):
    alone = pretrain(cache, "alone")
    helped = pretrain(cache, "helped", num_workers=2)
    other = pretrain(cache, "other", seed=1)
    assert history(helped) == history(alone)
    assert same(weights(helped), weights(alone))
    losses = [
        [row["value"] for row in history(output) if row["name"] == "train/total"]
        for output in (alone, other)
    ]
    assert all(a != b for a, b in zip(*losses, strict=True))
    assert not same(weights(other), weights(alone))


@pytest.mark.parametrize("own", [{}, SEPARATING], ids=["pairs", "queue of two groups"])
def test_a_run_that_broke_off_goes_on_to_the_bit(cache, monkeypatch, own):
    whole = pretrain(cache, "whole", **own)
    saved = []
    save = stage.Training.save

    def break_off(self, done, views):
        save(self, done, views)
        saved.append(done)
        if len(saved) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(stage.Training, "save", break_off)
    path, broken = write_config(cache, "broken", **own)
    assert main(["pretrain", str(path)]) == 130
    assert not broken.exists()
    assert main(["pretrain", str(path)]) == 0
    assert saved == [2, 4]
    assert same(weights(broken), weights(whole))
    assert history(broken) == history(whole)


def test_a_run_that_broke_off_after_its_export_tidies_up(cache, monkeypatch):
    def break_off(self):
        raise KeyboardInterrupt

    path, output = write_config(cache)
    with monkeypatch.context() as patched:
        patched.setattr(stage.StateFolder, "remove", break_off)
        assert main(["pretrain", str(path)]) == 130
    before = {file.name: file.read_bytes() for file in output.iterdir()}
    assert main(["pretrain", str(path)]) == 0
    after = {file.name: file.read_bytes() for file in output.iterdir()}
    assert {**after, "card.json": b""} == {**before, "card.json": b""}
    assert not cache.with_name("export.state").exists()


def test_a_state_of_another_config_is_refused_by_key(cache, monkeypatch):
    def break_off(self, done, views):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(stage.Training, "save", break_off)
        path, _ = write_config(cache)
        assert main(["pretrain", str(path)]) == 130
    with pytest.raises(
        ConfigError, match=r"export\.state is the state of a run with another config\.seed; .*dele"
    ):
        stage.run(load(Pretrain, path, ["seed=3"]))


@pytest.mark.slow
def test_mlflow_gets_numbers_figures_data_and_export_in_one_run_across_a_break(
    cache, monkeypatch, tmp_path
):
    store = f"sqlite:///{tmp_path / 'mlflow.db'}"
    tracker = {"name": "mlflow", "uri": store, "experiment": "tests"}

    def break_off(self, done, views):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(stage.Training, "save", break_off)
        path, _ = write_config(cache, tracker=tracker)
        assert main(["pretrain", str(path)]) == 130
    client = lookup.build("medssl.tracking", "mlflow", uri=store).client
    experiment = client.get_experiment_by_name("tests").experiment_id
    (broken,) = client.search_runs([experiment])
    assert broken.info.status == "FAILED"
    assert main(["pretrain", str(path)]) == 0
    (run,) = client.search_runs([experiment])
    assert run.info.run_id == broken.info.run_id
    assert run.info.status == "FINISHED"
    points = client.get_metric_history(run.info.run_id, "train/variance")
    assert {point.step for point in points} == {0, 1, 2, 3}
    machine = {name: value for name, value in run.data.metrics.items() if "system/" in name}
    assert machine.keys() == {
        f"system/{name}"
        for name in ("cases_per_s", "crops_per_s", "data_wait_share", "device_idle_share")
    }
    # two views of a case
    assert machine["system/crops_per_s"] == 2 * machine["system/cases_per_s"] > 0
    held = {
        file.path
        for folder in ("figures", "export")
        for file in client.list_artifacts(run.info.run_id, folder)
    }
    assert {"figures/losses.png", "figures/views.png", "export/card.json"} <= held
    (record,) = {row.dataset.digest for row in run.inputs.dataset_inputs}
    assert record


KILLED_S = (0.3, 0.9, 0.1, 1.7)


@pytest.mark.long
def test_killed_at_any_moment_and_run_again_the_result_is_the_same(cache):
    long = {"optim": {"num_steps": 300, "batch_size": 4}, "save_every": 5, "log_every": 7}
    # One thread each: how a sum is split over threads is seen in its last bit.
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    path, whole = write_config(cache, "whole", **long)
    subprocess.run([sys.executable, "-m", "pipelines", "pretrain", str(path)], env=env, check=True)
    path, killed = write_config(cache, "killed", **long)
    command = [sys.executable, "-m", "pipelines", "pretrain", str(path)]
    states, kills = cache.with_name("killed.state"), 0
    for pause_s in KILLED_S:
        with subprocess.Popen(command, env=env) as run:
            deadline = time.monotonic() + 120
            known = set(states.glob("*.pt"))
            while set(states.glob("*.pt")) <= known and run.poll() is None:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            time.sleep(pause_s)
            kills += run.poll() is None
            run.kill()
    assert kills >= 2
    subprocess.run(command, env=env, check=True)
    assert same(weights(killed), weights(whole))
    assert history(killed) == history(whole)
    assert not states.exists()
    assert json.loads((killed / "card.json").read_text())["provenance"]["num_steps"] == 300


@pytest.mark.long
@pytest.mark.parametrize("own", [{}, SEPARATING], ids=["pairs", "queue of two groups"])
def test_two_ranks_learn_what_one_process_learns(cache, own):
    alone = weights(pretrain(cache, "alone", **own))
    fabric = {"devices": 2, "strategy": "ddp"}
    path, output = write_config(cache, "ranks", fabric=fabric, **own)
    command = [sys.executable, "-m", "pipelines", "pretrain", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    together = weights(output)
    for key, value in alone.items():
        torch.testing.assert_close(together[key], value, rtol=1e-3, atol=1e-4)
    assert not cache.with_name("ranks.state").exists()
