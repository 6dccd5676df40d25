"""Fine-tuning, whole, on small balls in boxes."""

import json
import signal
import subprocess
import sys

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch
from cohorts import SPLITS, UNET, ball, config, write_cohort
from safetensors.torch import load_file

from medssl.config.load import dump
from medssl.data.cache import open_cached, write_cached
from medssl.data.crops.labeled import Labeled
from medssl.data.manifest import SCHEMA, Manifest, read_manifest, write_manifest
from medssl.data.preprocessing import Intensity
from medssl.data.volume import Volume
from medssl.errors import ConfigError, DataError
from medssl.models.decoders.unet import UNetDecoder
from medssl.models.encoders.unet import UNet
from medssl.models.export import HASH, seen_cases, write_export
from pipelines import finetune
from pipelines.__main__ import main
from pipelines._copies import with_hashes
from pipelines._network import restore
from pipelines.finetune import run


@pytest.fixture
def cohort(tmp_path):
    return write_cohort(tmp_path / "cache")


def weights(root, output="model"):
    return load_file(root.parent / output / "weights.safetensors")


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def numbers(root, output="model"):
    rows = pq.read_table(root.parent / output / "history.parquet").to_pylist()
    return {(row["step"], row["name"]): row["value"] for row in rows}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spatial_dims", "thickness"),
    [(2, 1), *(pytest.param(*shape, marks=pytest.mark.long) for shape in ((2, 3), (3, 1)))],
)
def test_few_labels_teach_the_network_what_they_show(cohort, spatial_dims, thickness):
    run(config(
        cohort, f"encoder.in_channels={thickness}", f"crops.thickness={thickness}",
        "optim.num_steps=120", "optim.optimizer.lr=0.01", "optim.batch_size=4",
        "log_every=40", "validate_every=120", "labels.count=2",
        "encoder.channels=[8, 16]", spatial_dims=spatial_dims,
    ))  # fmt: skip
    found = numbers(cohort)
    assert found[120, "val/dice"] > 0.7
    assert found[120, "val/dice"] == pytest.approx(
        (found[120, "val/dice_ball"] + found[120, "val/dice_shell"]) / 2
    )
    assert found[119, "train/dice"] < 0.5 * found[0, "train/dice"]
    assert found[0, "train/total"] == pytest.approx(
        found[0, "train/dice"] + found[0, "train/cross_entropy"]
    )


def test_the_export_says_how_to_build_and_feed_it_and_whom_it_knows(cohort):
    run(config(cohort, "labels.count=3", "labels.draw=1"))
    network, card = restore(cohort.parent / "model")
    assert card["classes"] == ["ball", "shell"]
    assert (card["crop_vox"], card["spatial_dims"]) == ([12, 12, 12], 3)
    assert card["preprocessing"] == {"spacing_mm": None}
    saved = weights(cohort)
    assert {key.split(".")[0] for key in saved} == {"encoder", "decoder", "head"}
    assert torch.equal(network.head.logits.weight, saved["head.logits.weight"])
    chosen = np.random.default_rng(1).permutation(4)[:3]
    assert card["provenance"]["case_ids"] == [f"case{row}" for row in chosen]
    seen = pq.read_table(cohort.parent / "model" / "subjects.parquet")
    assert seen["subject_id"].to_pylist() == sorted(f"subject{row}" for row in chosen)
    assert not (cohort.parent / "model.state").exists()


@pytest.mark.long
def test_a_run_is_what_its_config_and_seed_say_whoever_reads(cohort):
    run(config(cohort))
    for name, override in (("again", "seed=0"), ("worker", "num_workers=1")):
        run(config(cohort, override, output=name))
        assert same(weights(cohort, name), weights(cohort))
        assert numbers(cohort, name) == numbers(cohort)
    run(config(cohort, "seed=1", output="other"))
    assert not same(weights(cohort, "other"), weights(cohort))


