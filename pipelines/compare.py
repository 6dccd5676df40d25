"""Compare arms: evaluations in, one table of means, intervals and paired differences out.

medssl compare configs/compare/arms.yaml
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from medssl.config.component import build
from medssl.config.load import dump
from medssl.config.stages.compare import Compare
from medssl.errors import DataError
from medssl.evaluation.bootstrap import Interval
from medssl.evaluation.comparison import ALL_CLASSES, Comparison, Line, Score
from medssl.evaluation.figures import arms
from pipelines._files import write_json, write_table


def run(cfg: Compare) -> None:
    """Read the scores of all cells, compare the arms, print and keep the table."""
    # Data
    scores = [score for folder in cfg.evaluations for score in read_scores(folder, cfg.metric)]

    # Comparison
    compare = Comparison(
        arm=cfg.arm,
        reference=cfg.reference,
        draws=cfg.draws,
        confidence=cfg.confidence,
        num_resamples=cfg.num_resamples,
        seed=cfg.seed,
    )
    lines = compare(scores)
    benchmark = find_benchmark(lines, cfg)

    # Result
    with build(cfg.tracker).run(f"compare {cfg.output.name}", config=dump(cfg)) as tracked:
        write_table(
            pa.Table.from_pylist([_row(line) for line in lines]), cfg.output / "table.parquet"
        )
        write_json({"lines": [_row(line) for line in lines]}, cfg.output / "table.json")
        _draw(lines, cfg, benchmark)
        tracked.metrics(0, _numbers(lines, cfg.metric))
        for name in ("table.parquet", "table.json", "arms.png"):
            tracked.artifact(cfg.output / name)
    show(lines, cfg)
    print(f"compared {len(cfg.evaluations)} evaluations: {cfg.output}")


def read_scores(folder: Path, metric: str) -> list[Score]:
    """Return the scores of one evaluation, each with the evaluation's place in the matrix.

    Raises:
        DataError: If the folder is no evaluation, or has no such metric.
    """
    if not (folder / "summary.json").is_file():
        msg = f"{folder} is no evaluation: expected summary.json, as `medssl evaluate` writes it"
        raise DataError(msg)
    cell = json.loads((folder / "summary.json").read_text())["cell"]
    table = pq.read_table(folder / "cases.parquet")
    if metric not in table.column_names:
        msg = f"{folder} has no metric {metric!r}: expected one of {table.column_names}"
        raise DataError(msg)
    return [
        Score(
            cell=cell,
            subject_id=row["subject_id"],
            class_name=row["class_name"],
            value=row[metric],
        )
        for row in table.to_pylist()
    ]


def find_benchmark(lines: list[Line], cfg: Compare) -> float | None:
    """Return the reference arm's mean in the setting that is the benchmark.

    Raises:
        DataError: If there is no such setting.
    """
    if cfg.benchmark is None:
        return None
    for line in lines:
        is_mean = (line.class_name, line.arm) == (ALL_CLASSES, cfg.reference)
        if is_mean and cfg.benchmark.items() <= dict(line.setting).items():
            return line.score.mean
    settings = list(dict.fromkeys(_named(line) for line in lines))
    msg = f"benchmark: expected one of the settings {settings}, got {cfg.benchmark}"
    raise DataError(msg)


def show(lines: list[Line], cfg: Compare) -> None:
    """Print the table: a row a setting, class and arm."""
    percent = f"{100 * cfg.confidence:g} % CI"
    axes = [axis for axis, _ in lines[0].setting]
    table = Table(title=f"{cfg.metric}, mean [{percent}] over subjects and draws")
    for name in (
        *axes,
        "class",
        cfg.arm,
        cfg.metric,
        f"minus {cfg.reference}",
        "p (Holm)",
        "subjects",
        "draws",
    ):
        table.add_column(name)
    for line in lines:
        table.add_row(
            *(value for _, value in line.setting),
            line.class_name,
            line.arm,
            _said(line.score),
            "" if line.difference is None else _said(line.difference, sign="+"),
            "" if line.p is None else f"{line.p:.2g} ({line.p_holm:.2g})",
            str(line.num_subjects),
            str(line.num_draws),
        )
    Console(width=140 if not Console().is_terminal else None).print(table)


def _said(found: Interval, sign: str = "") -> str:
    return f"{found.mean:{sign}.3f} [{found.low:{sign}.3f}, {found.high:{sign}.3f}]"


def _row(line: Line) -> dict[str, Any]:
    row = asdict(line)
    return row | {"setting": _named(line)}


def _named(line: Line) -> str:
    return ".".join(f"{axis}-{value}" for axis, value in line.setting)


def _numbers(lines: list[Line], metric: str) -> dict[str, float]:
    numbers = {}
    for line in lines:
        place = "/".join(filter(None, (_named(line), line.arm, line.class_name)))
        numbers[f"{metric}/{place}"] = line.score.mean
        if line.difference is not None:
            numbers[f"{metric}_difference/{place}"] = line.difference.mean
            numbers[f"{metric}_difference_low/{place}"] = line.difference.low
            numbers[f"{metric}_difference_high/{place}"] = line.difference.high
            numbers[f"{metric}_difference_p_holm/{place}"] = cast(float, line.p_holm)
    return numbers


def _draw(lines: list[Line], cfg: Compare, benchmark: float | None) -> None:
    scores: dict[str, dict[str, Interval]] = {}
    for line in lines:
        if line.class_name == ALL_CLASSES:
            scores.setdefault(line.arm, {})[_place(line)] = line.score
    cfg.output.mkdir(parents=True, exist_ok=True)
    arms(
        cfg.output / "arms.png",
        scores=scores,
        metric=cfg.metric,
        title=f"mean over classes, {100 * cfg.confidence:g} % interval",
        along=" and ".join(axis for axis, _ in lines[0].setting),
        benchmark=benchmark,
    )


def _place(line: Line) -> str:
    """Return where a line stands along the figure: the values of its setting."""
    return ", ".join(value for _, value in line.setting) or "all"
