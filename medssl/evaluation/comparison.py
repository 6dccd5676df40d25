"""Arms of a study side by side: means, intervals, and paired differences to one of them.

A score belongs to a subject, under one draw of the labeled cases, in one arm. Scores of several
cases of a subject are averaged first: subjects are what is resampled. Each difference is tested,
and p is adjusted for all arms in all settings of its class, by Holm's procedure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from jaxtyping import Float

from medssl.errors import DataError
from medssl.evaluation.bootstrap import Interval, interval
from medssl.evaluation.significance import holm, sign_flip_p

ALL_CLASSES = "mean"


@dataclass(frozen=True, kw_only=True)
class Score:
    """One number.

    Args:
        cell: Where it was measured: the value on each axis of the matrix.
        subject_id: Of whom.
        class_name: Of which class.
        value: The metric; NaN where it does not exist.
    """

    cell: Mapping[str, str]
    subject_id: str
    class_name: str
    value: float


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of the table: an arm, in one setting, for one class or the mean of all.

    Args:
        setting: The values on the axes that are neither arm nor draws.
        arm: Which arm.
        class_name: Which class; `mean` is the mean over classes, subject by subject.
        score: The mean and its interval.
        difference: To the reference arm, paired by draw and subject; None for itself.
        p: Two-sided, of sign flips over subjects, that the difference is 0; None for itself.
        p_holm: The same, adjusted for the number of differences of this class.
        num_subjects: How many were scored.
        num_draws: How many draws.
    """

    setting: tuple[tuple[str, str], ...]
    arm: str
    class_name: str
    score: Interval
    difference: Interval | None
    p: float | None
    p_holm: float | None
    num_subjects: int
    num_draws: int


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How scores become lines.

    Args:
        arm: The axis that is compared.
        reference: The arm that differences are to.
        draws: The axes that are resampled beside the subjects, each of their combinations a draw.
        confidence: Of the intervals.
        num_resamples: Bootstrap resamples.
        seed: Of the resampling.
    """

    arm: str
    reference: str
    draws: tuple[str, ...]
    confidence: float
    num_resamples: int
    seed: int

    def __call__(self, scores: Sequence[Score]) -> list[Line]:
        """Return a line for each setting, class and arm, in the order in which they come.

        Raises:
            DataError: If an arm is missing in a setting, or was scored on other subjects.
        """
        lines = []
        for setting in dict.fromkeys(map(self._setting, scores)):
            here = [score for score in scores if self._setting(score) == setting]
            arms = list(dict.fromkeys(score.cell.get(self.arm, "") for score in here))
            if self.reference not in arms:
                msg = f"expected the reference {self.reference!r} among the arms, got {arms}"
                raise DataError(msg)
            classes = list(dict.fromkeys(score.class_name for score in here))
            for class_name in (*classes, ALL_CLASSES):
                lines += self._lines(setting, class_name, arms, here)
        return _adjusted(lines)

    def _setting(self, score: Score) -> tuple[tuple[str, str], ...]:
        return tuple((k, v) for k, v in score.cell.items() if k not in (self.arm, *self.draws))

    def _lines(
        self,
        setting: tuple[tuple[str, str], ...],
        class_name: str,
        arms: list[str],
        here: list[Score],
    ) -> list[Line]:
        tables = self._tables(class_name, arms, here)
        reference = tables[self.reference]
        lines = []
        for arm, table in tables.items():
            paired = None if arm == self.reference else table - reference
            lines.append(
                Line(
                    setting=setting,
                    arm=arm,
                    class_name=class_name,
                    score=self._interval(table),
                    difference=None if paired is None else self._interval(paired),
                    p=None if paired is None else self._p(paired),
                    p_holm=None,
                    num_subjects=table.shape[1],
                    num_draws=table.shape[0],
                )
            )
        return lines

    def _tables(
        self, class_name: str, arms: list[str], here: list[Score]
    ) -> dict[str, Float[np.ndarray, "draw subject"]]:
        """Return each arm's scores, all with the draws and subjects that any arm has, as they come.

        Not sorted: ids of subjects depend on the key of the pseudonyms, and no interval should.
        """
        values: dict[tuple[str, str, str], list[float]] = {}
        for score in here:
            if class_name in (score.class_name, ALL_CLASSES):
                key = score.cell.get(self.arm, ""), *self._pair(score)
                values.setdefault(key, []).append(score.value)
        draws, subjects = (
            list(dict.fromkeys(axis)) for axis in zip(*map(self._pair, here), strict=True)
        )
        for arm, draw, subject in product(arms, draws, subjects):
            if (arm, draw, subject) not in values:
                msg = (
                    f"arm {arm!r} has no score of subject {subject} in draw {draw!r}, another arm "
                    "has: they can not be paired; evaluate all arms on the same subjects and draws"
                )
                raise DataError(msg)
        return {
            arm: np.array([[_mean(values[arm, d, s]) for s in subjects] for d in draws])
            for arm in arms
        }

    def _pair(self, score: Score) -> tuple[str, str]:
        draw = ".".join(score.cell[axis] for axis in self.draws if axis in score.cell)
        return draw, score.subject_id

    def _p(self, differences: Float[np.ndarray, "draw subject"]) -> float:
        return sign_flip_p(differences, num_resamples=self.num_resamples, seed=self.seed)

    def _interval(self, table: Float[np.ndarray, "draw subject"]) -> Interval:
        return interval(
            table,
            confidence=self.confidence,
            num_resamples=self.num_resamples,
            seed=self.seed,
        )


def _adjusted(lines: Sequence[Line]) -> list[Line]:
    """Return the lines with p adjusted, class by class."""
    adjusted = list(lines)
    for class_name in {line.class_name for line in lines}:
        tested = {
            number: line.p
            for number, line in enumerate(lines)
            if line.class_name == class_name and line.p is not None
        }
        for number, p in zip(tested, holm([*tested.values()]), strict=True):
            adjusted[number] = replace(lines[number], p_holm=p)
    return adjusted


def _mean(values: list[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")
