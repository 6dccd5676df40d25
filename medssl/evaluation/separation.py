"""How well two codes are kept apart: what a linear probe reads from either, and how far it is off.

A probe is fitted on some subjects' codes and scored on others': logistic regression for classes, by
balanced accuracy; ridge regression for numbers, by the share of variance that it explains. Either
is set beside what knowing nothing reaches, and beside probes that were fitted on shuffled labels.

Source: Louiset, Duchesnay, Grigis, Gori, "Separating common from salient patterns with Contrastive
Representation Learning", ICLR 2024, arXiv:2402.11928 (a logistic probe on each code for each
attribute). The deviation is our definition: the sum over attributes of how far the score from the
code that should tell is below 1, and that from the other code beside chance; 0 is a perfect
separation.
Departs from the paper: codes are standardized; the penalty is chosen over folds of subjects, as in
`medssl.evaluation.probe`; fitted and scored subjects differ; numbers are scored by the share of
variance instead of the absolute error, so that all scores have a chance and a best.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold, StratifiedGroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from medssl.errors import DataError

Kind = Literal["class", "number"]
Labels = Int[np.ndarray, "case"] | Float[np.ndarray, "case"]
STRENGTHS: tuple[float, ...] = (1e-2, 1e-1, 1.0)  # inverse penalties of logistic regression
PENALTIES: tuple[float, ...] = (1.0, 10.0, 100.0, 1000.0)  # of ridge regression
INNER_FOLDS = 3


@dataclass(frozen=True, kw_only=True)
class Probed:
    """What a probe said of the scored cases.

    Args:
        predicted: By the probe.
        shuffled: By probes of the same penalty that were fitted on shuffled labels.
    """

    predicted: Labels
    shuffled: Float[np.ndarray, "permutation case"]


def probe(
    kind: Kind,
    fitted: Float[np.ndarray, "case dim"],
    labels: Labels,
    subjects: Int[np.ndarray, "case"],
    scored: Float[np.ndarray, "scored dim"],
    *,
    num_permutations: int,
    seed: int,
) -> Probed:
    """Fit on some cases and predict others, once by their labels and again by shuffled ones.

    Raises:
        DataError: If a class is of fewer subjects than there are inner folds, or labels are all
            one.
    """
    check_fits(kind, labels, subjects)
    model = _chosen(kind, fitted, labels, subjects, seed)
    predicted = model.predict(scored)
    rng = np.random.default_rng([seed, 1])
    shuffled = [
        model.fit(fitted, rng.permutation(labels)).predict(scored) for _ in range(num_permutations)
    ]
    rows = np.array(shuffled, dtype=np.float64).reshape(num_permutations, len(scored))
    return Probed(predicted=predicted, shuffled=rows)


def check_fits(kind: Kind, labels: Labels, subjects: Int[np.ndarray, "case"]) -> None:
    """Refuse labels that no probe can be fitted on.

    Raises:
        DataError: With which class is of too few subjects, or that all are one.
    """
    found = np.unique(labels)
    if len(found) < 2:
        msg = f"expected different labels to fit a probe on, all {len(labels)} are {found.tolist()}"
        raise DataError(msg)
    groups = [subjects] if kind == "number" else [subjects[labels == one] for one in found]
    for number, of_class in enumerate(groups):
        if (have := len(np.unique(of_class))) < INNER_FOLDS:
            which = "labels" if kind == "number" else f"class {number}"
            msg = (
                f"expected {which} of at least {INNER_FOLDS} subjects to choose a penalty over, "
                f"got {have}; leave the class out, or index more subjects"
            )
            raise DataError(msg)


def _chosen(
    kind: Kind,
    values: Float[np.ndarray, "case dim"],
    labels: Labels,
    subjects: Int[np.ndarray, "case"],
    seed: int,
) -> Pipeline:
    """Return a model with the penalty that does best over folds of subjects, fitted on all."""
    if kind == "class":
        inner = StratifiedGroupKFold(INNER_FOLDS, shuffle=True, random_state=seed)
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        grid = {"logisticregression__C": STRENGTHS}
        folds, scoring = inner.split(values, labels, groups=subjects), "balanced_accuracy"
    else:
        model = make_pipeline(StandardScaler(), Ridge())
        grid = {"ridge__alpha": PENALTIES}
        folds = GroupKFold(INNER_FOLDS).split(values, labels, groups=subjects)
        scoring = "neg_mean_squared_error"
    search = GridSearchCV(model, grid, scoring=scoring, cv=list(folds), error_score="raise")
    found: Pipeline = search.fit(values, labels).best_estimator_
    return found


def scores(
    kind: Kind,
    labels: Labels,
    predicted: Labels,
    weights: Float[np.ndarray, "resample case"],
) -> Float[np.ndarray, "resample"]:
    """Return the score of predictions under weights of cases; NaN where none can be told."""
    measure = balanced_accuracy if kind == "class" else explained_variance
    return measure(labels, predicted, weights)


def balanced_accuracy(
    labels: Labels, predicted: Labels, weights: Float[np.ndarray, "resample case"]
) -> Float[np.ndarray, "resample"]:
    """Return the mean over classes of the share that is right, of classes with any weight."""
    members = labels[:, None] == np.unique(labels)
    right = members & (predicted == labels)[:, None]
    of_class = weights @ members
    share = np.divide(
        weights @ right, of_class, out=np.full(of_class.shape, np.nan), where=of_class > 0
    )
    known = ~np.isnan(share)
    return np.where(known, share, 0).sum(axis=1) / known.sum(axis=1)


def explained_variance(
    labels: Labels, predicted: Labels, weights: Float[np.ndarray, "resample case"]
) -> Float[np.ndarray, "resample"]:
    """Return R^2: 1 less the squared error over that of the mean of the scored cases' labels."""
    total = weights.sum(axis=1)
    mean = weights @ labels / total
    around = weights @ np.square(labels) / total - mean**2
    error = weights @ np.square(labels - predicted) / total
    return np.divide(
        around - error, around, out=np.full(len(weights), np.nan), where=around > 1e-12
    )


