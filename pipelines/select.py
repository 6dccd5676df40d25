"""Reduce a manifest: descriptors of its cases in, a smaller manifest and an audit out.

medssl select configs/select/near_duplicates.yaml --set descriptors=outputs/dhash

Only `train` rows are reduced; those of other splits pass through as they are. Where slices
were described a case keeps a list of slices, and is dropped when none of them is kept. What
is read downstream is the same kind of manifest in either case; its paths are relative to its
new folder. `audit.parquet` has a row for each that was decided on, and for each case of another
split: whether it was kept, why, and what stands for it at what similarity. Reasons:

    kept         the selector kept it
    labeled      it has a label (`keep_labeled`): kept whatever the selector says
    other_split  it is no `train` case
    represented  dropped in favor of what stands for it
    blank        dropped because it shows nothing; blank images are compared with none
"""

import posixpath
from dataclasses import dataclass
from os.path import relpath
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float, Int

from medssl.config.component import build
from medssl.config.load import dump
from medssl.config.stages.select import Select
from medssl.data.manifest import SCHEMA, Manifest, read_manifest, write_manifest
from medssl.errors import ConfigError, DataError
from medssl.selection import DescriptorTable, Selector
from pipelines._descriptors import Described, read_descriptors
from pipelines._files import write_table
from pipelines._records import record_of
from pipelines._selection_figure import draw_selection


def run(cfg: Select) -> None:
    """Decide on each row of the train split, write what is left and why."""
    manifest = read_manifest(cfg.manifest)
    rows = read_descriptors(cfg.descriptors, manifest, split="train")
    selector: Selector = build(cfg.selector)
    if selector.takes not in (rows.kind, "any"):
        msg = (
            f"selector {cfg.selector.name} takes a {selector.takes} a row, {cfg.descriptors} holds "
            f"a {rows.kind}; give another selector, or what `embed` makes with another descriptor"
        )
        raise ConfigError(msg)
    with build(cfg.tracker).run(f"select {cfg.output.name}", config=dump(cfg)) as tracked:
        tracked.dataset(record_of(manifest, cfg.manifest, context="select"))

        # Decision
        decision = decide(cfg, manifest, rows, selector)
        kept = keep(manifest, rows, decision.kept)

        # Result
        write_table(audit(manifest, rows, decision), cfg.output / "audit.parquet")
        moved = move(kept, cfg.manifest.parent, cfg.output)
        write_manifest(moved, cfg.output / "manifest.parquet")
        numbers = summary(manifest, kept, rows, decision)
        tracked.metrics(0, {f"select/{name}": value for name, value in numbers.items()})
        figure = cfg.output / "figures" / "selection.png"
        dropped = decision.similarity[decision.reason == "represented"]
        draw_selection(dropped, share_by_case(rows, decision.kept), figure)
        for path in (cfg.output / "audit.parquet", figure.parent):
            tracked.artifact(path)
    lost = int(numbers["labeled_cases"] - numbers["kept_labeled_cases"])
    note = f", {lost} labeled ones dropped" if lost else ""
    print(
        f"kept {decision.kept.sum()} of {len(rows.case)} {rows.unit}s, "
        f"{len(kept)} of {len(manifest)} cases with other splits{note}: {cfg.output}"
    )


@dataclass(frozen=True)
class Decision:
    """What becomes of each described row.

    Args:
        kept: Whether it is kept.
        reason: Why or why not.
        stands_for: The row that stands for it; -1 if none does.
        similarity: Between the two; NaN if there is none.
    """

    kept: Bool[np.ndarray, "row"]
    reason: np.ndarray
    stands_for: Int[np.ndarray, "row"]
    similarity: Float[np.ndarray, "row"]


def decide(cfg: Select, manifest: Manifest, rows: Described, selector: Selector) -> Decision:
    """Let the selector choose among the rows that show something, labeled ones first.

    Raises:
        DataError: If all are blank.
    """
    labeled = is_labeled(manifest)[rows.case] & cfg.keep_labeled
    (shown,) = np.nonzero(~rows.blank)
    if not len(shown):
        msg = f"{cfg.descriptors}: all {len(rows.case)} rows are blank; lower min_foreground"
        raise DataError(msg)
    order = np.empty(len(rows.case), dtype=np.int64)
    order[np.lexsort((rows.slice, rows.case, ~labeled))] = np.arange(len(rows.case))
    groups = {
        "case": rows.case,
        "subject": manifest.codes("subject_id")[rows.case],
        "all": np.zeros_like(rows.case),
    }
    table = DescriptorTable(rows.values[shown], groups[cfg.within][shown], order[shown])
    selection = selector(table)

    reason = np.full(len(rows.case), "blank", dtype=object)
    reason[shown] = "represented"
    reason[shown[selection.kept]] = "kept"
    reason[labeled] = "labeled"
    stands_for = np.full(len(rows.case), -1)
    stands_for[shown] = shown[selection.stands_for]
    stands_for[labeled] = np.flatnonzero(labeled)
    similarity = np.full(len(rows.case), np.nan)
    similarity[shown] = selection.similarity
    similarity[labeled] = 1.0
    kept = (reason == "kept") | (reason == "labeled")
    return Decision(kept, reason, stands_for, similarity)


