"""The training loop: batches in, optimizer steps out. No data, no model, no tracking in it."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol, cast, runtime_checkable

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer

from medssl.errors import MedsslError
from medssl.objectives import Loss
from medssl.training.schedules import Schedule


class DivergedError(MedsslError, FloatingPointError):
    """A loss or its gradient is not finite any more."""


@runtime_checkable
class Trainable(Protocol):
    """What the loop needs of a method, which is a module besides."""

    def __call__(self, views: Any) -> Loss:
        """Return the loss of one batch."""
        ...

    def after_step(self, progress: float) -> None:
        """Move what the optimizer does not."""
        ...


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How far a run goes and how.

    Args:
        num_steps: Optimizer steps of the whole run.
        schedule: Factor of the learning rate by the share of the run that is done.
        clip_norm: Longest gradient that is followed as it is; longer ones are shortened to it.
        log_every: Steps from one reading of the numbers to the next.
        start_step: Steps that were taken before, by the run that is gone on with.
    """

    num_steps: int
    schedule: Schedule
    clip_norm: float
    log_every: int = 50
    start_step: int = 0


class Hook(NamedTuple):
    """What happens every so many steps, and at the end.

    Args:
        every: Steps from one call to the next.
        call: Takes the number of steps that are done, and the last one's views.
    """

    every: int
    call: Callable[[int, Any], None]


def fit(
    method: Trainable,
    batches: Iterable[Any],
    optimizer: Optimizer,
    *,
    fabric: Fabric,
    plan: Plan,
    on_log: Callable[[int, dict[str, float]], None],
    views_of: Callable[[Any], Any] = lambda batch: batch,
    hooks: Sequence[Hook] = (),
) -> None:
    """Take one optimizer step a batch, from `plan.start_step` on.

    `batches` yields one for each step that is left, and `views_of` makes of it the views that
    the method takes, on the device; batches may be views already. Numbers
    are read off the device where they are logged (every `log_every` steps, the first and the
    last) and before a hook, and nowhere else, so that no step waits for the one before.
    `on_log` takes the number of steps done before, and `total`, the loss's terms and notes,
    `gradient_norm` (before clipping), `lr` and `steps_per_s`, and of the time since the last
    reading `data_wait_share`, in which the loop waited for batches, and `device_idle_share`, in
    which the device had nothing left to do while it did. On a CPU, which is the device, that is
    the same; idleness within a step is not seen. A note in seconds, such as `solver_s`, is the
    last step's; its share of a step's time is logged beside it.

    Raises:
        DivergedError: If a loss or gradient that is read is not finite.
    """
    module = cast(nn.Module, method)
    module.train()
    wrapped, stepper = fabric.setup(module, optimizer)
    clock = _Clock(partial(torch.cuda.Event, enable_timing=True) if _is_cuda(fabric) else None)
    steps = range(plan.start_step, plan.num_steps)
    for step, batch in zip(steps, clock.timed(batches), strict=True):
        views = views_of(batch)
        rate = _scale_rates(optimizer, plan.schedule(step / plan.num_steps))
        loss, norm = _descend(wrapped, views, stepper, fabric=fabric, clip_norm=plan.clip_norm)
        done, is_last = step + 1, step + 1 == plan.num_steps
        due = [hook for hook in hooks if done % hook.every == 0 or is_last]
        logs = step % plan.log_every == 0 or is_last
        if logs or due:
            numbers = _read(step, loss, norm, scaled=_scales_gradients(fabric))
        if logs:
            on_log(step, _with_shares(numbers | {"lr": rate} | clock.since_last()))
        stepper.step()
        method.after_step(done / plan.num_steps)
        for hook in due:
            hook.call(done, views)


def _descend(
    wrapped: Any, views: Any, stepper: Any, *, fabric: Fabric, clip_norm: float
) -> tuple[Loss, Tensor]:
    """Compute the loss and its clipped gradient; return the loss and the length before."""
    loss: Loss = wrapped(views)
    stepper.zero_grad(set_to_none=True)
    fabric.backward(loss.total)
    norm = fabric.clip_gradients(wrapped, stepper, max_norm=clip_norm, error_if_nonfinite=False)
    return loss, cast(Tensor, norm)