def test_the_best_weights_are_those_of_the_step_with_the_best_dice(cohort):
    often = ["optim.optimizer.lr=0.3", "optim.schedule.name=constant", "validate_every=1"]
    run(config(cohort, *often, "weights=best"))
    dice = [numbers(cohort)[step, "val/dice"] for step in range(1, 7)]
    best = 1 + dice.index(max(dice))
    assert best < 6
    card = json.loads((cohort.parent / "model" / "card.json").read_text())
    assert card["provenance"]["weights_of_step"] == best
    run(config(cohort, *often, f"optim.num_steps={best}", output="until_then"))
    assert same(weights(cohort), weights(cohort, "until_then"))
    run(config(cohort, *often, output="last"))
    assert numbers(cohort, "last") == numbers(cohort)
    assert not same(weights(cohort), weights(cohort, "last"))


def test_mixup_is_another_run_that_is_the_same_each_time(cohort):
    for name, *options in (("plain",), ("mixed", "mixup=1.0"), ("again", "mixup=1.0")):
        run(config(cohort, *options, output=name))
    assert same(weights(cohort, "mixed"), weights(cohort, "again"))
    assert not same(weights(cohort, "mixed"), weights(cohort, "plain"))


def test_weights_can_not_be_chosen_by_cases_that_are_not_there(tmp_path):
    root = write_cohort(tmp_path / "cache", splits=["train"] * 4)
    with pytest.raises(DataError, match=r"weights: best chooses by the labeled cases of split"):
        run(config(root, "weights=best"))


def test_weights_can_not_be_chosen_by_labels_that_show_nothing(cohort):
    write_cached(
        cohort / "labels/4.b2nd",
        Volume(np.zeros((1, 16, 17, 18), np.uint8), np.eye(4)),
        intensity=None,
        source_affine=np.eye(4),
        source_shape=(16, 17, 18),
        key="4",
    )
    with pytest.raises(DataError, match=r"whose labels hold no voxel of any class"):
        run(config(cohort, "weights=best"))


