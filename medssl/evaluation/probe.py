"""A linear probe: how much of a property frozen vectors tell, by scores out of fold.

Source: Alain, Bengio, "Understanding intermediate layers using linear classifier probes", ICLR
2017 workshop, arXiv:1610.01644 (a linear classifier on frozen features); Varma, Simon, "Bias in
error estimation when using cross-validation for model selection", BMC Bioinformatics 7:91, 2006
(the penalty is chosen within the training part of each fold).
Departs from the source: folds divide subjects, not cases; the penalty is L2 and chosen by the log
loss, a proper score that is less noisy than an AUC where few cases are positive.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from medssl.errors import DataError

# Inverse penalties on standardized vectors, the strongest first: it wins a tie.
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
INNER_FOLDS = 3


@dataclass(frozen=True, kw_only=True)
class LinearProbe:
    """Logistic regression on standardized vectors, cross-validated over subjects.

    Args:
        num_folds: Parts that a subject is in one of.
        num_repeats: How often subjects are divided anew. Cases are compared within a fold only,
            so that more repeats compare more pairs of them.
        seed: Of the division.
    """

    num_folds: int = 5
    num_repeats: int = 5
    seed: int = 0

    def folds(
        self, subjects: Int[np.ndarray, "case"], labels: Bool[np.ndarray, "case"]
    ) -> Int[np.ndarray, "repeat case"]:
        """Return the fold of each case, repeat by repeat.

        Raises:
            DataError: If there are too few subjects of a class.
        """
        seeds = [_seed(self.seed, repeat) for repeat in range(self.num_repeats)]
        return np.stack(
            [grouped_folds(subjects, labels, num_folds=self.num_folds, seed=seed) for seed in seeds]
        )

    def scores(
        self,
        values: Float[np.ndarray, "case dim"],
        subjects: Int[np.ndarray, "case"],
        labels: Bool[np.ndarray, "case"],
        folds: Int[np.ndarray, "repeat case"],
    ) -> Float[np.ndarray, "repeat case"]:
        """Return each case's log odds by a model that saw no case of its fold."""
        found = np.empty(folds.shape)
        for repeat, fold in enumerate(folds):
            for held_out in range(self.num_folds):
                own = fold == held_out
                seed = _seed(self.seed, repeat, held_out)
                model = fit(values[~own], subjects[~own], labels[~own], seed=seed)
                found[repeat, own] = model.decision_function(values[own])
        return found


def grouped_folds(
    subjects: Int[np.ndarray, "case"],
    labels: Bool[np.ndarray, "case"],
    *,
    num_folds: int,
    seed: int,
) -> Int[np.ndarray, "case"]:
    """Return the fold of each case: no subject in two, shares of positive cases much alike.

    Raises:
        DataError: If fewer subjects than folds have a case of either class.
    """
    positive, negative = (len(np.unique(subjects[labels == label])) for label in (True, False))
    if min(positive, negative) < num_folds:
        msg = (
            f"expected positive and negative cases of at least {num_folds} subjects each, to have "
            f"both in each of {num_folds} folds; got positive cases of {positive} subjects and "
            f"negative ones of {negative}"
        )
        raise DataError(msg)
    divide = StratifiedGroupKFold(num_folds, shuffle=True, random_state=seed)
    fold = np.empty(len(labels), dtype=np.int64)
    for number, (_, own) in enumerate(divide.split(labels, labels, groups=subjects)):
        fold[own] = number
    return fold


def fit(
    values: Float[np.ndarray, "case dim"],
    subjects: Int[np.ndarray, "case"],
    labels: Bool[np.ndarray, "case"],
    *,
    seed: int,
) -> Pipeline:
    """Return a model of these cases under the penalty that does best over inner folds.

    Raises:
        DataError: If inner folds can not have both classes.
    """
    inner = grouped_folds(subjects, labels, num_folds=INNER_FOLDS, seed=seed)
    losses = np.zeros(len(STRENGTHS))
    for held_out in range(INNER_FOLDS):
        own = inner == held_out
        for number, strength in enumerate(STRENGTHS):
            model = _fitted(values[~own], labels[~own], strength)
            losses[number] += _log_loss(model.decision_function(values[own]), labels[own])
    return _fitted(values, labels, STRENGTHS[int(losses.argmin())])


def _fitted(
    values: Float[np.ndarray, "case dim"], labels: Bool[np.ndarray, "case"], strength: float
) -> Pipeline:
    if labels.all() or not labels.any():
        msg = (
            f"all {len(labels)} cases that a fold leaves to fit on have one label, since one "
            "subject has most of the other; probe on more subjects"
        )
        raise DataError(msg)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000))
    return model.fit(values, labels)


def _log_loss(scores: Float[np.ndarray, "case"], labels: Bool[np.ndarray, "case"]) -> float:
    return float(np.logaddexp(0.0, np.where(labels, -scores, scores)).sum())


def _seed(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1)[0])
