"""Arms of a study side by side: means, intervals, and paired differences to one of them.

A score belongs to a subject, under one draw of the labeled cases, in one arm. Scores of several
cases of a subject are averaged first: subjects are what is resampled.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from medssl.errors import DataError
from medssl.evaluation.bootstrap import Interval, interval

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
        setting: The values on the axes that are neither arm nor draw.
        arm: Which arm.
        class_name: Which class; `mean` is the mean over classes, subject by subject.
        score: The mean and its interval.
        difference: To the reference arm, paired by draw and subject; None for itself.
        num_subjects: How many were scored.
        num_draws: How many draws.
    """

    setting: tuple[tuple[str, str], ...]
    arm: str
    class_name: str
    score: Interval
    difference: Interval | None
    num_subjects: int
    num_draws: int


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How scores become lines.

    Args:
        arm: The axis that is compared.
        reference: The arm that differences are to.
        draw: The axis that is resampled beside the subjects.
        confidence: Of the intervals.
        num_resamples: Bootstrap resamples.
        seed: Of the resampling.
    """

    arm: str
    reference: str
    draw: str
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
        return lines

    def _setting(self, score: Score) -> tuple[tuple[str, str], ...]:
        return tuple((k, v) for k, v in score.cell.items() if k not in (self.arm, self.draw))

    def _lines(
        self,
        setting: tuple[tuple[str, str], ...],
        class_name: str,
        arms: list[str],
        here: list[Score],
    ) -> list[Line]:
        of_arm = {
            arm: self._table([s for s in here if s.cell.get(self.arm, "") == arm], class_name)
            for arm in arms
        }
        reference = of_arm[self.reference]
        lines = []
        for arm, table in of_arm.items():
            if table.shape != reference.shape:
                msg = (
                    f"arm {arm!r} was scored on {table.shape} draws and subjects, "
                    f"{self.reference!r} on {reference.shape}: they can not be paired"
                )
                raise DataError(msg)
            paired = None if arm == self.reference else self._interval(table - reference)
            lines.append(
                Line(
                    setting=setting,
                    arm=arm,
                    class_name=class_name,
                    score=self._interval(table),
                    difference=paired,
                    num_subjects=table.shape[1],
                    num_draws=table.shape[0],
                )
            )
        return lines

    def _interval(self, table: Float[np.ndarray, "draw subject"]) -> Interval:
        return interval(
            table,
            confidence=self.confidence,
            num_resamples=self.num_resamples,
            seed=self.seed,
        )

    def _table(self, scores: list[Score], class_name: str) -> Float[np.ndarray, "draw subject"]:
        """Return the scores of one arm as draws by subjects, both sorted by name."""
        values: dict[tuple[str, str], list[float]] = {}
        for score in scores:
            if class_name in (score.class_name, ALL_CLASSES):
                key = score.cell.get(self.draw, ""), score.subject_id
                values.setdefault(key, []).append(score.value)
        draws = sorted({draw for draw, _ in values})
        subjects = sorted({subject for _, subject in values})
        return np.array([[_mean(values.get((d, s), [])) for s in subjects] for d in draws])


def _mean(values: list[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")
