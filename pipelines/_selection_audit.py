"""What a selection did, as tables: row by row, and by what cases have in common."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float

from medssl.data.manifest import Manifest
from pipelines._descriptors import Described
from pipelines._reasons import REASONS
from pipelines._selecting import Decision, is_labeled

COMMON = ("site", "scanner", "body_part", "sequence", "modality", "group", "sex")


def audit(manifest: Manifest, rows: Described, decision: Decision, step: int) -> pa.Table:
    """Return a row for each decision of a step."""
    ids = manifest.table["case_id"].combine_chunks()
    stands_for = pa.array(decision.stands_for, mask=decision.stands_for < 0)
    case, place = pa.array(rows.case), pa.array(rows.slice, mask=rows.slice < 0)
    return pa.table(
        {
            "case_id": ids.take(case),
            "slice": place.cast(pa.int32()),
            "kept": decision.kept,
            "stands_for_case": ids.take(case.take(stands_for)),
            "stands_for_slice": place.take(stands_for).cast(pa.int32()),
            "similarity": pa.array(decision.similarity, from_pandas=True),
            "reason": pa.array(REASONS).take(pa.array(decision.reason)),
            "step": pa.array(np.full(len(rows.case), step), pa.int32()),
        }
    )


def passed(manifest: Manifest) -> pa.Table:
    """Return a row for each case that was none of ours: those of other splits."""
    others = manifest.table.filter(pc.field("split") != "train")["case_id"]
    kept, reason = pa.array([True] * len(others)), pa.array(["other_split"] * len(others))
    return pa.table({"case_id": others, "kept": kept, "reason": reason})


def share_by_case(rows: Described, kept: Bool[np.ndarray, "row"]) -> Float[np.ndarray, "case"]:
    """Return which share of its rows each case of the manifest keeps; NaN if it has none."""
    total = np.bincount(rows.case, minlength=rows.num_cases)
    left = np.bincount(rows.case[kept], minlength=rows.num_cases)
    return np.divide(left, total, out=np.full(rows.num_cases, np.nan), where=total > 0)


def kept_by(before: Manifest, after: Manifest, unit: str) -> pa.Table:
    """Return how much of the train split is left, by each value of what cases have in common.

    Counted are slices where a selection was about slices, else cases.
    """
    left = dict(zip(after.table["case_id"].to_pylist(), _sizes(after, unit), strict=True))
    train = before.split("train")
    ids = train.table["case_id"].to_pylist()
    counts = {"rows": _sizes(train, unit), "kept_rows": [left.get(case, 0) for case in ids]}
    found = [EMPTY]
    for column in COMMON:
        values = train.table[column]
        if values.null_count < len(values):
            each = pa.table({"value": values, **counts}).group_by("value")
            sums = each.aggregate([("rows", "sum"), ("kept_rows", "sum")])
            rows, kept_rows = sums["rows_sum"], sums["kept_rows_sum"]
            share = pc.divide(kept_rows.cast(pa.float64()), rows)
            named = pa.array([column] * len(sums))
            columns = [named, sums["value"], rows, kept_rows, share]
            table = pa.Table.from_arrays(columns, schema=EMPTY.schema)
            found.append(table.sort_by([("rows", "descending"), ("value", "ascending")]))
    return pa.concat_tables(found)


def _sizes(manifest: Manifest, unit: str) -> list[int]:
    """Return how many rows each case amounts to."""
    if unit == "volume":
        return [1] * len(manifest)
    depths = pc.list_element(manifest.table["shape"], 2)
    listed = pc.list_value_length(manifest.table["slices"])
    sizes: list[int] = pc.coalesce(listed, depths).to_pylist()
    return sizes


EMPTY = pa.table(
    {
        "column": pa.array([], pa.string()),
        "value": pa.array([], pa.string()),
        "rows": pa.array([], pa.int64()),
        "kept_rows": pa.array([], pa.int64()),
        "kept_share": pa.array([], pa.float64()),
    }
)


def summary(
    manifest: Manifest, kept: Manifest, rows: Described, decision: Decision
) -> dict[str, float]:
    """Return how much is left, of the train split alone."""
    before, after = manifest.split("train"), kept.split("train")
    subject = manifest.codes("subject_id")[rows.case]
    by_subject = np.bincount(subject, decision.kept)[np.unique(subject)]
    shares = by_subject / np.bincount(subject)[np.unique(subject)]
    counts = dict(zip(REASONS, np.bincount(decision.reason, minlength=len(REASONS)), strict=True))
    reasons = ("blank", "filtered", "represented", "evaluated", "in_target")
    return {
        "rows": len(rows.case),
        "kept_rows": float(decision.kept.sum()),
        **{f"{why}_rows": float(counts[why]) for why in reasons},
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
        **decision.numbers,
    }
