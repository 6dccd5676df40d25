"""The best weights so far by a number of the validation, kept beside a run's resumable state.

A killed run may find weights there of a step that it has yet to take again. It will find the same
number at that step, and keep what is there.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn


@dataclass(frozen=True)
class Best:
    """A file of weights with the step and the number they had; none before the first."""

    path: Path

    @property
    def found(self) -> tuple[int, float] | None:
        """The step and the number."""
        if not self.path.is_file():
            return None
        with safe_open(self.path, framework="pt") as file:
            about = file.metadata()
        return int(about["step"]), float(about["number"])

    def offer(self, step: int, number: float, network: nn.Module) -> None:
        """Keep the network's weights if the number is above the best one's."""
        if self.found is not None and number <= self.found[1]:
            return
        temporary = self.path.with_name(f".{self.path.name}.part")
        weights = {
            key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()
        }
        save_file(weights, temporary, metadata={"step": str(step), "number": repr(number)})
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(self.path)

    def put_back(self, network: nn.Module) -> None:
        """Give the network the best weights."""
        network.load_state_dict(load_file(self.path))
