"""Resumable state: everything that a run needs to go on as if nothing had happened.

A folder holds `state.json` (what the run is) and the newest two states, tensors and plain
values under a name that carries the number of steps and the digest of the content. Nothing is
half-written: a state gets its name when it is whole. None is ever unpickled.
"""

import hashlib
import json
import os
import re
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import nn
from torch.optim import Optimizer

from medssl.errors import ConfigError

KEPT = 2
NAME = re.compile(r"step-\d{9}-[0-9a-f]{32}\.pt")


@dataclass(frozen=True)
class StateFolder:
    """The resumable state of one run; `path` stands beside the run's output."""

    path: Path

    def claim(self, identity: Mapping[str, Any]) -> None:
        """Make the folder that of the run `identity` describes, or find that it is.

        Args:
            identity: What decides the result, as JSON holds it: configuration, digests of inputs.

        Raises:
            ConfigError: If the state is another run's, with the keys that differ.
        """
        note = self._note()
        if note is None:
            self.path.mkdir(parents=True, exist_ok=True)
            self._write("state.json", _json({"format": 1, "identity": identity}))
        elif different := differing(note["identity"], identity):
            msg = (
                f"{self.path} is the state of a run with another {', '.join(different)}; "
                "choose another output, or delete that folder to start anew"
            )
            raise ConfigError(msg)

    @property
    def run_id(self) -> str | None:
        """The tracked run that the state belongs to, if it was noted."""
        found: str | None = (self._note() or {}).get("run_id")
        return found

    def remember(self, run_id: str) -> None:
        """Note the tracked run, so that a resume goes on with it."""
        self._write("state.json", _json({**(self._note() or {}), "run_id": run_id}))

    def save(self, step: int, state: Mapping[str, Any]) -> None:
        """Keep the state after `step` steps; of the older ones, only the newest stays."""
        buffer = BytesIO()
        torch.save(dict(state), buffer)
        content = buffer.getvalue()
        self._write(f"step-{step:09d}-{_digest(content)}.pt", content)
        for old in self._saved()[KEPT:]:
            old.unlink()

    def load(self) -> tuple[int, dict[str, Any]] | None:
        """Return the newest whole state and its number of steps, None where there is none.

        A state whose content is not what its name says is passed over with a warning.
        """
        for path in self._saved():
            content = path.read_bytes()
            step, digest = _parse(path)
            if _digest(content) == digest:
                loaded = torch.load(BytesIO(content), map_location="cpu", weights_only=True)
                return step, loaded
            msg = f"{path} is damaged; going on from the state before it"
            warnings.warn(msg, stacklevel=2)
        return None

    def remove(self) -> None:
        """Delete the folder, at once under its name: the run is finished."""
        doomed = self.path.with_name(f".{self.path.name}.old")
        shutil.rmtree(doomed, ignore_errors=True)
        if self.path.exists():
            self.path.rename(doomed)
            shutil.rmtree(doomed)

    def _note(self) -> dict[str, Any] | None:
        path = self.path / "state.json"
        found: dict[str, Any] | None = json.loads(path.read_bytes()) if path.is_file() else None
        return found

    def _saved(self) -> list[Path]:
        """Return the states, newest first."""
        found = [path for path in self.path.glob("step-*.pt") if NAME.fullmatch(path.name)]
        return sorted(found, key=_parse, reverse=True)

    def _write(self, name: str, content: bytes) -> None:
        temporary = self.path / f".{name}.part"
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.path / name)


def snapshot(method: nn.Module, optimizer: Optimizer, fabric: Fabric) -> dict[str, Any]:
    """Return the state of everything that moves: weights, teachers, moments, random numbers."""
    cuda = torch.cuda.get_rng_state() if fabric.device.type == "cuda" else None
    return {
        "method": method.state_dict(),
        "optimizer": optimizer.state_dict(),
        "precision": fabric.strategy.precision.state_dict(),
        "random": torch.get_rng_state(),
        "random_cuda": cuda,
    }


def restore(
    state: Mapping[str, Any], method: nn.Module, optimizer: Optimizer, fabric: Fabric
) -> None:
    """Put everything back where `snapshot` found it; the method is on its device already."""
    method.load_state_dict(state["method"])
    optimizer.load_state_dict(state["optimizer"])
    fabric.strategy.precision.load_state_dict(state["precision"])
    torch.set_rng_state(state["random"])
    if state["random_cuda"] is not None and fabric.device.type == "cuda":
        torch.cuda.set_rng_state(state["random_cuda"])


def differing(old: Any, new: Any, place: str = "") -> list[str]:
    """Return the keys, dotted, under which two trees are not the same."""
    if not (isinstance(old, Mapping) and isinstance(new, Mapping)):
        return [] if _json(old) == _json(new) else [place]
    inner = f"{place}." if place else ""
    keys = sorted({*old, *new})
    return [
        found for key in keys for found in differing(old.get(key), new.get(key), f"{inner}{key}")
    ]


def _parse(path: Path) -> tuple[int, str]:
    _, step, digest = path.stem.split("-")
    return int(step), digest


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _json(tree: Any) -> bytes:
    return (json.dumps(tree, indent=2, sort_keys=True) + "\n").encode()