def keep(manifest: Manifest, rows: Described, kept: Bool[np.ndarray, "row"]) -> Manifest:
    """Return the manifest of cases that keep something, with the slices that they keep."""
    share = share_by_case(rows, kept)
    left = {int(row) for row in share.nonzero()[0]}
    cases = [
        row for row, split in enumerate(manifest.table["split"].to_pylist())
        if split != "train" or row in left
    ]  # fmt: skip
    smaller = manifest.keep(np.array(cases, dtype=np.int64))
    if rows.unit == "volume":
        return smaller
    reduced = (share > 0) & (share < 1)
    slices = manifest.table["slices"].to_pylist()
    for row in reduced.nonzero()[0].tolist():
        slices[row] = []
    for row, place in zip(rows.case[kept].tolist(), rows.slice[kept].tolist(), strict=True):
        if reduced[row]:
            slices[row].append(place)
    return Manifest(_with(smaller.table, "slices", [slices[row] for row in cases]))


def share_by_case(rows: Described, kept: Bool[np.ndarray, "row"]) -> Float[np.ndarray, "case"]:
    """Return which share of its rows each case of the manifest keeps; NaN if it has none."""
    total = np.bincount(rows.case, minlength=rows.num_cases)
    left = np.bincount(rows.case[kept], minlength=rows.num_cases)
    return np.divide(left, total, out=np.full(rows.num_cases, np.nan), where=total > 0)


def move(manifest: Manifest, old: Path, new: Path) -> Manifest:
    """Return the manifest with paths relative to another folder."""
    way = Path(relpath(old.resolve(), new.resolve())).as_posix()
    table = manifest.table
    for column in ("image_uri", "label_uri"):
        uris = table[column].to_pylist()
        moved = [uri and posixpath.normpath(posixpath.join(way, uri)) for uri in uris]
        table = _with(table, column, moved)
    return Manifest(table)


def audit(manifest: Manifest, rows: Described, decision: Decision) -> pa.Table:
    """Return a row for each decision, then one for each case that was none of ours."""
    ids = manifest.table["case_id"].combine_chunks()
    stands_for = pa.array(decision.stands_for, mask=decision.stands_for < 0)
    case, place = pa.array(rows.case), pa.array(rows.slice, mask=rows.slice < 0)
    decided = pa.table(
        {
            "case_id": ids.take(case),
            "slice": place.cast(pa.int32()),
            "kept": decision.kept,
            "stands_for_case": ids.take(case.take(stands_for)),
            "stands_for_slice": place.take(stands_for).cast(pa.int32()),
            "similarity": pa.array(decision.similarity, from_pandas=True),
            "reason": pa.array(decision.reason.tolist(), pa.string()),
        }
    )
    others = manifest.table.filter(pc.field("split") != "train")["case_id"]
    kept, reason = pa.array([True] * len(others)), pa.array(["other_split"] * len(others))
    passed = pa.table({"case_id": others, "kept": kept, "reason": reason})
    return pa.concat_tables([decided, passed], promote_options="default")


def summary(
    manifest: Manifest, kept: Manifest, rows: Described, decision: Decision
) -> dict[str, float]:
    """Return how much is left, of the train split alone."""
    before, after = manifest.split("train"), kept.split("train")
    subject = manifest.codes("subject_id")[rows.case]
    by_subject = np.bincount(subject, decision.kept)[np.unique(subject)]
    shares = by_subject / np.bincount(subject)[np.unique(subject)]
    return {
        "rows": len(rows.case),
        "kept_rows": float(decision.kept.sum()),
        "blank_rows": float((decision.reason == "blank").sum()),
        "kept_share": float(decision.kept.mean()),
        "kept_share_of_subject_min": float(shares.min()),
        "kept_share_of_subject_median": float(np.median(shares)),
        "kept_share_of_subject_max": float(shares.max()),
        "cases": len(before),
        "kept_cases": len(after),
        "labeled_cases": float(is_labeled(before).sum()),
        "kept_labeled_cases": float(is_labeled(after).sum()),
        "subjects": len(np.unique(before.codes("subject_id"))),
        "kept_subjects": len(np.unique(after.codes("subject_id"))),
    }


def is_labeled(manifest: Manifest) -> Bool[np.ndarray, "case"]:
    """Return which cases have a label volume."""
    return pc.is_valid(manifest.table["label_uri"]).to_numpy()


def _with(table: pa.Table, column: str, values: list[object]) -> pa.Table:
    place = SCHEMA.get_field_index(column)
    field = SCHEMA.field(place)
    return table.set_column(place, field, pa.array(values, field.type))
