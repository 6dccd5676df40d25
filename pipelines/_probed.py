"""What the probes of a target say: a line an arm, as numbers, as a table and as a figure."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from rich.console import Console
from rich.table import Table

from medssl.config.stages.probe import Probe
from medssl.evaluation.auc import Pairs, aucs_of
from medssl.evaluation.bootstrap import Interval
from medssl.evaluation.figures import Dots, dots
from medssl.evaluation.resampling import resample
from pipelines._vectors import Setting, Source, named


@dataclass(frozen=True, kw_only=True)
class Task:
    """A target on the cases that take part.

    Args:
        target: Its name.
        rows: Which cases take part.
        labels: Which of them are positive.
        subjects: A number for the subject of each.
        folds: Of each, repeat by repeat.
        pairs: Which are compared.
    """

    target: str
    rows: Int[np.ndarray, "case"]
    labels: Bool[np.ndarray, "case"]
    subjects: Int[np.ndarray, "case"]
    folds: Int[np.ndarray, "repeat case"]
    pairs: Pairs


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What a probe on one source said of the cases of a task, out of fold."""

    task: Task
    source: Source
    scores: Float[np.ndarray, "repeat case"]


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of the table: an arm or a baseline on one target, in one setting.

    Args:
        target: The target's name.
        setting: The values on the axes that are neither arm nor draw.
        arm: Which arm or baseline.
        is_baseline: Whether it is no arm.
        auc: The mean over draws, and its interval.
        difference: To the reference arm, paired by draw and subject; None for itself, or if
            there is none.
        draws: Each draw's AUC.
        num_cases: How many were scored.
        num_subjects: Whose they are.
        num_positives: How many of the cases are positive.
        num_pairs: How many pairs of cases were compared.
    """

    target: str
    setting: Setting
    arm: str
    is_baseline: bool
    auc: Interval
    difference: Interval | None
    draws: list[dict[str, Any]]
    num_cases: int
    num_subjects: int
    num_positives: int
    num_pairs: int


def lines_of(cfg: Probe, scored: list[Scored]) -> Iterator[Line]:
    """Yield a line for each setting and arm of a task, and for the baselines beside them."""
    for setting in dict.fromkeys(one.source.setting for one in scored):
        if setting is not None:
            yield from _lines(
                cfg, setting, [s for s in scored if s.source.setting in (setting, None)]
            )


def _lines(cfg: Probe, setting: Setting, scored: list[Scored]) -> Iterator[Line]:
    arms: dict[tuple[str | None, bool], list[Scored]] = {}
    for one in scored:
        arms.setdefault((one.source.arm, one.source.setting is None), []).append(one)
    resamples = resample(
        scored[0].task.subjects,
        num_draws=max(map(len, arms.values())),
        num_resamples=cfg.num_resamples,
        seed=cfg.seed,
    )
    aucs = {}
    for key, group in arms.items():
        group.sort(key=lambda one: one.source.draw)  # draws of two arms are paired
        aucs[key] = aucs_of([one.scores for one in group], group[0].task.pairs, resamples)
    itself = (cfg.reference, False)
    for key, found in aucs.items():
        difference = None
        if itself in aucs and key != itself:
            paired = found.minus(aucs[itself])
            difference = paired.interval(resamples, confidence=cfg.confidence)
        auc = found.interval(resamples, confidence=cfg.confidence)
        yield _line(setting, arms[key], found.whole.tolist(), auc, difference)


def _line(
    setting: Setting,
    group: list[Scored],
    by_draw: list[float],
    auc: Interval,
    difference: Interval | None,
) -> Line:
    task, source = group[0].task, group[0].source
    draws = [one.source.draw for one in group]
    return Line(
        target=task.target,
        setting=setting,
        arm=source.arm,
        is_baseline=source.setting is None,
        auc=auc,
        difference=difference,
        draws=[{"draw": draw, "auc": own} for draw, own in zip(draws, by_draw, strict=True)],
        num_cases=len(task.rows),
        num_subjects=len(set(task.subjects.tolist())),
        num_positives=int(task.labels.sum()),
        num_pairs=len(task.pairs),
    )


def row_of(line: Line) -> dict[str, Any]:
    """Return a line as the files hold it."""
    return asdict(line) | {"setting": named(line.setting)}


def metrics(lines: list[Line]) -> dict[str, float]:
    """Return the numbers of all lines, by target, setting and arm."""
    numbers = {}
    for line in lines:
        place = "/".join(filter(None, (line.target, named(line.setting), line.arm)))
        for name, found in (("auc", line.auc), ("auc_difference", line.difference)):
            if found is not None:
                numbers[f"{name}/{place}"] = found.mean
                numbers[f"{name}_low/{place}"] = found.low
                numbers[f"{name}_high/{place}"] = found.high
    return numbers


def draw(cfg: Probe, lines: list[Line]) -> None:
    """Draw a panel a target: arms as dots with intervals, baselines as lines."""
    points: dict[str, dict[str, Interval]] = {line.target: {} for line in lines}
    alone: dict[str, dict[str, float]] = {line.target: {} for line in lines}
    for line in lines:
        if line.is_baseline:
            alone[line.target][line.arm] = line.auc.mean
        else:
            place = " ".join(filter(None, (line.arm, *(value for _, value in line.setting))))
            points[line.target][place or "all"] = line.auc
    panels = {target: Dots(points[target], alone[target], chance=0.5) for target in points}
    cfg.output.mkdir(parents=True, exist_ok=True)
    title = f"AUC out of fold, {100 * cfg.confidence:g} % interval over subjects and draws"
    dots(cfg.output / "probe.png", panels=panels, title=title)


def show(cfg: Probe, lines: list[Line]) -> None:
    """Print the table: a row a target, setting and arm."""
    percent = f"{100 * cfg.confidence:g} % CI"
    axes = list(dict.fromkeys(axis for line in lines for axis, _ in line.setting))
    table = Table(title=f"AUC, mean [{percent}] over subjects and draws")
    differences = [] if cfg.reference is None else [f"minus {cfg.reference}"]
    counts = ("draws", "cases", "subjects", "positive", "pairs")
    for name in ("target", *axes, cfg.arm, "AUC", *differences, *counts):
        table.add_column(name)
    for line in lines:
        found = line.difference
        setting = dict(line.setting)
        table.add_row(
            line.target,
            *(setting.get(axis, "") for axis in axes),
            f"{line.arm} alone" if line.is_baseline else line.arm,
            said(line.auc),
            *("" if found is None else said(found, sign="+") for _ in differences),
            str(len(line.draws)),
            str(line.num_cases),
            str(line.num_subjects),
            str(line.num_positives),
            str(line.num_pairs),
        )
    Console(width=160 if not Console().is_terminal else None).print(table)


def said(found: Interval, sign: str = "") -> str:
    """Return a mean with its interval as people read it."""
    return f"{found.mean:{sign}.3f} [{found.low:{sign}.3f}, {found.high:{sign}.3f}]"
