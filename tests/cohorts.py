"""Small balls in boxes as a cached cohort, and the config of a fine-tuning on them."""

import json

import numpy as np

from medssl.config.load import load
from medssl.config.stages.finetune import Finetune
from medssl.data.cache import write_cached
from medssl.data.manifest import Case, Manifest, write_manifest
from medssl.data.preprocessing import Intensity
from medssl.data.volume import Volume

SPLITS = ["train"] * 4 + ["val"] + ["test"] * 2
UNET = {"name": "unet", "channels": [4, 8], "in_channels": 1, "norm": "instance"}


def ball(seed):
    """A volume and its label: a bright ball (1) in a dim shell (2), somewhere."""
    rng = np.random.default_rng(seed)
    center = rng.uniform(7, 9, 3)
    grid = np.stack(np.meshgrid(*map(np.arange, (16, 17, 18)), indexing="ij"), axis=-1)
    distance = np.linalg.norm(grid - center, axis=-1)
    label = np.where(distance < 4, 1, np.where(distance < 6, 2, 0)).astype(np.uint8)
    image = np.array([0, 200, 100])[label] + rng.normal(0, 10, label.shape)
    return image.astype(np.int16), label


def write_cohort(root, splits=SPLITS, unlabeled=1):
    """Write a cache as the stage does: no labels of test cases, unlabeled training cases."""
    cases = []
    common = {"source_affine": np.eye(4), "source_shape": (16, 17, 18)}
    for number, split in enumerate([*splits, *["train"] * unlabeled]):
        image, label = ball(number)
        write_cached(
            root / f"volumes/{number}.b2nd", Volume(image[None], np.eye(4)),
            intensity=Intensity(0.0, 0.01, -10.0, 10.0), key=str(number), **common,
        )  # fmt: skip
        has_label = split != "test" and number < len(splits)
        if has_label:
            write_cached(
                root / f"labels/{number}.b2nd",
                Volume(label[None], np.eye(4)),
                intensity=None, key=str(number), **common,
            )  # fmt: skip
        cases.append(
            Case(
                case_id=f"case{number}", digest=f"digest{number}", subject_id=f"subject{number}",
                image_uri=f"volumes/{number}.b2nd",
                label_uri=f"labels/{number}.b2nd" if has_label else None,
                shape=[16, 17, 18], spacing_mm=[1.0] * 3, affine=np.eye(4).ravel().tolist(),
                split=split,
            )
        )  # fmt: skip
    write_manifest(Manifest.of(cases), root / "manifest.parquet")
    (root / "preprocessing.json").write_text(json.dumps({"spacing_mm": None}))
    return root


def config(root, *overrides, output="model", spatial_dims=3):
    tree = {
        "manifest": root / "manifest.parquet",
        "output": root.parent / output,
        "classes": ["ball", "shell"],
        "encoder": {**UNET, "spatial_dims": spatial_dims},
        "crops": {"name": "labeled", "crop_vox": [12] * spatial_dims},
        "views": [{"name": "noise"}],
        "optim": {"optimizer": {"name": "adamw"}, "num_steps": 6, "batch_size": 2},
        "device": "cpu",
        "log_every": 1,
        "validate_every": 3,
        "save_every": 2,
    }
    set_to = [f"{key}={json.dumps(value, default=str)}" for key, value in tree.items()]
    return load(Finetune, None, [*set_to, *overrides])
