"""The cohort that a selection is to serve: what it looks like, and whom it is evaluated on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
from jaxtyping import Shaped, UInt8

from medssl.config.stages.select import Target
from medssl.data.manifest import Manifest, read_manifest
from medssl.errors import ConfigError, DataError
from pipelines._descriptors import read_card, read_descriptors
from pipelines._properties import numbers
from pipelines._reasons import EVALUATED, IN_TARGET, REPRESENTED

DESCRIBED_BY = ("descriptor", "weights")  # of a card: what must be alike


@dataclass(frozen=True)
class Cohort:
    """A target.

    Args:
        values: Rows of its cases that show something; None where they are of no use, because what
            is selected from is described in another way.
        cases: These cases.
        evaluated: Those of the splits that are evaluated on.
        card: How they are described.
    """

    values: Shaped[np.ndarray, "row dim"] | None
    cases: Manifest
    evaluated: Manifest
    card: Mapping[str, Any]

    def beside(self, card: Mapping[str, Any]) -> "Cohort":
        """Return the cohort as it is seen beside rows of that card: without its own if unlike."""
        return replace(self, values=None) if differing(self.card, card) else self

    def told(self, manifest: Manifest) -> UInt8[np.ndarray, "case"]:
        """Return why a case is not chosen from: evaluated, in target, or represented if it may be.

        Whoever the target is evaluated on is never trained on. The target's own cases would be
        chosen first: they are trained on in any case.
        """
        reason = np.full(len(manifest), REPRESENTED)
        for why, cases, keys in (
            (IN_TARGET, self.cases, ("digest",)),
            (EVALUATED, self.evaluated, ("digest", "subject_id")),
        ):
            for key in keys:
                known = pc.is_in(manifest.table[key], value_set=cases.table[key].combine_chunks())
                reason[known.to_numpy()] = why
        return reason


def read_cohort(target: Target, folders: Sequence[Path]) -> Cohort:
    """Return the target cohort, for a selection from what was described in some folders.

    Raises:
        ConfigError: If none of them holds what is described as the target is.
        DataError: If no train case is within the range.
    """
    manifest = read_manifest(target.manifest)
    train = manifest.split("train")
    if (within := target.within) is not None:
        known = numbers(train, within.attribute)
        train = train.keep(np.flatnonzero((known >= within.low) & (known <= within.high)))
    if not len(train):
        msg = f"target: no train case of {target.manifest} is within {within}; widen the range"
        raise DataError(msg)
    check_described(target.descriptors, folders)
    wanted = read_descriptors(target.descriptors, train, split="train")
    evaluated = Manifest(manifest.table.filter(pc.field("split") != "train"))
    return Cohort(wanted.values[~wanted.blank], train, evaluated, wanted.card)


def check_described(target: Path, folders: Sequence[Path]) -> None:
    """Refuse a target that is described as nothing is that is selected from.

    Raises:
        ConfigError: With what differs, folder by folder.
    """
    card = read_card(target)
    said = []
    for folder in dict.fromkeys(folders):
        other = read_card(folder)
        if not (keys := differing(card, other)):
            return
        said.append(
            f"{target} and {folder} differ in their {keys[0]} ({card[keys[0]]}, {other[keys[0]]})"
        )
    msg = f"target.descriptors: {', '.join(said)}; describe both in the same way"
    raise ConfigError(msg)


def differing(card: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Return in what two ways to describe differ."""
    return [key for key in DESCRIBED_BY if card[key] != other[key]]
