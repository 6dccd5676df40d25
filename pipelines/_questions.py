"""What the stage `separation` asks about: labels of the cases that take part, split by split."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int

from medssl.config.stages.separation import Attribute, Separation
from medssl.data.manifest import Manifest
from medssl.errors import DataError
from medssl.evaluation.separation import Kind, Labels, check_fits, thirds
from pipelines._properties import numbers, said_of

GROUP = "group"  # which of both groups a case is of: asked in any case
THIRDS = ("lower third", "middle third", "upper third")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The cases of a split that take part.

    Args:
        rows: Which they are.
        labels: Theirs: the number of a class, or a number.
        subjects: A number for the subject of each.
    """

    rows: Int[np.ndarray, "case"]
    labels: Labels
    subjects: Int[np.ndarray, "case"]


@dataclass(frozen=True, kw_only=True)
class Question:
    """An attribute on these cases.

    Args:
        name: What it is called.
        belongs: The code that is to tell it.
        kind: How it is probed.
        classes: Their names, if it has classes.
        fitted: The cases that probes are fitted on.
        scored: Those that they are scored on.
    """

    name: str
    belongs: Literal["common", "salient"]
    kind: Kind
    classes: tuple[str, ...]
    fitted: Asked
    scored: Asked


def questions(cfg: Separation, fitted: Manifest, scored: Manifest) -> list[Question]:
    """Return what is asked, the group first.

    Raises:
        DataError: If an attribute can not be asked of these cases; it is named.
    """
    group = Attribute(of=cfg.target.by, among="all")
    named: list[tuple[str, Literal["common", "salient"], Attribute]] = [
        (GROUP, "salient", group),
        *((name, "salient", attribute) for name, attribute in cfg.salient.items()),
        *((name, "common", attribute) for name, attribute in cfg.common.items()),
    ]
    found = []
    for name, belongs, attribute in named:
        try:
            found.append(_question(cfg, name, belongs, attribute, (fitted, scored)))
        except DataError as error:
            msg = f"attribute {name}: {error}"
            raise DataError(msg) from error
    return found


def _question(
    cfg: Separation,
    name: str,
    belongs: Literal["common", "salient"],
    attribute: Attribute,
    splits: tuple[Manifest, Manifest],
) -> Question:
    rows = [taking_part(cfg, attribute, cases) for cases in splits]
    taken = [cases.keep(own) for cases, own in zip(splits, rows, strict=True)]
    if name == GROUP:
        labels = [is_target(cfg, cases).astype(np.int64) for cases in taken]
        classes: tuple[str, ...] = ("background", "target")
    elif attribute.kind == "class":
        classes, labels = _classes([said_of(cases, attribute.of) for cases in taken])
    else:
        values = [numbers(cases, attribute.of) for cases in taken]
        is_number = attribute.kind == "number"
        classes = () if is_number else THIRDS
        labels = values if is_number else [thirds(values[0], own) for own in values]
    asked = [
        Asked(rows=own, labels=of_own, subjects=cases.codes("subject_id"))
        for own, of_own, cases in zip(rows, labels, taken, strict=True)
    ]
    kind: Kind = "number" if attribute.kind == "number" else "class"
    check_fits(kind, asked[0].labels, asked[0].subjects)
    return Question(
        name=name,
        belongs=belongs,
        kind=kind,
        classes=classes,
        fitted=asked[0],
        scored=asked[1],
    )


def taking_part(cfg: Separation, attribute: Attribute, cases: Manifest) -> Int[np.ndarray, "case"]:
    """Return the cases of the groups that are asked.

    Raises:
        DataError: If there is none.
    """
    targets = is_target(cfg, cases)
    among = {"targets": targets, "background": ~targets, "all": np.ones_like(targets)}
    (rows,) = np.nonzero(among[attribute.among])
    if not rows.size:
        msg = (
            f"expected cases among {attribute.among}, got none of {len(cases)}; set among "
            f"otherwise, or see what {cfg.target.by} says"
        )
        raise DataError(msg)
    return rows


def is_target(cfg: Separation, cases: Manifest) -> Bool[np.ndarray, "case"]:
    """Return which cases are targets."""
    return np.array(said_of(cases, cfg.target.by), dtype=object) == cfg.target.equals


def _classes(
    said: list[list[str]],
) -> tuple[tuple[str, ...], list[Int[np.ndarray, "case"]]]:
    """Return the classes' names, those of the fitted cases, and each case's number.

    Raises:
        DataError: If a scored case has a class that no fitted one has.
    """
    names = sorted(set(said[0]))
    if unseen := sorted(set(said[1]) - set(names)):
        msg = (
            f"no case to fit on is of {unseen}, which cases to score on are; there are {names}: "
            "index more subjects, or leave these cases out"
        )
        raise DataError(msg)
    number = {name: place for place, name in enumerate(names)}
    return tuple(names), [np.array([number[text] for text in texts]) for texts in said]