@pytest.mark.long
@pytest.mark.parametrize("kept", ["last", "best"])
def test_a_killed_run_goes_on_as_if_nothing_had_happened(cohort, kept):
    often = [f"weights={kept}", "validate_every=1"]
    run(config(cohort, *often))
    cfg = config(cohort, *often, output="killed")
    killer = (
        "import os, signal, sys, yaml\n"
        "from pathlib import Path\n"
        "from medssl.config.load import load\n"
        "from medssl.config.stages.finetune import Finetune\n"
        "import pipelines.finetune as stage\n"
        "class Batches(stage.Batches):\n"
        "    def between(self, *steps):\n"
        "        for number, views in enumerate(super().between(*steps)):\n"
        "            if number == 5:\n"
        "                os.kill(os.getpid(), signal.SIGKILL)\n"
        "            yield views\n"
        "stage.Batches = Batches\n"
        "stage.run(load(Finetune, Path(sys.argv[1])))\n"
    )
    path = cohort.parent / "cfg.yaml"
    path.write_text(dump(cfg))
    done = subprocess.run([sys.executable, "-c", killer, path], check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert not cfg.output.exists()
    run(cfg)
    assert same(weights(cohort, "killed"), weights(cohort))
    assert numbers(cohort, "killed") == numbers(cohort)


def test_a_finished_run_is_left_alone_and_another_config_refused(cohort, capsys):
    run(config(cohort))
    before = (cohort.parent / "model" / "weights.safetensors").stat().st_mtime_ns
    run(config(cohort))
    assert "nothing to do" in capsys.readouterr().out
    assert (cohort.parent / "model" / "weights.safetensors").stat().st_mtime_ns == before
    with pytest.raises(
        ConfigError, match=r"model is the export of a run with another config\.seed"
    ):
        run(config(cohort, "seed=1"))


def pretrained(root, *, seed=7, decoder=True, subjects=("subject0",), provenance=None):
    """Write what a pretraining leaves: encoder and decoder of the architecture of its card."""
    torch.manual_seed(seed)
    encoder = UNet(channels=(4, 8))
    parts = {"encoder": encoder}
    if decoder:
        parts["decoder"] = UNetDecoder(encoder.channels, encoder.strides, 3)
    card = {
        "encoder": {**UNET, "spatial_dims": 3},
        "decoder": {"name": "unet", "norm": "instance"} if decoder else None,
        "provenance": provenance or {},
    }
    cases = pq.read_table(root / "manifest.parquet")
    rows = [name in subjects for name in cases["subject_id"].to_pylist()]
    write_export(root.parent / "pretrained", parts, card, subjects=seen_cases(cases.filter(rows)))
    return root.parent / "pretrained", {
        f"{part}.{key}": value for part, m in parts.items() for key, value in m.state_dict().items()
    }


def init(export, *more):
    return ("encoder=null", f"init.export={export}", *more)


FROZEN = "optim.optimizer.lr=1e-30"  # a rate at which float32 weights do not move


@pytest.mark.parametrize("decoder", [False, True])
def test_a_run_starts_from_the_weights_of_the_export_and_its_twin_from_none(
    cohort, capsys, decoder
):
    export, given = pretrained(cohort, decoder=decoder)
    still = ("optim.num_steps=1", FROZEN)
    run(config(cohort, *init(export), *still))
    printed = capsys.readouterr().out
    run(config(cohort, *init(export), "from_scratch=true", *still, output="twin"))
    assert "all weights are random: left out" in capsys.readouterr().out
    tuned, twin = weights(cohort), weights(cohort, "twin")
    for key in tuned:
        is_same = torch.allclose(tuned[key], twin[key], rtol=0, atol=1e-20)
        constant = bool((tuned[key] - tuned[key].flatten()[0]).abs().max() < 1e-20)
        assert is_same == (key not in given or constant), key
        if key in given:
            torch.testing.assert_close(tuned[key], given[key])
    assert "encoder: 100.0% of its numbers" in printed
    assert ("decoder: 100.0% of its numbers" in printed) == decoder
    assert ("decoder: random" in printed) != decoder
    known = [
        set(pq.read_table(cohort.parent / name / "subjects.parquet")["subject_id"].to_pylist())
        for name in ("model", "twin")
    ]
    assert known == [{f"subject{n}" for n in range(4)}] * 2


def test_an_export_that_knows_a_held_out_subject_is_refused_unless_its_weights_stay_out(cohort):
    export, _ = pretrained(cohort, subjects=("subject5",))
    with pytest.raises(DataError, match=r"1 of 3 cases .* trained on, such as subject5"):
        run(config(cohort, *init(export)))
    run(config(cohort, *init(export), "from_scratch=true", "optim.num_steps=1"))


def copied(cohort, split):
    """Give a case of a split the image of a training case, with more gain and some noise."""
    image = ball(1)[0] * 1.02 + np.random.default_rng(0).normal(0, 4, (16, 17, 18))
    number = SPLITS.index(split)
    (cohort / f"volumes/{number}.b2nd").unlink()
    write_cached(
        cohort / f"volumes/{number}.b2nd",
        Volume(image.astype(np.int16)[None], np.eye(4)),
        intensity=Intensity(0.0, 0.01, -10.0, 10.0),
        key=str(number),
        source_affine=np.eye(4),
        source_shape=(16, 17, 18),
    )
    return hashed(cohort)


def hashed(cohort):
    """Describe all volumes by their hashes."""
    out = cohort.parent / "hashes"
    words = {"manifest": cohort / "manifest.parquet", "output": out}
    flags = [word for key, value in words.items() for word in ("--set", f"{key}={value}")]
    assert main(["embed", "configs/embed/dhash_volumes.yaml", *flags]) == 0
    return out


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_subject_under_two_names_in_two_splits_is_refused(cohort, split):
    hashes = copied(cohort, split)
    number = SPLITS.index(split)
    said = (
        rf"1 cases stand in two splits as two subjects.*case{number} \({split}\) and case1 \(train"
    )
    with pytest.raises(DataError, match=said):
        run(config(cohort, f"descriptors={hashes}"))


def test_a_subject_whom_pretraining_saw_under_another_name_is_refused(cohort):
    hashes = copied(cohort, "test")
    cases = with_hashes(read_manifest(cohort / "manifest.parquet"), hashes)
    export, _ = pretrained(cohort)
    subjects = seen_cases(cases.filter(pc.equal(cases["case_id"], "case1")))
    pq.write_table(subjects, export / "subjects.parquet")
    # Without the training case itself only the pretraining knows the image.
    rest = cases.filter(pc.not_equal(cases["case_id"], "case1")).drop_columns([HASH])
    write_manifest(
        Manifest(rest.replace_schema_metadata(SCHEMA.metadata)), cohort / "manifest.parquet"
    )
    with pytest.raises(DataError, match=r"1 of 3 cases to evaluate are near copies .* case5"):
        run(config(cohort, *init(export), f"descriptors={hashes}"))
    run(config(cohort, *init(export), "optim.num_steps=1"))


def test_where_hashes_are_not_known_it_says_once_that_near_copies_were_not_looked_for(
    cohort, capsys
):
    hashes, (export, _) = hashed(cohort), pretrained(cohort)
    capsys.readouterr()
    short = "optim.num_steps=1"
    run(config(cohort, short))
    said = capsys.readouterr().out
    assert said.count("near copies were not looked for: there are no hashes; give as `desc") == 1
    run(config(cohort, short, f"descriptors={hashes}", output="checked"))
    assert "not looked for" not in capsys.readouterr().out
    run(config(cohort, *init(export), short, f"descriptors={hashes}", output="further"))
    said = capsys.readouterr().out
    assert said.count(f"near copies of what {export} was trained on were not looked for") == 1
    assert said.count("not looked for") == 1


def test_descriptors_of_anything_but_volumes_by_hash_are_refused(cohort):
    out = cohort.parent / "slices"
    words = ["--set", f"manifest={cohort / 'manifest.parquet'}", "--set", f"output={out}"]
    main(["embed", "configs/embed/dhash.yaml", *words])
    with pytest.raises(ConfigError, match="holds a hash a slice, expected a hash a volume; give"):
        run(config(cohort, f"descriptors={out}"))


def test_an_export_that_fills_too_little_is_refused_with_the_table(cohort):
    export, _ = pretrained(cohort)
    card = json.loads((export / "card.json").read_text())
    card["encoder"]["channels"] = [4, 16]
    (export / "card.json").write_text(json.dumps(card))
    with pytest.raises(
        DataError, match=r"(?s)'encoder' in .* fills .*expected at least 90.*blocks\.1"
    ):
        run(config(cohort, *init(export)))


def test_a_decoder_of_another_kind_than_the_exports_is_refused(cohort):
    export, _ = pretrained(cohort)
    with pytest.raises(ConfigError, match=r"decoder: .* brings .*instance.* asks for .*group"):
        run(config(cohort, *init(export), "decoder={name: unet, norm: group}"))


def test_nothing_of_test_cases_is_opened(cohort):
    for number in (5, 6):
        (cohort / f"volumes/{number}.b2nd").unlink()
    cfg = config(cohort, "optim.num_steps=1")
    run(cfg)
    assert (cfg.output / "weights.safetensors").is_file()


def test_a_run_is_given_as_many_steps_as_the_pretrainings_time_allows(cohort, capsys, monkeypatch):
    export, _ = pretrained(cohort, provenance={"training_time_s": 12.0})
    timed = []
    monkeypatch.setattr("pipelines._extra_steps.time_steps", lambda *a, **k: timed.append(1) or 3.0)
    run(config(cohort, f"extra_steps_from={export}"))
    assert "4 extra steps of 3.0000 s" in capsys.readouterr().out
    assert max(step for step, _ in numbers(cohort)) == 10
    run(config(cohort, "optim.num_steps=10", output="longer"))
    assert same(weights(cohort), weights(cohort, "longer"))
    assert timed == [1]


def test_timing_steps_takes_time_and_moves_nothing(cohort, monkeypatch):
    monkeypatch.setattr("pipelines._extra_steps.TRIAL_STEPS", 12)
    export, _ = pretrained(cohort, provenance={"training_time_s": 1e-9})
    run(config(cohort, f"extra_steps_from={export}"))
    run(config(cohort, output="untimed"))
    assert same(weights(cohort), weights(cohort, "untimed"))


def test_an_export_without_a_time_gives_no_steps(cohort):
    export, _ = pretrained(cohort)
    with pytest.raises(DataError, match=r"card\.json: expected provenance\.training_time_s"):
        run(config(cohort, f"extra_steps_from={export}"))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["labels.count=9"], r"labels\.count asks for 9 cases, 4 of split 'train' are labeled"),
        (["classes=[ball]"], r"the label of case case\d holds \[2\], expected 0 .* 1 ball; name"),
    ],
)
def test_labels_that_do_not_fit_are_named(cohort, overrides, message):
    with pytest.raises(DataError, match=message):
        run(config(cohort, *overrides))


