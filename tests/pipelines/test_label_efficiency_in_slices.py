"""The study of labels in slices, on HDF5 files in the manner of ACDC, by its config alone."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml

from pipelines.__main__ import main

PATIENTS, SLICES = 30, 8


def heart(rng):
    """Slices, rows, columns: a ring (2) about a pool (3), beside another pool (1)."""
    _, j, i = np.indices((SLICES, 44, 40))
    row, column = rng.uniform(20, 24, 2)
    distance = np.hypot(j - row, i - column)
    beside = np.hypot(j - row, i - column + 14)
    label = np.select([distance < 4, distance < 8, beside < 5], [3, 2, 1], 0).astype(np.uint8)
    return np.array([0, 150, 80, 200])[label] + rng.normal(0, 10, label.shape), label


@pytest.fixture(scope="module")
def acdc(tmp_path_factory):
    root = tmp_path_factory.mktemp("acdc")
    rng = np.random.default_rng(0)
    for patient in range(1, PATIENTS + 1):
        image, label = heart(rng)
        with h5py.File(root / f"patient{patient:03d}_frame01.h5", "w") as file:
            file["image"], file["label"] = image.astype(np.float32), label
    (source,) = yaml.safe_load(Path("configs/index/acdc_hdf5.yaml").read_text())["sources"]
    return json.dumps([source | {"root": str(root)}])


@pytest.mark.long
def test_the_study_goes_from_files_to_a_table_of_all_arms(acdc, tmp_path):
    skipped = json.dumps(
        [{"labels": "1"}, {"labels": "8"}, *({"draw": str(number)} for number in range(1, 5))]
    )
    small = "steps.{}.set.crops.crop_vox=[64, 64]"
    stages = ("pretrain_partition", "pretrain_pairs", "pretrain_local", "finetune")
    settings = [
        f"output={tmp_path / 'out'}",
        "tracker={name: silent}",
        "all.device=cpu",
        f"steps.index.set.sources={acdc}",
        "steps.index.set.split={rule: shuffled, test: 4, val: 2}",
        *(small.format(stage) for stage in stages),
        "steps.pretrain_random.set.crops={name: random, crop_vox: [64, 64]}",
        *(
            f"steps.pretrain_{name}.set.{key}"
            for name in ("random", "partition", "pairs", "local")
            for key in ("optim.num_steps=2", "num_workers=0", "fabric.precision=32-true")
        ),
        *(f"steps.pretrain_{name}.set.method.grid=2" for name in ("random", "partition", "pairs")),
        "steps.finetune.set.optim.num_steps=4",
        "steps.finetune.set.validate_every=2",
        f"steps.finetune.exclude={skipped}",
        f"steps.evaluate.exclude={skipped}",
    ]
    flags = [word for setting in settings for word in ("--set", setting)]
    assert main(["study", "configs/study/label_efficiency_acdc.yaml", *flags]) == 0
    lines = json.loads((tmp_path / "out/compare/table.json").read_text())["lines"]
    classes = {line["class_name"] for line in lines}
    assert classes == {"rv", "myo", "lv", "mean"}
    assert {(line["arm"], line["setting"]) for line in lines} == {
        (arm, f"labels-{labels}")
        for arm in ("random", "global_random", "partition", "pairs", "pairs_local")
        for labels in ("2", "all")
    }
    card = json.loads((tmp_path / "out/pretrain_local/card.json").read_text())
    assert card["decoder"]["name"] == "upsampled_unet"
    assert card["encoder"]["norm"] == "batch"
