"""Steps for the time that a pretraining took: what a twin from scratch could have done with it."""

import copy
import json
import statistics
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import torch

from medssl.config.schema import Optim
from medssl.errors import DataError
from medssl.models.export import read_card
from medssl.training.loop import fit
from pipelines._files import write_json
from pipelines._training import make_optimizer, make_plan

# Steps that are timed; the first few, slow with allocations, are left out of the median.
TRIAL_STEPS, READ_EVERY, WARM = 24, 4, 2


class Extra(NamedTuple):
    """How many steps are added, and why."""

    num_steps: int
    sentence: str


def extra_steps(
    export: Path | None,
    method: Any,
    optim: Optim,
    batches: Callable[[int, int], Iterable[Any]],
    *,
    fabric: Any,
    folder: Path,
) -> Extra:
    """Return how many steps fit into the time that an export was trained for.

    Timed once, on a copy of the method, and kept in `folder`: a resumed run takes as many.

    Raises:
        DataError: If the export does not say how long it was trained.
    """
    if export is None:
        return Extra(0, "no extra steps")
    time_s = read_card(export).get("provenance", {}).get("training_time_s")
    if time_s is None:
        msg = f"{export}/card.json: expected provenance.training_time_s, as `pretrain` writes it"
        raise DataError(msg)
    kept = folder / "extra_steps.json"
    if not kept.is_file():
        step_s = fabric.broadcast(time_steps(method, optim, batches, fabric=fabric))
        if fabric.is_global_zero:
            write_json({"step_s": step_s, "num_steps": round(time_s / step_s)}, kept)
        fabric.barrier()
    found = json.loads(kept.read_text())
    sentence = (
        f"{found['num_steps']} extra steps of {found['step_s']:.4f} s: the {time_s:.0f} s that "
        f"{export} was trained for"
    )
    return Extra(found["num_steps"], sentence)


def time_steps(
    method: Any, optim: Optim, batches: Callable[[int, int], Iterable[Any]], *, fabric: Any
) -> float:
    """Return the seconds that a step takes, of a copy that is thrown away."""
    speeds: list[float] = []
    trial = copy.deepcopy(method)
    with torch.random.fork_rng():
        fit(
            trial,
            batches(0, TRIAL_STEPS),
            make_optimizer(trial, optim),
            fabric=fabric,
            plan=make_plan(optim, TRIAL_STEPS, log_every=READ_EVERY),
            on_log=lambda step, numbers: speeds.append(numbers["steps_per_s"]),
        )
    return 1 / statistics.median(speeds[WARM:])
