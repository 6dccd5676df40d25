"""Label what nobody labeled: a task model and a cached manifest in, one with more labels out.

medssl pseudo_label configs/pseudo_label/segmentation.yaml

Cases of the train split that the model learned from keep the label that a person drew. All others
of that split get the model's, whoever has drawn another one: of a few labels that a study allows
itself, it must not see more. The attribute `label_by` says `network` where that is so. Of the val
and test splits nothing changes, and no image of theirs is read. A run that is started again goes on
with the labels that are missing.
"""

from collections.abc import Callable
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8

from medssl.config.component import build
from medssl.config.load import dump
from medssl.config.stages.pseudo_label import PseudoLabel
from medssl.data.cache import holds, open_cached, write_cached
from medssl.data.manifest import (
    LABEL_BY,
    NETWORK,
    Case,
    Manifest,
    read_manifest,
    write_manifest,
)
from medssl.data.volume import Volume
from medssl.errors import DataError
from medssl.geometry import spacing_mm
from medssl.training.fabric import place, start
from pipelines._mask_figures import draw_planes, three_planes
from pipelines._moved import moved
from pipelines._network import restore, window_of
from pipelines._progress import track
from pipelines._records import record_of
from pipelines._runs import sha256

Segment = Callable[[Path], UInt8[np.ndarray, "i j k"]]


def run(cfg: PseudoLabel) -> None:
    """Segment the cases that are to get a label, and write the manifest."""
    # Data
    manifest = read_manifest(cfg.manifest)
    root = cfg.manifest.parent

    # Model
    segment, card = load_segmenter(cfg)
    weights = sha256(cfg.model / "weights.safetensors")
    wanted = to_be_labeled(cfg, manifest, card)

    with build(cfg.tracker).run(f"pseudo_label {cfg.output.name}", config=dump(cfg)) as tracked:
        # Labels
        counts = np.zeros(len(card["classes"]) + 1, np.int64)
        for case in track(wanted, total=len(wanted), label="pseudo_label", unit="cases"):
            counts += label(case, root, cfg.output / label_uri(case, weights), segment, len(counts))

        # Result
        labels = {case.case_id: label_uri(case, weights) for case in wanted}
        write_manifest(
            relabeled(moved(manifest, root, cfg.output), labels), cfg.output / "manifest.parquet"
        )
        draw(cfg, wanted[: cfg.num_figures], weights, card["classes"])
        tracked.dataset(record_of(manifest, cfg.manifest, context="pseudo_label"))
        tracked.metrics(0, figures_of(len(wanted), counts, card["classes"]))
        tracked.artifact(cfg.output / "manifest.parquet")
        if cfg.num_figures:
            tracked.artifact(cfg.output / "figures")
    shares = ", ".join(
        f"{name} {count / max(counts.sum(), 1):.2%}"
        for name, count in zip(card["classes"], counts[1:], strict=True)
    )
    print(f"labeled {len(wanted)} cases by {cfg.model} ({shares} of voxels): {cfg.output}")


def load_segmenter(cfg: PseudoLabel) -> tuple[Segment, dict[str, Any]]:
    """Return the function from a cached image to the class of each of its voxels, and the card."""
    fabric = start(
        device=cfg.device, devices=1, num_nodes=1, strategy="auto", precision=cfg.precision
    )
    network, card = restore(cfg.model)
    place(network, fabric)
    window = window_of(card, overlap=cfg.window_overlap, batch_vox=cfg.batch_vox)

    def segment(path: Path) -> UInt8[np.ndarray, "i j k"]:
        image = fabric.to_device(torch.from_numpy(open_cached(path).read()))
        with fabric.autocast():
            probabilities = window(network, image, len(card["classes"]) + 1)
        return probabilities.argmax(dim=0).to(torch.uint8).cpu().numpy()

    return segment, card


def to_be_labeled(cfg: PseudoLabel, manifest: Manifest, card: dict[str, Any]) -> list[Case]:
    """Return the cases of the train split that the model has learned nothing of.

    Raises:
        DataError: If a case that it learned from is not there, or there is no other.
    """
    learned = set(card["provenance"]["case_ids"])
    train = list(manifest.split("train"))
    if missing := learned - {case.case_id for case in train if case.label_uri}:
        msg = (
            f"{cfg.manifest} lacks {len(missing)} of {len(learned)} labeled cases of split 'train' "
            f"that {cfg.model} learned from, such as {min(missing)}; give the manifest that it was "
            "trained on"
        )
        raise DataError(msg)
    others = [case for case in train if case.case_id not in learned]
    if not others:
        msg = (
            f"{cfg.model} learned from all {len(train)} cases of split 'train' in {cfg.manifest}: "
            "there is nothing to label; give a manifest with more cases"
        )
        raise DataError(msg)
    return others


def label_uri(case: Case, weights: str) -> str:
    """Return where the label goes that weights give to a case."""
    key = blake2b(f"{Path(case.image_uri).stem} {weights}".encode(), digest_size=16).hexdigest()
    return f"labels/{key}.b2nd"


def label(case: Case, root: Path, path: Path, segment: Segment, num_classes: int) -> np.ndarray:
    """Write the label of a case, unless it is there; return how many voxels each class has."""
    if holds(path):
        return np.bincount(open_cached(path).raw().ravel(), minlength=num_classes)
    image = open_cached(root / case.image_uri)
    found = segment(root / case.image_uri)
    write_cached(
        path,
        Volume(found[None], image.affine),
        intensity=None,
        source_affine=image.source_affine,
        source_shape=image.source_shape,
        key=path.stem,
    )
    return np.bincount(found.ravel(), minlength=num_classes)


def relabeled(manifest: Manifest, labels: dict[str, str]) -> Manifest:
    """Return the manifest with the network's labels where there are such."""
    return Manifest.of(
        replace(
            case,
            label_uri=labels[case.case_id],
            attributes=case.attributes | {LABEL_BY: NETWORK},
        )
        if case.case_id in labels
        else case
        for case in manifest
    )


def draw(cfg: PseudoLabel, cases: list[Case], weights: str, classes: list[str]) -> None:
    """Draw the first cases with the outlines that they were given."""
    for case in cases:
        image = open_cached(cfg.manifest.parent / case.image_uri)
        found = open_cached(cfg.output / label_uri(case, weights)).raw()[0]
        planes = three_planes(image.read()[0], (found,), spacing_mm(image.affine).tolist())
        path = cfg.output / "figures" / f"{case.case_id}.png"
        draw_planes([planes], path, class_names=classes, title=f"{case.case_id}, by {cfg.model}")


def figures_of(num_cases: int, counts: np.ndarray, classes: list[str]) -> dict[str, float]:
    """Return what MLflow shows: cases, and the share of voxels of each class."""
    shares = counts / max(counts.sum(), 1)
    named = zip(classes, shares[1:].tolist(), strict=True)
    return {"pseudo_label/cases": float(num_cases)} | {
        f"pseudo_label/share_{name}": share for name, share in named
    }
