"""What the attributes of a manifest's cases say: numbers, and who is positive for a target."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from medssl.config.stages.probe import Target
from medssl.data.manifest import Manifest, text_columns
from medssl.errors import DataError

SHAPE = "shape"  # not an attribute: the size of a volume's array


@dataclass(frozen=True, kw_only=True)
class Property:
    """A target as the cases of a manifest have it.

    Args:
        rows: Which cases take part.
        labels: Which of them are positive.
        matched_on: What both cases of a pair must have in common, if anything.
        tolerance: By how much they may differ in it.
    """

    rows: Int[np.ndarray, "case"]
    labels: Bool[np.ndarray, "case"]
    matched_on: Float[np.ndarray, "case"] | None
    tolerance: float


def property_of(target: Target, cases: Manifest) -> Property:
    """Return who takes part in a target and who is positive.

    Raises:
        DataError: If a case lacks an attribute, or all have one label.
    """
    rows = np.arange(len(cases))
    if (within := target.within) is not None:
        known = numbers(cases, within.attribute)
        (rows,) = np.nonzero((known >= within.low) & (known <= within.high))
    taken = cases.keep(rows)
    labels = _labels(target, taken)
    if labels.all() or not labels.any():
        found = sorted(set(texts(taken, target.attribute)))
        msg = (
            f"expected positive and negative cases, all {len(labels)} are "
            f"{'positive' if labels.any() else 'negative'}: their {target.attribute} is one of "
            f"{found[:8]}; move the bound of the target or its range"
        )
        raise DataError(msg)
    matched = target.matched
    return Property(
        rows=rows,
        labels=labels,
        matched_on=None if matched is None else numbers(taken, matched.attribute),
        tolerance=0.0 if matched is None else matched.within,
    )


def baseline(cases: Manifest, name: str) -> Float[np.ndarray, "case dim"]:
    """Return what is probed instead of vectors: an attribute, or the log of a volume's sides."""
    if name == SHAPE:
        return np.log(np.array(cases.table[SHAPE].to_pylist(), dtype=np.float64))
    return numbers(cases, name)[:, None]


def numbers(cases: Manifest, attribute: str) -> Float[np.ndarray, "case"]:
    """Return an attribute of each case as a number.

    Raises:
        DataError: If a case lacks it, or it is none.
    """
    found = [_number(text) for text in texts(cases, attribute)]
    values = np.array([np.nan if value is None else value for value in found])
    (wrong,) = np.nonzero(~np.isfinite(values))
    if wrong.size:
        first = cases[int(wrong[0])]
        msg = (
            f"{attribute} of {wrong.size} of {len(cases)} cases is no finite number, such as "
            f"{first.attributes[attribute]!r} of case {first.case_id}; give a column of numbers, "
            "or leave these cases out of the manifest"
        )
        raise DataError(msg)
    return values


def said_of(cases: Manifest, name: str) -> list[str]:
    """Return what each case says in a column of text, or else as an attribute.

    Raises:
        DataError: If one says nothing.
    """
    if name not in text_columns():
        return texts(cases, name)
    found = cases.table[name].to_pylist()
    if None in found:
        msg = (
            f"{found.count(None)} of {len(found)} cases say no {name}, the first "
            f"{cases[found.index(None)].case_id}; leave these out of the manifest"
        )
        raise DataError(msg)
    return found


def texts(cases: Manifest, attribute: str) -> list[str]:
    """Return an attribute of each case as the manifest has it.

    Raises:
        DataError: If a case lacks it.
    """
    found = [dict(pairs or ()) for pairs in cases.table["attributes"].to_pylist()]
    lacking = [row for row, known in enumerate(found) if not known.get(attribute)]
    if lacking:
        names = sorted({name for known in found for name in known})
        msg = (
            f"{len(lacking)} of {len(cases)} cases lack the attribute {attribute!r}, such as "
            f"{cases[lacking[0]].case_id}; there are {names}: name one of them, or index again "
            "with this one among attributes.columns"
        )
        raise DataError(msg)
    return [known[attribute] for known in found]


def _labels(target: Target, cases: Manifest) -> Bool[np.ndarray, "case"]:
    if target.equals is not None:
        return np.array(texts(cases, target.attribute), dtype=object) == target.equals
    if target.at_least is not None:
        return numbers(cases, target.attribute) >= target.at_least
    return numbers(cases, target.attribute) < target.below


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
