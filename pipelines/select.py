"""Reduce a manifest: descriptors of its cases in, a smaller manifest and an audit out.

medssl select configs/select/near_duplicates.yaml --set descriptors=outputs/dhash

Only `train` rows are reduced; those of other splits pass through as they are. Where slices
were described a case keeps a list of slices, and is dropped when none of them is kept. What
is read downstream is the same kind of manifest in either case; its paths are relative to its
new folder. Several selectors work one after another, each on what those before it left.

`audit.parquet` has a row for each that was decided on, step by step, and for each case of another
split: whether it was kept, why, and what stands for it at what similarity. Reasons:

    kept         the selector kept it
    labeled      it has a label (`keep_labeled`): kept whatever the selector says, and counted
                 among what that is told to keep
    other_split  it is no `train` case
    represented  dropped in favor of what stands for it
    filtered     dropped for what it is: nothing stands for it
    blank        dropped because it shows nothing; blank images are compared with none
    evaluated    dropped because it shows whom the target cohort is evaluated on
    in_target    it is a case of the target cohort: kept besides what the selector keeps
    orphaned     dropped in favor of what a later step dropped for what it is: nothing is left that
                 stands for it

What stands for a dropped row does so in the end: where a later step dropped it in favor of another,
that other is named. `similarity` is that to the first of them, as the row's own step measured it,
and null where nothing stands for the row.

`kept_by.parquet` says how much is left of each site, scanner, body part and so on; `figures/`
shows it, with how alike pairs are, and the most and the least alike of those that were dropped.
"""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Bool

from medssl.config.component import build
from medssl.config.load import dump
from medssl.config.stages.select import Select, Within
from medssl.data.engine import Pool, open_pool
from medssl.data.manifest import Manifest, read_manifest, write_manifest
from medssl.errors import ConfigError
from medssl.selection import Selector
from pipelines._contact_sheet import draw_contact_sheet
from pipelines._descriptors import Described, read_card, read_descriptors
from pipelines._files import write_table
from pipelines._matching import AUDIT, MANIFEST, kept_rows
from pipelines._moved import moved, with_column
from pipelines._reasons import REASONS
from pipelines._records import record_of
from pipelines._selecting import Decision, Question, decide, is_labeled
from pipelines._selection_audit import audit, kept_by, passed, share_by_case, summary
from pipelines._selection_figure import draw_kept_by, draw_selection
from pipelines._stand_ins import in_the_end
from pipelines._target import Cohort, read_cohort

KEPT_BY, FIGURES = "kept_by.parquet", "figures"


@dataclass(frozen=True)
class Step:
    """One selector of several, and what it is given.

    Args:
        number: Its place among them.
        selector: What decides.
        descriptors: The folder of what it sees.
        within: What a group is.
        budget: How many rows to keep, if that is given.
    """

    number: int
    selector: Selector
    descriptors: Path
    within: Within
    budget: int | None = None


@dataclass(frozen=True)
class Made:
    """What came of a step.

    Args:
        step: Which.
        before: The manifest that it reduced.
        rows: What it saw.
        decision: What it decided.
        left: The manifest that is left.
    """

    step: Step
    before: Manifest
    rows: Described
    decision: Decision
    left: Manifest

    @property
    def said(self) -> str:
        """What a person reads of it."""
        counts = np.bincount(self.decision.reason, minlength=len(REASONS)).tolist()
        told = sorted((reason, n) for reason, n in zip(REASONS, counts, strict=True) if n)
        why = ", ".join(f"{count} {reason}" for reason, count in told)
        numbers = "".join(f", {k} {v:.4g}" for k, v in self.decision.numbers.items())
        kept, total = self.decision.kept.sum(), len(self.rows.case)
        return f"kept {kept} of {total} {self.rows.unit}s ({kept / total:.1%}): {why}{numbers}"


