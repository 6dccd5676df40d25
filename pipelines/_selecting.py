"""One selection: described rows in, what becomes of each of them out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pyarrow.compute as pc
from jaxtyping import Bool, Float, Int, Shaped, UInt8

from medssl.data.engine import Pool, map_bounded
from medssl.data.manifest import Manifest
from medssl.errors import ConfigError, DataError
from medssl.selection import (
    NOBODY,
    DescriptorTable,
    Pairwise,
    Selection,
    Selector,
    Wrapping,
)
from medssl.selection.calibrated import Calibrated
from pipelines._descriptors import Described
from pipelines._progress import track

# Why a row is kept (the first three) or not; rows hold the number of theirs.
REASONS = ("kept", "labeled", "in_target", "represented", "filtered", "blank", "evaluated")
KEPT, LABELED, IN_TARGET, REPRESENTED, FILTERED, BLANK, EVALUATED = map(
    np.uint8, range(len(REASONS))
)
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
        stratify_by: The manifest's column whose values are strata.
        target: What to come close to: its rows, and whom they show.
        budget: How many rows to keep, those of the target's cases counted, if that is given.
    """

    selector: Selector
    within: Literal["case", "subject", "all"]
    keep_labeled: bool
    stratify_by: str | None = None
    target: "Cohort | None" = None
    budget: int | None = None


@dataclass(frozen=True)
class Cohort:
    """A target.

    Args:
        values: Rows of its cases that show something.
        cases: These cases.
        evaluated: Those of the splits that are evaluated on.
    """

    values: Shaped[np.ndarray, "row dim"]
    cases: Manifest
    evaluated: Manifest


def decide(
    question: Question, manifest: Manifest, rows: Described, pool: Pool, memory_bytes: int
) -> Decision:
    """Let the selector choose among the rows that show something, labeled ones first.

    Raises:
        DataError: If none does, or none may be chosen.
    """
    labeled = is_labeled(manifest)[rows.case] & question.keep_labeled
    reason = np.full(len(rows.case), REPRESENTED)
    reason[rows.blank] = BLANK
    if question.target is not None:
        told = known_to_target(manifest, question.target)[rows.case]
        reason[told != REPRESENTED] = told[told != REPRESENTED]
    (open_,) = np.nonzero(reason == REPRESENTED)
    if not len(open_):
        msg = (
            f"none of {len(rows.case)} rows can be chosen: {(reason == BLANK).sum()} are blank, "
            "the others are of the target cohort; lower min_foreground, or give other cases"
        )
        raise DataError(msg)
    table = table_of(question, manifest, rows, labeled).take(open_)
    selector = with_budget(question, int((reason == IN_TARGET).sum()))
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


def with_budget(question: Question, in_target: int) -> Selector:
    """Return the selector, told how many rows to keep if that is given.

    Raises:
        DataError: If the target's rows alone are as many.
    """
    if question.budget is None:
        return question.selector
    if question.budget <= in_target:
        msg = (
            f"as_many_as: {question.budget} rows are to be kept, but the target cohort alone has "
            f"{in_target}; give a smaller target, or an arm that keeps more"
        )
        raise DataError(msg)
    return Calibrated(selector=question.selector, budget=question.budget - in_target)


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
    order = np.empty(len(rows.case), dtype=np.int64)
    order[np.lexsort((rows.slice, rows.case, ~labeled))] = np.arange(len(rows.case))
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
        order,
        target=None if question.target is None else question.target.values,
        stratum=stratum,
        strata=strata,
    )


def strata_of(manifest: Manifest, column: str) -> tuple[Int[np.ndarray, "case"], tuple[str, ...]]:
    """Return the number of each case's stratum, and their names; `unknown` where there is none.

    Raises:
        ConfigError: If no case has a value.
    """
    values = manifest.table[column]
    if values.null_count == len(values):
        msg = f"stratify_by: no case of the manifest has a {column}; choose another column"
        raise ConfigError(msg)
    encoded = pc.fill_null(values, "unknown").combine_chunks().dictionary_encode()
    return encoded.indices.to_numpy().astype(np.int64), tuple(encoded.dictionary.to_pylist())


def known_to_target(manifest: Manifest, target: Cohort) -> UInt8[np.ndarray, "case"]:
    """Return why a case is not chosen from: evaluated, in target, or represented if it may be.

    Whoever the target is evaluated on is never trained on. The target's own cases would be chosen
    first: they are trained on in any case.
    """
    reason = np.full(len(manifest), REPRESENTED)
    for why, cases, keys in (
        (IN_TARGET, target.cases, ("digest",)),
        (EVALUATED, target.evaluated, ("digest", "subject_id")),
    ):
        for key in keys:
            known = pc.is_in(manifest.table[key], value_set=cases.table[key].combine_chunks())
            reason[known.to_numpy()] = why
    return reason


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
