"""What is known of targets, as numbers that an objective can be told."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from medssl.config.stages.pretrain import AttributeKind
from medssl.data.manifest import Manifest
from medssl.errors import DataError
from pipelines._properties import numbers, said_of


class Attributes(NamedTuple):
    """An attribute a column.

    Args:
        values: Of each case: the number of its class, or its number, less the targets' mean and
            in units of their deviation; 0 of the background.
        is_categorical: Which are classes.
    """

    values: Float[Tensor, "case attribute"]
    is_categorical: Bool[Tensor, "attribute"]


def attributes_of(
    cases: Manifest, is_target: Bool[Tensor, "case"], kinds: Mapping[str, AttributeKind]
) -> Attributes:
    """Return what the cases say of the targets.

    Raises:
        DataError: If a target lacks an attribute, or all have the same; it is named.
    """
    (rows,) = np.nonzero(is_target.numpy())
    targets = cases.keep(rows)
    values = torch.zeros(len(cases), len(kinds))
    for column, (name, kind) in enumerate(kinds.items()):
        try:
            found = (
                _standardized(numbers(targets, name))
                if kind == "continuous"
                else (np.unique(said_of(targets, name), return_inverse=True)[1].astype(np.float64))
            )
            _check_varies(found, name)
        except DataError as error:
            msg = f"attributes: {error}"
            raise DataError(msg) from error
        values[rows, column] = torch.from_numpy(found).float()
    return Attributes(values, torch.tensor([kind == "categorical" for kind in kinds.values()]))


def _standardized(values: Float[np.ndarray, "case"]) -> Float[np.ndarray, "case"]:
    return (values - values.mean()) / (values.std() or 1.0)


def _check_varies(values: Float[np.ndarray, "case"], name: str) -> None:
    if np.ptp(values) == 0:
        msg = f"all {len(values)} targets have the same {name}; leave it out, it tells them nothing"
        raise DataError(msg)
