"""Which features meet which objective.

A method owns the networks of a run (encoder, projector, teacher, queue) and turns a batch of
views into what its objective takes. Objectives that differ only in the mathematics share one
method. Views, features and losses are named tuples of tensors. A self-supervised method takes
`Views` or `MultiViews` and keeps its backbone as `encoder`, which is what diagnostics look at.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

from torch import nn

from medssl.objectives import Loss


@runtime_checkable
class Method(Protocol):
    """A module whose call is a training step: `compare(embed(views))`."""

    def embed(self, views: Any) -> Any:
        """Run the networks; looks at no other case of the batch."""
        ...

    def compare(self, features: Any) -> Loss:
        """Hand the features of all ranks to the objective."""
        ...

    def __call__(self, views: Any) -> Loss:
        """Return the loss of one batch of views."""
        ...

    def after_step(self, progress: float) -> None:
        """Move what no optimizer moves; `progress` is the share of the run that is done."""
        ...

    def exports(self) -> Mapping[str, nn.Module]:
        """Return the parts worth keeping, by name."""
        ...


def taken(objective: Callable[..., Loss]) -> tuple[str, ...]:
    """Return what an objective takes of the features that a method offers, by name."""
    return tuple(inspect.signature(getattr(objective, "forward", objective)).parameters)