def run(cfg: Select) -> None:
    """Decide on each row of the train split, write what is left and why."""
    manifest = read_manifest(cfg.manifest)
    steps = steps_of(cfg, manifest)
    folders = [step.descriptors for step in steps]
    target = None if cfg.target is None else read_cohort(cfg.target, folders)
    with (
        build(cfg.tracker).run(f"select {cfg.output.name}", config=dump(cfg)) as tracked,
        open_pool(cfg.scheduler, cfg.jobs) as pool,
    ):
        tracked.dataset(record_of(manifest, cfg.manifest, context="select"))

        # Decisions, each on what those before it left
        made: list[Made] = []
        for step in steps:
            before = made[-1].left if made else manifest
            made.append(take(cfg, step, before, pool, target))
            print(made[-1].said, flush=True)
            found = summary(before, made[-1].left, made[-1].rows, made[-1].decision)
            tracked.metrics(step.number, {f"select/{name}": v for name, v in found.items()})

        # Result
        write(cfg, manifest, made)
        for name in (AUDIT, KEPT_BY, FIGURES):
            tracked.artifact(cfg.output / name)
    left = made[-1].left
    lost = int(is_labeled(manifest.split("train")).sum() - is_labeled(left.split("train")).sum())
    note = f", {lost} labeled ones dropped" if lost else ""
    print(f"{len(left)} of {len(manifest)} cases are left with other splits{note}: {cfg.output}")


def steps_of(cfg: Select, manifest: Manifest) -> list[Step]:
    """Return the selectors and what each is given, the last one with the budget of another arm."""
    steps = [Step(0, build(cfg.selector), cfg.descriptors, cfg.within)]
    for number, then in enumerate(cfg.then, start=1):
        descriptors = then.descriptors or steps[-1].descriptors
        within = then.within or steps[-1].within
        steps.append(Step(number, build(then.selector), descriptors, within))
    if cfg.as_many_as is not None:
        unit = read_card(steps[-1].descriptors)["unit"]
        steps[-1] = replace(steps[-1], budget=kept_rows(cfg.as_many_as, manifest, unit))
    return steps


def take(cfg: Select, step: Step, before: Manifest, pool: Pool, target: Cohort | None) -> Made:
    """Take a step.

    Raises:
        ConfigError: If its selector cannot use its descriptors.
    """
    rows = read_descriptors(step.descriptors, before, split="train")
    if rows.kind not in step.selector.takes:
        msg = (
            f"selector {type(step.selector).__name__} takes rows of the kind "
            f"{' or '.join(step.selector.takes)}, {step.descriptors} holds a {rows.kind} a row; "
            "give another selector or similarity, or what `embed` makes with another descriptor"
        )
        raise ConfigError(msg)
    question = Question(
        selector=step.selector,
        within=step.within,
        keep_labeled=cfg.keep_labeled,
        order=cfg.order,
        seed=cfg.seed,
        stratify_by=cfg.stratify_by,
        target=None if target is None else target.beside(rows.card),
        budget=step.budget,
    )
    decision = decide(question, before, rows, pool, int(cfg.memory_gib * 2**30))
    return Made(step, before, rows, decision, keep(before, rows, decision.kept))


def write(cfg: Select, manifest: Manifest, made: list[Made]) -> None:
    """Write the smaller manifest, and the account of it in tables and figures."""
    audits = [audit(one.before, one.rows, one.decision, one.step.number) for one in made]
    log = pa.concat_tables(audits)
    account = pa.concat_tables([in_the_end(log), passed(manifest)], promote_options="default")
    write_table(account, cfg.output / AUDIT)
    unit = "slice" if any(one.rows.unit == "slice" for one in made) else "volume"
    common = kept_by(manifest, made[-1].left, unit)
    write_table(common, cfg.output / KEPT_BY)
    figures = cfg.output / FIGURES
    shutil.rmtree(figures, ignore_errors=True)
    for one in made:
        path = figures / f"selection_{one.step.number}.png"
        draw_selection(one.decision, share_by_case(one.rows, one.decision.kept), path)
    draw_kept_by(common, figures / "kept_by.png")
    root = cfg.manifest.parent
    draw_contact_sheet(log, manifest, root, cfg.num_examples, figures / "dropped.png")
    # Last: where it is, all of it is.
    write_manifest(moved(made[-1].left, root, cfg.output), cfg.output / MANIFEST)


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
    return Manifest(with_column(smaller.table, "slices", [slices[row] for row in cases]))
