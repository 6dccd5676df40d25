"""Evaluate a task model: held-out cases in, their scores with intervals and figures out.

medssl evaluate configs/evaluate/segmentation.yaml

Here the labels of test cases are read for the first time, and on the grid that they were drawn
in: predictions come back to the grid of the source before they are scored.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float32

from medssl.config.component import build
from medssl.config.load import dump
from medssl.config.stages.evaluate import Evaluate
from medssl.data.cache import Cached, open_cached
from medssl.data.manifest import Case, Manifest, read_manifest
from medssl.data.preprocessing.space import to_ras
from medssl.data.source import Source
from medssl.data.volume import Volume
from medssl.errors import DataError
from medssl.evaluation.bootstrap import interval
from medssl.evaluation.overlap import overlap
from medssl.geometry import spacing_mm
from medssl.inference.source_grid import to_source_grid
from medssl.models.export import check_unseen
from medssl.training.fabric import place, start
from pipelines._copies import not_looked_for, with_hashes
from pipelines._files import write_json, write_table
from pipelines._layouts import source_of
from pipelines._mask_figures import draw_planes, three_planes
from pipelines._network import restore, window_of
from pipelines._progress import track
from pipelines._reading import reading
from pipelines._records import record_of

METRICS = ("dice", "hd95_mm", "nsd")
GRID_TOLERANCE_MM = 1e-3


@dataclass(frozen=True)
class _Held:
    """A case to score: as it is cached, and as `index` knows it, with its label's address."""

    cached: Case
    indexed: Case


@dataclass(frozen=True)
class _Scored:
    """A case with its scores, a row a class, and the mean Dice by which cases are sorted."""

    held: _Held
    rows: list[dict[str, Any]]

    @property
    def dice(self) -> float:
        known = [row["dice"] for row in self.rows if not math.isnan(row["dice"])]
        return float(np.mean(known)) if known else math.nan


def run(cfg: Evaluate) -> None:
    """Run the model over the split's cases, score them in the source's grid, summarize."""
    # Data
    manifest = read_manifest(cfg.manifest).split(cfg.split)
    held = _labeled(manifest, cfg)
    told = with_hashes(manifest, cfg.descriptors)
    check_unseen(cfg.model, told)
    for sentence in not_looked_for(told, cfg.model):
        print(sentence)
    source = source_of(cfg.index)

    # Model
    classes, segment = _segmenter(cfg)

    with build(cfg.tracker).run(f"evaluate {cfg.output.name}", config=dump(cfg)) as tracked:
        tracked.dataset(record_of(manifest, cfg.manifest, context=cfg.split))

        # Scores
        scored = []
        for one in track(held, total=len(held), label="evaluate", unit="cases"):
            predicted = segment(one.cached)
            reference = _reference(source, one.indexed, predicted)
            scored.append(_Scored(one, _score(predicted, reference, one.indexed, classes, cfg)))
        table = pa.Table.from_pylist([row for one in scored for row in one.rows])
        write_table(table, cfg.output / "cases.parquet")

        # Result
        found = {name: _of_class(table, name, cfg) for name in classes}
        about = {"cell": cfg.cell, "split": cfg.split, "tolerance_mm": cfg.tolerance_mm}
        write_json(about | {"classes": found}, cfg.output / "summary.json")
        for case in _telling(scored, cfg.num_figures):
            figure = _draw(source, case, segment(case.held.cached), classes, cfg)
            tracked.artifact(figure, folder="figures")
        tracked.metrics(0, _numbers(found, cfg.split))
        tracked.artifact(cfg.output / "cases.parquet")
        tracked.artifact(cfg.output / "summary.json")
    print(f"Dice of {len(held)} {cfg.split} cases: {_said(found)}: {cfg.output}")


def _said(classes: dict[str, dict[str, Any]]) -> str:
    dice = {name: found["dice"] for name, found in classes.items()}
    return ", ".join(
        f"{name} {n['mean']:.3f} [{n['low']:.3f}, {n['high']:.3f}]" for name, n in dice.items()
    )


def _labeled(manifest: Manifest, cfg: Evaluate) -> list[_Held]:
    """Return the cases that have a label."""
    indexed = {case.case_id: case for case in read_manifest(cfg.index / "manifest.parquet")}
    pairs = [_Held(case, indexed[case.case_id]) for case in manifest if case.case_id in indexed]
    known = [pair for pair in pairs if pair.indexed.label_uri]
    if not known:
        msg = (
            f"{cfg.manifest} has {len(manifest)} {cfg.split} cases, none of them with a label in "
            f"{cfg.index}; let `index` find labels, or choose another split"
        )
        raise DataError(msg)
    return known


def _segmenter(cfg: Evaluate) -> tuple[list[str], Callable[[Case], Volume]]:
    """Return the model's classes, and the function from a case to its mask in RAS order."""
    fabric = start(
        device=cfg.device, devices=1, num_nodes=1, strategy="auto", precision=cfg.precision
    )
    network, card = restore(cfg.model)
    place(network, fabric)
    classes: list[str] = card["classes"]
    window = window_of(card, overlap=cfg.window_overlap, batch_vox=cfg.batch_vox)

    def segment(case: Case) -> Volume:
        cached = open_cached(cfg.manifest.parent / case.image_uri)
        image = torch.from_numpy(cached.read()).to(fabric.device)
        with fabric.autocast():
            probabilities = window(network, image, len(classes) + 1).cpu().numpy()
        return _in_source_grid(probabilities, cached)

    return classes, segment