def chance(kind: Kind, labels: Labels) -> float:
    """Return the score of who knows nothing of a case but which labels there are."""
    return 1 / len(np.unique(labels)) if kind == "class" else 0.0


@dataclass(frozen=True, kw_only=True)
class Pair:
    """What both codes tell of one attribute.

    Args:
        belongs: The code that is to tell it.
        common: The score from the common code.
        salient: That from the salient code.
        chance: The score of who knows nothing.
    """

    belongs: Literal["common", "salient"]
    common: float
    salient: float
    chance: float


def deviation(pairs: Sequence[Pair]) -> float:
    """Return how far scores are from a perfect separation, added up over attributes and codes."""
    return sum(
        abs(getattr(pair, code) - (1.0 if code == pair.belongs else pair.chance))
        for pair in pairs
        for code in ("common", "salient")
    )


def plane(
    fitted: Float[np.ndarray, "fitted dim"], values: Float[np.ndarray, "case dim"]
) -> Float[np.ndarray, "case 2"]:
    """Return the two principal components of standardized codes, of other cases than they are of.

    A code of one number, or of one that varies, is drawn along the first.
    """
    mean, spread = fitted.mean(axis=0), fitted.std(axis=0)
    scale = np.where(spread > 0, spread, 1)
    _, _, axes = np.linalg.svd((fitted - mean) / scale, full_matrices=False)
    found = np.zeros((len(values), 2))
    found[:, : len(axes[:2])] = (values - mean) / scale @ axes[:2].T
    return found


def thirds(
    fitted: Float[np.ndarray, "fitted"], values: Float[np.ndarray, "case"]
) -> Int[np.ndarray, "case"]:
    """Return in which third of the fitted cases' values each value lies: 0, 1 or 2."""
    return np.searchsorted(np.quantile(fitted, [1 / 3, 2 / 3]), values)
