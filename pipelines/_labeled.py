"""Which labeled cases a fine-tuning learns from, whether their labels are what it expects."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from medssl.data.cache import open_cached
from medssl.data.manifest import Manifest, read_manifest
from medssl.errors import DataError
from medssl.inference.sliding_window import SlidingWindow
from medssl.models.network import DenseNetwork
from pipelines._copies import check_splits, with_hashes


class Cases(NamedTuple):
    """The cases of a fine-tuning.

    Args:
        root: The folder that their files lie in.
        train: What is learned from: labeled.
        val: What is looked at while learning: labeled.
        held_out: All of the val and test splits, none of which an earlier training may know; with
            a column for their hashes, if these are known.
        seen: What is learned from, with the same.
    """

    root: Path
    train: Manifest
    val: Manifest
    held_out: pa.Table
    seen: pa.Table


def choose(path: Path, descriptors: Path | None, *, count: int | None, draw: int) -> Cases:
    """Return the labeled cases that take part: the first `count` of a permutation, or all.

    Of the train split's labeled cases, in the manifest's order, the permutation is
    `numpy.random.default_rng(draw).permutation(n)`: fewer are always among more.

    Raises:
        DataError: If there are not as many, or near copies stand in two splits.
    """
    manifest = read_manifest(path)
    if not len(manifest):
        msg = f"{path} is empty: expected cases; see what `index` and `select` left of them"
        raise DataError(msg)
    train = manifest.split("train")
    labeled = _labeled(train)
    if not len(labeled):
        msg = (
            f"{path}: none of its {len(train)} cases of split 'train' has a label; tell `index` "
            "where labels are (labels.folder or labels.csv), and run `cache` again"
        )
        raise DataError(msg)
    if count is not None and count > len(labeled):
        msg = (
            f"{path}: labels.count asks for {count} cases, {len(labeled)} of split 'train' are "
            "labeled; ask for fewer, or leave count out for all"
        )
        raise DataError(msg)
    rows = np.random.default_rng(draw).permutation(len(labeled))[:count]
    told = with_hashes(manifest, descriptors)
    check_splits(told)
    chosen = labeled.keep(rows)
    return Cases(
        root=path.parent,
        train=chosen,
        val=_labeled(manifest.split("val")),
        held_out=told.filter(pc.field("split") != "train"),
        seen=told.filter(pc.is_in(told["case_id"], chosen.table["case_id"].combine_chunks())),
    )


def _labeled(manifest: Manifest) -> Manifest:
    return Manifest(manifest.table.filter(pc.field("label_uri").is_valid()))


def check_labels(cases: Cases, classes: Sequence[str]) -> list[str]:
    """Return a note for each class that no label of the training cases holds.

    Raises:
        DataError: If a label holds a number that is no class's.
    """
    seen: set[int] = set()
    for manifest in (cases.train, cases.val):
        for case in manifest:
            values = np.unique(open_cached(cases.root / str(case.label_uri)).raw()).tolist()
            if strange := [value for value in values if not 0 <= value <= len(classes)]:
                named = ", ".join(f"{n} {name}" for n, name in enumerate(classes, start=1))
                msg = (
                    f"the label of case {case.case_id} holds {strange}, expected 0 and the classes "
                    f"{named}; name all classes in `classes`, or correct the label"
                )
                raise DataError(msg)
            if manifest is cases.train:
                seen.update(values)
    return [
        f"class {number} {name}: no voxel in the {len(cases.train)} labels trained on"
        for number, name in enumerate(classes, start=1)
        if number not in seen
    ]


def check_val(cases: Cases, path: Path) -> None:
    """Refuse to choose weights by cases that are not there.

    Raises:
        DataError: If no case of the val split has a label.
    """
    if not len(cases.val):
        msg = (
            f"{path}: weights: best chooses by the labeled cases of split 'val', of which there "
            "are none; let `index` put some there (split.val), or set weights: last"
        )
        raise DataError(msg)


def validation_dice(
    network: DenseNetwork,
    cases: Cases,
    *,
    window: SlidingWindow,
    classes: Sequence[str],
    fabric: Any,
) -> dict[str, float]:
    """Return each class's mean Dice over the val cases that have it, and the mean of those."""
    scores: dict[str, list[float]] = {name: [] for name in classes}
    network.eval()
    for case in cases.val:
        image = torch.from_numpy(open_cached(cases.root / case.image_uri).read())
        with fabric.autocast():
            probabilities = window(network, fabric.to_device(image), len(classes) + 1)
        found = probabilities.argmax(dim=0).cpu().numpy()
        truth = open_cached(cases.root / str(case.label_uri)).raw()[0]
        for number, name in enumerate(classes, start=1):
            if size := np.count_nonzero(truth == number):
                shared = np.count_nonzero((truth == number) & (found == number))
                scores[name].append(2 * shared / (size + np.count_nonzero(found == number)))
    network.train()
    means = {f"dice_{name}": float(np.mean(each)) for name, each in scores.items() if each}
    return means | ({"dice": float(np.mean([*means.values()]))} if means else {})


def mean_dice(found: Mapping[str, float]) -> float:
    """Return the number that weights are chosen by.

    Raises:
        DataError: If there is none.
    """
    if "dice" not in found:
        msg = (
            "weights: best chooses by the mean Dice in the val split, whose labels hold no voxel "
            "of any class; put cases there that show some, or set weights: last"
        )
        raise DataError(msg)
    return found["dice"]