def _in_source_grid(probabilities: Float32[np.ndarray, "class i j k"], cached: Cached) -> Volume:
    mask = to_source_grid(probabilities, cached.affine, cached.source_affine, cached.source_shape)
    return to_ras(Volume(mask[None], cached.source_affine))


def _reference(source: Source, case: Case, predicted: Volume) -> Volume:
    """Return a case's label in RAS order, on the very grid of the prediction.

    Raises:
        DataError: If it was drawn on another grid.
    """
    with reading(case, "label"):
        found = source.label(case)
    if found is None:
        msg = f"case {case.case_id}: its label is gone; run `medssl index` again"
        raise DataError(msg)
    label = to_ras(found)
    apart_mm = np.abs(label.affine - predicted.affine).max()
    if label.voxels.shape != predicted.voxels.shape or apart_mm > GRID_TOLERANCE_MM:
        msg = (
            f"case {case.case_id}: expected its label on the image's grid of "
            f"{predicted.voxels.shape[1:]} voxels, got {label.voxels.shape[1:]}, affines "
            f"{apart_mm:.3g} mm apart; resample the label onto the image and index again"
        )
        raise DataError(msg)
    return label


def _score(
    predicted: Volume, reference: Volume, case: Case, classes: Sequence[str], cfg: Evaluate
) -> list[dict[str, Any]]:
    """Return a row a class."""
    whole = np.rint(reference.voxels[0]).astype(np.int64)
    if not np.array_equal(whole, reference.voxels[0]):
        msg = f"case {case.case_id}: expected class numbers in its label, got fractions"
        raise DataError(msg)
    found = overlap(
        predicted.voxels[0],
        whole,
        num_classes=len(classes) + 1,
        spacing_mm=spacing_mm(predicted.affine),
        tolerance_mm=cfg.tolerance_mm,
    )
    who = {"case_id": case.case_id, "subject_id": case.subject_id}
    return [
        who | {"class_name": name} | asdict(one) for name, one in zip(classes, found, strict=True)
    ]


def _of_class(table: pa.Table, name: str, cfg: Evaluate) -> dict[str, Any]:
    """Return a class's metrics with intervals over subjects, and what they leave out."""
    rows = [row for row in table.to_pylist() if row["class_name"] == name]
    summary: dict[str, Any] = {
        "cases": len(rows),
        "reference_empty": sum(row["reference_empty"] for row in rows),
        "prediction_empty": sum(row["prediction_empty"] for row in rows),
    }
    for metric in METRICS:
        by_subject: dict[str, list[float]] = {}
        for row in rows:
            if not math.isnan(row[metric]):
                by_subject.setdefault(row["subject_id"], []).append(row[metric])
        if not by_subject:
            summary[metric] = {"mean": math.nan, "low": math.nan, "high": math.nan, "subjects": 0}
            continue
        found = interval(
            np.array([[float(np.mean(values)) for values in by_subject.values()]]),
            confidence=cfg.confidence,
            num_resamples=cfg.num_resamples,
            seed=cfg.seed,
        )
        summary[metric] = asdict(found) | {"subjects": len(by_subject)}
    return summary


def _numbers(classes: dict[str, dict[str, Any]], split: str) -> dict[str, float]:
    """Return what MLflow shows in columns: means and bounds that exist."""
    numbers = {
        f"{split}/{metric}_{name}" + ("" if key == "mean" else f"_{key}"): found[metric][key]
        for name, found in classes.items()
        for metric in METRICS
        for key in ("mean", "low", "high")
    }
    return {name: value for name, value in numbers.items() if not math.isnan(value)}


def _telling(scored: list[_Scored], number: int) -> list[_Scored]:
    """Return cases evenly spaced from the worst to the best."""
    ranked = sorted((one for one in scored if not math.isnan(one.dice)), key=lambda one: one.dice)
    places = np.linspace(0, len(ranked) - 1, min(number, len(ranked))).round().astype(int)
    return [ranked[place] for place in places]


def _draw(
    source: Source, scored: _Scored, predicted: Volume, classes: Sequence[str], cfg: Evaluate
) -> Path:
    case = scored.held.indexed
    path = cfg.output / "figures" / f"{case.case_id}.png"
    with reading(case, "image"):
        image = to_ras(source.image(case))
    reference = np.rint(_reference(source, case, predicted).voxels[0]).astype(np.int64)
    planes = three_planes(
        np.nan_to_num(image.voxels[0].astype(np.float32)),
        (reference, predicted.voxels[0]),
        spacing_mm(image.affine).tolist(),
    )
    title = (
        f"case {case.case_id}, mean Dice {scored.dice:.3f}\nsolid: reference, dashed: prediction"
    )
    draw_planes([planes], path, class_names=classes, title=title)
    return path
