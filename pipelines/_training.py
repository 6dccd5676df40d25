"""What happens around the training loop: resuming, saving, writing down."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from medssl.config.component import build
from medssl.config.schema import Optim
from medssl.data.crops import num_crops
from medssl.tracking import Run
from medssl.training.checkpoint import StateFolder, restore, snapshot
from medssl.training.loop import Hook, Plan, fit
from pipelines._runs import History

MACHINE = ("steps_per_s", "data_wait_share", "device_idle_share")  # not about the result


class Training:
    """A method on its way, from the step that it was last saved at.

    Args:
        method: What is trained; on its device.
        optim: How its weights move.
        num_steps: How far.
        fabric: Where.
        state: What a resumed run goes on from; it is claimed already.
        tracked: Where numbers are written down.
    """

    def __init__(
        self,
        method: Any,
        optim: Optim,
        *,
        num_steps: int,
        fabric: Any,
        state: StateFolder,
        tracked: Run,
    ) -> None:
        self.method, self.optim, self.num_steps = method, optim, num_steps
        self.fabric, self.state, self.tracked = fabric, state, tracked
        self.began_s, self.crops_a_step = time.monotonic(), 0
        self.optimizer = make_optimizer(method, optim)
        self.done, kept = state.load() or (0, {})
        if kept:
            restore(kept, method, self.optimizer, fabric)
        self.history = History(
            [(step, name, value) for step, name, value in kept.get("history", [])]
        )
        self.before_s: float = kept.get("elapsed_s", 0.0)
        if fabric.is_global_zero:
            state.remember(tracked.run_id)

    def run(
        self,
        batches: Callable[[int], Iterable[Any]],
        views_of: Callable[[Any], Any],
        *,
        log_every: int,
        save_every: int,
        hooks: Sequence[Hook] = (),
    ) -> None:
        """Take the steps that are left, on the views of what `batches` yields from a step on."""
        # Saving comes last: what the others have written down is in it.
        every = [*hooks, Hook(save_every, self.save)]
        fit(
            self.method,
            self.counted(batches(self.done)),
            self.optimizer,
            fabric=self.fabric,
            plan=make_plan(self.optim, self.num_steps, log_every=log_every, start_step=self.done),
            on_log=self.log,
            views_of=views_of,
            hooks=every if self.fabric.is_global_zero else [],
        )

    def counted(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Yield the batches and count the crops of each."""
        for crops in batches:
            self.crops_a_step = num_crops(crops) * self.fabric.world_size
            yield crops

    def log(self, step: int, numbers: dict[str, float]) -> None:
        """Write down the losses of a step, and apart from them how the machine does."""
        machine = {f"system/{name}": numbers.pop(name) for name in about_machine(numbers)}
        steps_per_s = machine.pop("system/steps_per_s")
        machine["system/cases_per_s"] = steps_per_s * self.optim.batch_size
        machine["system/crops_per_s"] = steps_per_s * self.crops_a_step
        self.note(step, {f"train/{name}": value for name, value in numbers.items()})
        self.tracked.metrics(step, machine)

    def note(self, step: int, numbers: dict[str, float]) -> None:
        """Write down numbers that the result depends on, in the history too."""
        self.history.add(step, numbers)
        self.tracked.metrics(step, numbers)

    def save(self, done: int, views: Any) -> None:
        """Keep all that it takes to go on from here."""
        around = {"history": self.history.rows, "elapsed_s": self.elapsed_s}
        self.state.save(done, snapshot(self.method, self.optimizer, self.fabric) | around)

    @property
    def elapsed_s(self) -> float:
        """How long the training took, that before interruptions included."""
        return self.before_s + time.monotonic() - self.began_s


def make_optimizer(method: Any, optim: Optim) -> Any:
    """Return the optimizer of the weights that are not frozen."""
    return build(optim.optimizer)([w for w in method.parameters() if w.requires_grad])


def lasting(optim: Optim, num_items: int) -> Optim:
    """Return how weights move, with as many steps as the epochs take if it counts in epochs.

    An epoch deals all items to batches; those that do not fill one are dropped or carried over.
    """
    if optim.num_epochs is None:
        return optim
    batches = num_items // optim.batch_size * optim.num_epochs
    if optim.last_batch == "carry" or num_items < optim.batch_size:
        batches = num_items * optim.num_epochs // optim.batch_size
    return replace(optim, num_steps=max(1, batches))


def make_plan(optim: Optim, num_steps: int, *, log_every: int, start_step: int = 0) -> Plan:
    """Return what the loop is told."""
    return Plan(
        num_steps=num_steps,
        schedule=build(optim.schedule),
        clip_norm=optim.clip_norm,
        log_every=log_every,
        start_step=start_step,
    )


def about_machine(numbers: Mapping[str, float]) -> list[str]:
    """Return which numbers say how fast the machine was, and nothing of the result.

    Those are a loop's own, and each time with its share of a step.
    """
    times = [name.removesuffix("_s") for name in numbers if name.endswith("_s")]
    shares = {f"{name}_share" for name in times}
    return [n for n in numbers if n in MACHINE or n in shares or n.endswith("_s")]
