"""One selection: described rows in, what becomes of each of them out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pyarrow.compute as pc
from jaxtyping import Bool, Float, Int, UInt8

from medssl.data.engine import Pool, map_bounded
from medssl.data.manifest import Manifest
from medssl.errors import DataError
from medssl.selection import (
    NOBODY,
    Budgeted,
    DescriptorTable,
    Pairwise,
    Selection,
    Selector,
    Wrapping,
)
from medssl.selection._sparing import Sparing
from medssl.selection.calibrated import Calibrated
from pipelines._descriptors import Described
from pipelines._progress import track
from pipelines._reasons import (
    BLANK,
    EVALUATED,
    FILTERED,
    IN_TARGET,
    KEPT,
    LABELED,
    REPRESENTED,
)
from pipelines._strata import strata_of
from pipelines._target import Cohort

PARTS_A_JOB = 8  # so that a large one at the end leaves nobody idle for long
SAMPLED_PAIRS = 10_000
COPIES = 8  # of the values, and what a selector computes of them


@dataclass(frozen=True)
class Decision:
    """What becomes of each described row.

    Args:
        kept: Whether it is kept.
        reason: Why or why not, by its number among the reasons.
        stands_for: The row that stands for it; -1 if none does.
        similarity: Between the two; NaN if there is none.
        numbers: What the selector says of itself.
        curves: The same, for numbers that change on the way.
        in_scope: How alike some pairs are that it might have compared.
    """

    kept: Bool[np.ndarray, "row"]
    reason: UInt8[np.ndarray, "row"]
    stands_for: Int[np.ndarray, "row"]
    similarity: Float[np.ndarray, "row"]
    numbers: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, np.ndarray] = field(default_factory=dict)
    in_scope: Float[np.ndarray, "pair"] = field(default_factory=lambda: np.empty(0))


@dataclass(frozen=True)
class Question:
    """What is asked of one selector.

    Args:
        selector: What decides.
        within: What a group is.
        keep_labeled: Whether labeled cases come first and are all kept.
        order: Which of the others comes first: by case and slice, or at random.
        seed: Of a random order.
        stratify_by: The manifest's column or attribute whose values are strata.
        target: What to come close to, and whom it is evaluated on.
        budget: How many rows to keep, those of the target's cases counted, if that is given.
    """

    selector: Selector
    within: Literal["case", "subject", "all"]
    keep_labeled: bool
    order: Literal["position", "random"] = "position"
    seed: int = 0
    stratify_by: str | None = None
    target: Cohort | None = None
    budget: int | None = None


def decide(
    question: Question, manifest: Manifest, rows: Described, pool: Pool, memory_bytes: int
) -> Decision:
    """Let the selector choose among the rows that show something, labeled ones first.

    Raises:
        DataError: If none does, or none may be chosen.
    """
    reason = np.full(len(rows.case), REPRESENTED)
    reason[rows.blank] = BLANK
    if question.target is not None:
        told = question.target.told(manifest)[rows.case]
        reason[told != REPRESENTED] = told[told != REPRESENTED]
    labeled = is_labeled(manifest)[rows.case] & (reason != EVALUATED) & question.keep_labeled
    (open_,) = np.nonzero(reason == REPRESENTED)
    if not len(open_):
        msg = (
            f"none of {len(rows.case)} rows can be chosen: {(reason == BLANK).sum()} are blank, "
            "the others are of the target cohort; lower min_foreground, or give other cases"
        )
        raise DataError(msg)
    table = table_of(question, manifest, rows, labeled).take(open_)
    selector = told_to_keep(question, reason, labeled)
    selection = chosen(selector, table, pool, memory_bytes)
    told_nobody = selection.stands_for == NOBODY
    reason[open_[told_nobody]] = FILTERED
    reason[open_[selection.kept]] = KEPT
    reason[labeled] = LABELED
    stands_for = np.full(len(rows.case), NOBODY)
    stands_for[open_] = np.where(told_nobody, NOBODY, open_[selection.stands_for])
    stands_for[labeled] = np.flatnonzero(labeled)
    similarity = np.full(len(rows.case), np.nan)
    similarity[open_] = selection.similarity
    similarity[labeled] = 1.0
    return Decision(
        kept=reason <= IN_TARGET,
        reason=reason,
        stands_for=stands_for,
        similarity=similarity,
        numbers=selection.numbers,
        curves=selection.curves,
        in_scope=in_scope(selector, table),
    )


def told_to_keep(
    question: Question, reason: UInt8[np.ndarray, "row"], labeled: Bool[np.ndarray, "row"]
) -> Selector:
    """Return the selector, told which of the rows that it is to keep are kept in any case.

    Those are the labeled ones, and the target's where another selection's number is to be met.

    Args:
        question: Which selector, and how many rows, if that is given.
        reason: Why a row is not chosen from; that it is represented where it is.
        labeled: Which rows are kept for their label.
    """
    selector = question.selector
    in_target = (reason == IN_TARGET) & ~labeled
    counted = labeled & (reason != IN_TARGET)
    if question.budget is not None:
        selector = to_budget(selector, question.budget)
        counted = labeled | in_target
    if not isinstance(selector, Budgeted) or not counted.any():
        return selector
    is_open = reason == REPRESENTED
    what = {"labeled": counted & labeled, "of the target cohort": counted & in_target}
    return Sparing(
        selector,
        labeled[is_open],
        beyond=int((counted & ~is_open).sum()),
        named=", ".join(f"{rows.sum()} {name}" for name, rows in what.items() if rows.any()),
    )


def to_budget(selector: Selector, budget: int) -> Calibrated:
    """Return the selector, set so that it keeps so many rows."""
    if isinstance(selector, Calibrated):
        return selector.keeping(budget)
    return Calibrated(selector=selector, budget=budget)


def in_scope(selector: Selector, table: DescriptorTable) -> Float[np.ndarray, "pair"]:
    """Return how alike some pairs are that a selector might compare; none if it compares none."""
    while isinstance(selector, Wrapping):
        selector = selector.selector
    if not isinstance(selector, Pairwise):
        return np.empty(0)
    return selector.pairs_in_scope(table, SAMPLED_PAIRS)


def table_of(
    question: Question,
    manifest: Manifest,
    rows: Described,
    labeled: Bool[np.ndarray, "row"],
) -> DescriptorTable:
    """Return what there is to know of all rows."""
    groups = {
        "case": rows.case,
        "subject": manifest.codes("subject_id")[rows.case],
        "all": np.zeros_like(rows.case),
    }
    stratum: np.ndarray | None = None
    strata: tuple[str, ...] = ()
    if question.stratify_by is not None:
        codes, strata = strata_of(manifest, question.stratify_by)
        stratum = codes[rows.case]
    return DescriptorTable(
        rows.values,
        groups[question.within],
        order_of(question, rows, labeled),
        target=None if question.target is None else question.target.values,
        stratum=stratum,
        strata=strata,
    )


def order_of(
    question: Question, rows: Described, labeled: Bool[np.ndarray, "row"]
) -> Int[np.ndarray, "row"]:
    """Return the place of each row: labeled ones first, then by position or at random."""
    keys: tuple[np.ndarray, ...] = (rows.slice, rows.case)
    if question.order == "random":
        keys = (np.random.default_rng(question.seed).permutation(len(rows.case)),)
    order = np.empty(len(rows.case), dtype=np.int64)
    order[np.lexsort((*keys, ~labeled))] = np.arange(len(rows.case))
    return order


def chosen(selector: Selector, table: DescriptorTable, pool: Pool, memory_bytes: int) -> Selection:
    """Return what the selector chooses, several groups at a time where it takes each by itself."""
    parts = apart(table.group, PARTS_A_JOB * pool.jobs) if selector.is_by_group else []
    if len(parts) < 2:
        return selector(table)
    a_row = table.values.itemsize * table.values.shape[1]
    done = map_bounded(
        Work(selector),
        parts,
        pool=pool,
        memory_bytes=memory_bytes,
        cost_bytes=lambda part: COPIES * a_row * len(part),
        named=lambda part: f"{len(part)} rows",
        sent=table.take,
    )
    stands_for = np.full(len(table), NOBODY)
    similarity = np.full(len(table), np.nan)
    total = len(table)
    for part, found in track(
        done, total=total, label="select", unit="rows", steps=lambda pair: len(pair[0])
    ):
        own = found.stands_for >= 0
        stands_for[part[own]] = part[found.stands_for[own]]
        similarity[part] = found.similarity
    return Selection(np.flatnonzero(stands_for == np.arange(total)), stands_for, similarity)


@dataclass(frozen=True)
class Work:
    """A selector, as it is sent to those who work."""

    selector: Selector

    def __call__(self, table: DescriptorTable) -> Selection:
        """Return what it chooses."""
        return self.selector(table)


def apart(group: Int[np.ndarray, "row"], number: int) -> list[Int[np.ndarray, "part"]]:
    """Return about so many sets of rows of nearly one size, none of which divides a group."""
    rows = np.argsort(group, kind="stable")
    borders = np.flatnonzero(np.diff(group[rows])) + 1
    wanted = np.arange(1, number) * len(rows) / number
    if not len(borders):
        return [rows]
    nearest = borders[np.searchsorted(borders, wanted).clip(max=len(borders) - 1)]
    return np.split(rows, np.unique(nearest))


def is_labeled(manifest: Manifest) -> Bool[np.ndarray, "case"]:
    """Return which cases have a label volume."""
    return pc.is_valid(manifest.table["label_uri"]).to_numpy()
