"""Two-dimensional images and volumes in one index, one cache, one pretraining."""

import nibabel
import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from medssl.data.manifest import read_manifest
from pipelines.__main__ import main


@pytest.fixture
def mixed(tmp_path):
    """Write twelve images and three volumes, index and cache them."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (14, 28, 28)).astype(np.uint8)
    (tmp_path / "images").mkdir()
    np.savez(
        tmp_path / "images/set.npz",
        train_images=images[:12], train_labels=np.zeros((12, 1), int),
        val_images=images[12:13], val_labels=np.zeros((1, 1), int),
        test_images=images[13:], test_labels=np.zeros((1, 1), int),
    )  # fmt: skip
    (tmp_path / "volumes").mkdir()
    for number in range(3):
        voxels = rng.normal(100, 20, (30, 26, 9)).astype(np.float32)
        image = nibabel.Nifti1Image(voxels, np.diag([1.0, 1.0, 3.0, 1.0]))
        nibabel.save(image, tmp_path / f"volumes/subject{number}.nii.gz")
    layout = {"name": "medmnist", "spacing_mm": [1.0, 1.0, 1.0]}
    images, volumes = str(tmp_path / "images"), str(tmp_path / "volumes")
    sources = [
        {"root": images, "include": "*.npz", "modality": "XR", "layout": layout},
        {"root": volumes, "modality": "MR"},
    ]
    index = {"sources": sources, "output": str(tmp_path / "index")}
    (tmp_path / "index.yaml").write_text(yaml.safe_dump(index))
    assert main(["index", str(tmp_path / "index.yaml")]) == 0
    cache = [f"index={tmp_path / 'index'}", f"output={tmp_path / 'cache'}"]
    flags = [word for key in cache for word in ("--set", key)]
    assert main(["cache", "configs/cache/native.yaml", *flags]) == 0
    return tmp_path / "cache"


def test_images_and_slices_of_volumes_are_matched_as_many_of_each_in_a_batch(mixed, tmp_path):
    train = read_manifest(mixed / "manifest.parquet").split("train")
    shapes = {case.modality: case.shape for case in train}
    assert shapes == {"XR": [28, 28, 1], "MR": [30, 26, 9]}
    settings = {
        "manifest": mixed / "manifest.parquet",
        "output": tmp_path / "export",
        "crops": {"name": "random", "crop_vox": [16, 16], "num_items": 2},
        "encoder.architecture": "resnet18",
        "method.grid": 2,
        "optim.num_epochs": "null",
        "optim.num_steps": 3,
        "optim.batch_size": 6,  # three of each: all volumes in each batch
        "fabric.precision": "32-true",
        "num_workers": 0,
        "device": "cpu",
        "log_every": 1,
    }
    flags = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    assert main(["pretrain", "configs/pretrain/lvm_med_slices.yaml", *flags]) == 0
    seen = pq.read_table(tmp_path / "export" / "subjects.parquet")
    assert len(seen) == len(train)
    history = pq.read_table(tmp_path / "export" / "history.parquet").to_pylist()
    logged = {row["name"] for row in history}
    assert logged >= {
        f"train/{note}"
        for note in (
            "hamming", "node_accuracy", "identity_share", "missed_share", "gap_vs_identity",
        )
    }  # fmt: skip
    assert not any("solver" in name for name in logged)  # a time is no result