def test_a_class_that_no_label_holds_is_reported(cohort, capsys):
    run(config(cohort, "classes=[ball, shell, tail]", "optim.num_steps=1"))
    assert "class 3 tail: no voxel in the 4 labels trained on" in capsys.readouterr().out


def test_a_manifest_without_labels_is_refused(tmp_path):
    root = write_cohort(tmp_path / "cache", splits=[])
    with pytest.raises(DataError, match=r"none of its 1 cases of split 'train' has a label; tell"):
        run(config(root))


def test_an_empty_manifest_is_refused(cohort):
    write_manifest(Manifest.of([]), cohort / "manifest.parquet")
    with pytest.raises(DataError, match=r"manifest\.parquet is empty: expected cases"):
        run(config(cohort))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["encoder=null"], r"encoder: required unless init brings one"),
        (["init.export=x"], r"encoder: init brings it"),
        (["from_scratch=true"], r"from_scratch: there is no init"),
        (["classes=[a, a]"], r"classes: expected a name each"),
        (["head.name=gated_attention_mil"], r"gated_attention_mil takes \['instances', 'valid'\]"),
        (
            ["method={name: joint_embedding, objective: {name: ntxent}}"],
            r"joint_embedding does not learn from labels; these do: \[.*'segmentation'",
        ),
        (
            ["method={name: segmentation, objective: {name: vicreg}}"],
            r"vicreg takes \['z_a', 'z_b'\], .* only \['logits', 'label'\]",
        ),
    ],
)
def test_a_config_that_contradicts_itself_is_refused(tmp_path, overrides, message):
    with pytest.raises(ConfigError, match=message):
        config(tmp_path, *overrides)