def _scale_rates(optimizer: Optimizer, factor: float) -> float:
    """Set each group's rate to its full one times the factor; return the first group's.

    The full rate is kept in the group, hence in the optimizer's state, and survives a resume.
    """
    for group in optimizer.param_groups:
        group["lr"] = group.setdefault("full_lr", group["lr"]) * factor
    rate: float = optimizer.param_groups[0]["lr"]
    return rate


def _scales_gradients(fabric: Fabric) -> bool:
    """Return whether gradients may overflow by design: the step is then left out."""
    return str(fabric.strategy.precision.precision) == "16-mixed"


def _read(step: int, loss: Loss, norm: Tensor, *, scaled: bool) -> dict[str, float]:
    """Fetch the numbers of a step at once, and refuse those that are not finite."""
    tensors = {**loss.notes, "total": loss.total, **loss.terms, "gradient_norm": norm}
    fetched = torch.stack([tensor.detach().float() for tensor in tensors.values()]).tolist()
    numbers = dict(zip(tensors, fetched, strict=True))
    decisive = fetched[len(loss.notes) :]
    if not all(map(math.isfinite, decisive[:-1] if scaled else decisive)):
        msg = (
            f"the loss or its gradient is not finite at step {step}: {numbers}; "
            "a lower learning rate, a shorter optim.clip_norm or precision 32-true may help"
        )
        raise DivergedError(msg)
    return numbers


def _with_shares(numbers: dict[str, float]) -> dict[str, float]:
    """Return the numbers, and which share of a step each time takes."""
    steps_per_s = numbers["steps_per_s"]
    times_s = {name: value for name, value in numbers.items() if name.endswith("_s")}
    del times_s["steps_per_s"]
    shares = {f"{name[:-2]}_share": value * steps_per_s for name, value in times_s.items()}
    return numbers | shares


def _is_cuda(fabric: Fabric) -> bool:
    return fabric.device.type == "cuda"


class _Clock:
    """How fast steps go, and how much of the time they and the device wait for batches.

    A CUDA event is passed when all that was launched before it is done: from one before a wait
    to one after it the device has nothing to do. The times of events are looked at where numbers
    were read, when they have long been passed, so that nothing waits for them.

    Args:
        make_event: Makes events of the device; none where it keeps no time of its own.
    """

    def __init__(self, make_event: Callable[[], Any] | None) -> None:
        self.make_event = make_event
        self.since_s, self.waited_s, self.steps = time.perf_counter(), 0.0, 0
        self.waits: list[tuple[Any, Any]] = []

    def timed(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Yield the batches and take the time that each is waited for."""
        waiting_s, before = time.perf_counter(), self._event()
        for batch in batches:
            self.waited_s += time.perf_counter() - waiting_s
            self.waits.append((before, self._event()))
            self.steps += 1
            yield batch
            waiting_s, before = time.perf_counter(), self._event()

    def since_last(self) -> dict[str, float]:
        """Return speed and waiting since this was last asked."""
        now_s = time.perf_counter()
        elapsed_s = max(now_s - self.since_s, 1e-9)
        numbers = {
            "steps_per_s": self.steps / elapsed_s,
            "data_wait_share": min(self.waited_s / elapsed_s, 1.0),
            "device_idle_share": min(self._idle_s() / elapsed_s, 1.0),
        }
        self.since_s, self.waited_s, self.steps, self.waits = now_s, 0.0, 0, []
        return numbers

    def _event(self) -> Any:
        if self.make_event is None:
            return None
        event = self.make_event()
        event.record()
        return event

    def _idle_s(self) -> float:
        if self.make_event is None:
            return self.waited_s
        return sum(before.elapsed_time(after) for before, after in self.waits) / 1000
