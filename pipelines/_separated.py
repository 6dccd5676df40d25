"""What both codes tell: a line an attribute, arm and level, as numbers and as a table."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from rich.console import Console
from rich.table import Table

from medssl.config.stages.separation import Separation
from medssl.evaluation.bootstrap import Interval
from medssl.evaluation.resampling import Measured, Resamples, resample
from medssl.evaluation.separation import Pair, Probed, chance, deviation, scores
from pipelines._questions import Question
from pipelines._spaces import BOTH, Space
from pipelines._vectors import Setting, named

CODES: tuple[Literal["common", "salient"], ...] = ("common", "salient")
MEASURES = {"class": "balanced accuracy", "number": "R^2"}


@dataclass(frozen=True)
class Answer:
    """What a probe on one space said to one question."""

    question: Question
    space: Space
    probed: Probed


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of the table: an attribute, from both codes of an arm at one level.

    Args:
        setting: The values on the axes that are neither arm nor draw.
        arm: Which arm.
        level: Whether codes or their projections were probed.
        attribute: What was asked.
        belongs: The code that is to tell it.
        measure: How predictions are scored.
        chance: The score of who knows nothing.
        common: The score from the common code: the mean over draws, and its interval.
        salient: That from the salient code; both are the same where an arm has one space.
        shuffled_common: The mean score of probes on the common code with shuffled labels.
        shuffled_salient: That on the salient code.
        draws: Both scores of each draw.
        num_fitted: Cases that probes were fitted on.
        num_scored: Cases that they were scored on.
        num_subjects: Whose the latter are.
    """

    setting: Setting
    arm: str
    level: str
    attribute: str
    belongs: Literal["common", "salient"]
    measure: str
    chance: float
    common: Interval
    salient: Interval
    shuffled_common: float
    shuffled_salient: float
    draws: list[dict[str, Any]]
    num_fitted: int
    num_scored: int
    num_subjects: int


def lines_of(cfg: Separation, answers: list[Answer]) -> list[Line]:
    """Return a line for each setting, arm, level and attribute, attributes innermost."""
    groups: dict[tuple[Setting, str, str], list[Answer]] = {}
    for one in answers:
        key = one.space.setting, one.space.arm, one.space.level
        groups.setdefault(key, []).append(one)
    return [
        _line(cfg, [one for one in group if one.question.name == name])
        for group in groups.values()
        for name in dict.fromkeys(one.question.name for one in group)
    ]


def _line(cfg: Separation, answers: list[Answer]) -> Line:
    question, space = answers[0].question, answers[0].space
    by_code = {
        code: sorted(
            (one for one in answers if one.space.code in (code, BOTH)),
            key=lambda one: one.space.draw,
        )
        for code in CODES
    }
    resamples = resample(
        question.scored.subjects,
        num_draws=len(by_code["common"]),
        num_resamples=cfg.num_resamples,
        seed=cfg.seed,
    )
    found = {code: _measured(of_code, resamples) for code, of_code in by_code.items()}
    shuffled = {code: _shuffled(of_code) for code, of_code in by_code.items()}
    intervals = {
        code: measured.interval(resamples, confidence=cfg.confidence)
        for code, measured in found.items()
    }
    draws = [one.space.draw for one in by_code["common"]]
    wholes = [found[code].whole.tolist() for code in CODES]
    return Line(
        setting=space.setting,
        arm=space.arm,
        level=space.level,
        attribute=question.name,
        belongs=question.belongs,
        measure=MEASURES[question.kind],
        chance=chance(question.kind, question.fitted.labels),
        common=intervals["common"],
        salient=intervals["salient"],
        shuffled_common=shuffled["common"],
        shuffled_salient=shuffled["salient"],
        draws=[
            {"draw": draw, "common": common, "salient": salient}
            for draw, common, salient in zip(draws, *wholes, strict=True)
        ],
        num_fitted=len(question.fitted.rows),
        num_scored=len(question.scored.rows),
        num_subjects=len(set(question.scored.subjects.tolist())),
    )