def test_a_network_of_stacks_is_validated_and_kept_with_the_stacks_that_it_learned_from(
    cohort, monkeypatch
):
    """A crop of a whole plane is what the window shows of the same slice, voxel for voxel."""
    seen = []
    monkeypatch.setattr(
        finetune,
        "validation_dice",
        lambda network, cases, *, window, **_: seen.append(window) or {},
    )
    stacks = ["crops.crop_vox=[16, 17]", "crops.thickness=3", "encoder.in_channels=3"]
    run(config(cohort, *stacks, spatial_dims=2))
    network, card = restore(cohort.parent / "model")
    assert (card["crop_vox"], card["thickness"]) == ([16, 17], 3)
    assert next(network.encoder.parameters()).shape[1] == 3

    manifest = read_manifest(cohort / "manifest.parquet").keep(np.array([0]))
    source = Labeled(manifest, cohort, 0, crop_vox=(16, 17), thickness=3)
    image = open_cached(cohort / manifest[0].image_uri).read()
    windows = []

    def network_of_stacks(batch):
        windows.extend(batch.clone())
        return batch[:, :2]

    seen[0](network_of_stacks, torch.from_numpy(image), 2)
    label = open_cached(cohort / manifest[0].label_uri).raw()[0]
    found = set()
    for epoch in range(40):
        crop = source[epoch, 0]
        (k,) = [k for k, window in enumerate(windows) if torch.equal(window, crop.image[0])]
        np.testing.assert_array_equal(crop.label[0], label[..., k])
        found.add(k)
    assert len(found) > 10


def test_stacks_that_the_network_does_not_take_are_refused(cohort):
    expected = r"unet takes 1 channels, crops labeled has 3; set encoder.in_channels or, of slices"
    with pytest.raises(ConfigError, match=expected):
        run(config(cohort, "crops.thickness=3", spatial_dims=2))


def test_crops_of_other_axes_than_the_networks_are_refused(cohort):
    with pytest.raises(
        ConfigError, match=r"encoder unet takes images of 3 axes, crops labeled has 2"
    ):
        run(config(cohort, "crops.crop_vox=[12, 12]"))
