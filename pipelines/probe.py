"""Probe frozen encoders: vectors and attributes in, AUCs with intervals and differences out.

medssl probe configs/probe/lidc.yaml

`scores.parquet` holds each case's scores out of fold, `table.json` and `table.parquet` a line a
target, setting and arm. Folds divide the subjects of one split, so that no encoder is asked
about a subject that its probe was fitted on.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from medssl.config.component import build
from medssl.config.load import dump
from medssl.config.stages.probe import Probe
from medssl.data.engine import map_bounded, open_pool
from medssl.data.manifest import Manifest, read_manifest
from medssl.errors import DataError
from medssl.evaluation.auc import pairs_of
from medssl.evaluation.probe import LinearProbe
from pipelines._files import write_json, write_table
from pipelines._probed import Scored, Task, draw, lines_of, metrics, row_of, show
from pipelines._progress import track
from pipelines._properties import property_of
from pipelines._records import record_of
from pipelines._vectors import Axes, Source, baselines, named, vectors

MOST_SENT_BYTES = 1 << 30  # vectors that are with those who work


def run(cfg: Probe) -> None:
    """Read vectors and attributes, score the cases out of fold, compare, keep the table."""
    # Data
    cases = read_cases(cfg)
    axes = Axes(arm=cfg.arm, draw=cfg.draw, reference=cfg.reference)
    found = vectors(cfg.descriptors, cases, split=cfg.split, axes=axes)
    sources = [*found, *baselines(cfg, cases)]
    tasks = [task_of(name, cfg, cases) for name in cfg.targets]

    with build(cfg.tracker).run(f"probe {cfg.output.name}", config=dump(cfg)) as tracked:
        tracked.dataset(record_of(cases, cfg.manifest, context="probe"))

        # Probing
        scored = probe_all(cfg, tasks, sources)
        lines = [line for task in tasks for line in lines_of(cfg, scored[task.target])]

        # Result
        rows = [row_of(line) for line in lines]
        write_table(
            pa.concat_tables(table_of(cases, s) for of_task in scored.values() for s in of_task),
            cfg.output / "scores.parquet",
        )
        write_table(pa.Table.from_pylist(rows), cfg.output / "table.parquet")
        write_json({"lines": rows}, cfg.output / "table.json")
        draw(cfg, lines)
        tracked.metrics(0, metrics(lines))
        for name in ("table.parquet", "table.json", "scores.parquet", "probe.png"):
            tracked.artifact(cfg.output / name)
    show(cfg, lines)
    print(f"probed {len(cfg.descriptors)} encoders for {len(cfg.targets)} targets: {cfg.output}")


def read_cases(cfg: Probe) -> Manifest:
    """Return the cases of the split.

    Raises:
        DataError: If there is none.
    """
    manifest = read_manifest(cfg.manifest)
    cases = manifest.split(cfg.split)
    if not len(cases):
        known = sorted(set(manifest.table["split"].to_pylist()))
        msg = f"{cfg.manifest} has no case of the split {cfg.split!r}: expected one of {known}"
        raise DataError(msg)
    return cases


def task_of(name: str, cfg: Probe, cases: Manifest) -> Task:
    """Return a target on these cases, with folds and pairs.

    Raises:
        DataError: If it can not be probed on them; the target is named.
    """
    try:
        known = property_of(cfg.targets[name], cases)
        subjects = cases.codes("subject_id")[known.rows]
        folds = probe_of(cfg).folds(subjects, known.labels)
        pairs = pairs_of(
            known.labels, folds, matched_on=known.matched_on, tolerance=known.tolerance
        )
    except DataError as error:
        msg = f"target {name}: {error}"
        raise DataError(msg) from error
    return Task(
        target=name,
        rows=known.rows,
        labels=known.labels,
        subjects=subjects,
        folds=folds,
        pairs=pairs,
    )


@dataclass(frozen=True)
class Ask:
    """A probe, as it is sent to those who work."""

    probe: LinearProbe

    def __call__(self, unit: tuple[Task, Source]) -> Float[np.ndarray, "repeat case"]:
        """Return what it says of the cases of a task by a source."""
        task, source = unit
        return self.probe.scores(source.values, task.subjects, task.labels, task.folds)


def probe_all(cfg: Probe, tasks: list[Task], sources: list[Source]) -> dict[str, list[Scored]]:
    """Return the scores of every source, by target.

    Targets that differ only in the pairs that are compared are scored once.
    """
    alike = {task.target: (task.rows.tobytes(), task.labels.tobytes()) for task in tasks}
    once = list({alike[task.target]: task for task in tasks}.values())
    units = [(task, number) for task in once for number in range(len(sources))]
    scores: dict[tuple[tuple[bytes, bytes], int], Float[np.ndarray, "repeat case"]] = {}
    with open_pool(cfg.scheduler, cfg.jobs) as pool:
        found = map_bounded(
            Ask(probe_of(cfg)),
            units,
            pool=pool,
            memory_bytes=MOST_SENT_BYTES,
            cost_bytes=lambda unit: sources[unit[1]].values.nbytes,
            named=lambda unit: f"target {unit[0].target}, arm {sources[unit[1]].arm}",
            sent=lambda unit: (unit[0], sources[unit[1]].of(unit[0].rows)),
        )
        for (task, number), scored in track(found, total=len(units), label="probe", unit="probes"):
            scores[alike[task.target], number] = scored
    return {
        task.target: [
            Scored(task=task, source=source, scores=scores[alike[task.target], number])
            for number, source in enumerate(sources)
        ]
        for task in tasks
    }


def probe_of(cfg: Probe) -> LinearProbe:
    """Return what fits and scores."""
    return LinearProbe(num_folds=cfg.num_folds, num_repeats=cfg.num_repeats, seed=cfg.seed)


def table_of(cases: Manifest, scored: Scored) -> pa.Table:
    """Return a row a score: of a case, by the probe of its fold in one repeat."""
    task, source = scored.task, scored.source
    num_repeats, num_cases = scored.scores.shape
    rows = pa.array(np.tile(task.rows, num_repeats))
    columns = {
        "case_id": cases.table["case_id"].take(rows),
        "subject_id": cases.table["subject_id"].take(rows),
        "target": task.target,
        "setting": named(source.setting or ()),
        "arm": source.arm,
        "draw": source.draw,
        "is_baseline": source.setting is None,
        "repeat": np.repeat(np.arange(num_repeats), num_cases),
        "fold": task.folds.ravel(),
        "score": scored.scores.ravel(),
        "label": np.tile(task.labels, num_repeats),
    }
    return pa.table(
        {
            name: pa.repeat(column, len(rows)) if isinstance(column, str | bool) else column
            for name, column in columns.items()
        }
    )