def _measured(answers: list[Answer], resamples: Resamples) -> Measured:
    once = np.ones((1, resamples.cases.shape[1]))
    told = [(one.question.kind, one.question.scored.labels, one.probed) for one in answers]
    return Measured(
        np.concatenate([scores(kind, own, probed.predicted, once) for kind, own, probed in told]),
        np.stack(
            [scores(kind, own, probed.predicted, resamples.cases) for kind, own, probed in told]
        ),
    )


def _shuffled(answers: list[Answer]) -> float:
    found = [
        scores(one.question.kind, one.question.scored.labels, row, np.ones((1, len(row))))
        for one in answers
        for row in one.probed.shuffled
    ]
    return float(np.mean(found)) if found else float("nan")


def deviations(lines: list[Line]) -> list[dict[str, Any]]:
    """Return how far each arm is off a perfect separation, draw by draw."""
    return [
        {
            "setting": named(own[0].setting),
            "arm": own[0].arm,
            "level": own[0].level,
            "deviation": float(np.mean(by_draw)),
            "draws": by_draw,
        }
        for own in _by_arm(lines)
        for by_draw in [_deviations(own)]
    ]


def _deviations(lines: list[Line]) -> list[float]:
    """Return the deviation of each draw of one arm."""
    return [
        deviation(
            [
                Pair(
                    belongs=line.belongs,
                    common=line.draws[number]["common"],
                    salient=line.draws[number]["salient"],
                    chance=line.chance,
                )
                for line in lines
            ]
        )
        for number in range(len(lines[0].draws))
    ]


def _by_arm(lines: list[Line]) -> list[list[Line]]:
    groups: dict[tuple[Setting, str, str], list[Line]] = {}
    for line in lines:
        groups.setdefault((line.setting, line.arm, line.level), []).append(line)
    return list(groups.values())


def row_of(line: Line) -> dict[str, Any]:
    """Return a line as the files hold it."""
    return asdict(line) | {"setting": named(line.setting)}


def metrics(lines: list[Line]) -> dict[str, float]:
    """Return the numbers of all lines, and the deviations."""
    found = {}
    for line in lines:
        place = "/".join(filter(None, (line.attribute, named(line.setting), line.arm, line.level)))
        for code in CODES:
            score: Interval = getattr(line, code)
            found[f"from_{code}/{place}"] = score.mean
            found[f"from_{code}_low/{place}"] = score.low
            found[f"from_{code}_high/{place}"] = score.high
        found[f"chance/{place}"] = line.chance
    for one in deviations(lines):
        place = "/".join(filter(None, (one["setting"], one["arm"], one["level"])))
        found[f"deviation/{place}"] = one["deviation"]
    return found


def show(cfg: Separation, lines: list[Line]) -> None:
    """Print the table, and under it the deviations."""
    percent = f"{100 * cfg.confidence:g} % CI"
    axes = list(dict.fromkeys(axis for line in lines for axis, _ in line.setting))
    table = Table(title=f"Scores of unseen cases, mean [{percent}] over subjects and draws")
    columns = ("attribute", "belongs to", "measure", "common", "salient", "chance", "shuffled")
    for name in (*axes, cfg.arm, "level", *columns, "draws", "cases", "subjects"):
        table.add_column(name)
    for line in lines:
        setting = dict(line.setting)
        table.add_row(
            *(setting.get(axis, "") for axis in axes),
            line.arm,
            line.level,
            line.attribute,
            line.belongs,
            line.measure,
            said(line.common),
            said(line.salient),
            f"{line.chance:.3f}",
            f"{line.shuffled_common:.3f}, {line.shuffled_salient:.3f}",
            str(len(line.draws)),
            str(line.num_scored),
            str(line.num_subjects),
        )
    Console(width=180 if not Console().is_terminal else None).print(table)
    for one in deviations(lines):
        place = " ".join(filter(None, (one["setting"], one["arm"], one["level"])))
        each = ", ".join(f"{value:.2f}" for value in one["draws"])
        print(f"deviation from a perfect separation, {place}: {one['deviation']:.2f} ({each})")


def said(found: Interval) -> str:
    """Return a mean with its interval as people read it."""
    return f"{found.mean:.3f} [{found.low:.3f}, {found.high:.3f}]"
