"""The loop against gradient descent by hand."""

import time
from types import SimpleNamespace
from typing import NamedTuple

import pytest
import torch
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from medssl.errors import MedsslError
from medssl.objectives import Loss
from medssl.training.loop import Hook, Plan, _Clock, fit
from medssl.training.schedules.constant import Constant


class Target(NamedTuple):
    value: Tensor


class Parabola(nn.Module):
    """Its loss is half the squared distance of its weight from the batch."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(8.0))
        self.progress = []

    def forward(self, target):
        return Loss({"distance": (self.weight - target.value).square() / 2})

    def after_step(self, progress):
        self.progress.append((progress, self.weight.item()))


def target(value):
    return Target(torch.tensor(value))


def train(batches, *, lr=0.25, hooks=(), model=None, optimizer=None, views_of=target, **plan):
    model, seen = model or Parabola(), {}
    fit(
        model,
        batches,
        optimizer or torch.optim.SGD(model.parameters(), lr=lr),
        fabric=Fabric(accelerator="cpu", devices=1),
        plan=Plan(
            **{
                "num_steps": plan.get("num_steps") or len(batches),
                "schedule": Constant(),
                "clip_norm": 1e9,
                "log_every": 1,
            }
            | plan
        ),
        on_log=seen.__setitem__,
        views_of=views_of,
        hooks=hooks,
    )
    return model, seen


class Slow(Parabola):
    """Notes how long a part of its loss takes."""

    def forward(self, target):
        began_s = time.perf_counter()
        time.sleep(0.02)
        taken_s = torch.tensor(time.perf_counter() - began_s)
        return super().forward(target)._replace(notes={"solver_s": taken_s})


def test_of_a_noted_time_the_share_of_a_step_is_logged_too():
    _, seen = train([3.0] * 4, model=Slow())
    for numbers in seen.values():
        assert numbers["solver_s"] >= 0.02
        share = numbers["solver_s"] * numbers["steps_per_s"]
        assert numbers["solver_share"] == pytest.approx(share)
        assert 0 < numbers["solver_share"] < 1.001
        assert "steps_per_share" not in numbers


def test_each_batch_is_one_step_of_gradient_descent():
    model, seen = train([0.0, 0.0, 4.0])
    by_hand = 8 * 0.75 * 0.75
    assert model.weight.item() == pytest.approx(by_hand - 0.25 * (by_hand - 4))
    assert {step: numbers["total"] for step, numbers in seen.items()} == pytest.approx(
        {0: 32.0, 1: 18.0, 2: (by_hand - 4) ** 2 / 2}
    )
    first = {key: seen[0][key] for key in ("total", "distance", "gradient_norm", "lr")}
    assert first == pytest.approx(
        {"total": 32.0, "distance": 32.0, "gradient_norm": 8.0, "lr": 0.25}
    )


def test_the_gradient_is_clipped_and_its_length_before_is_logged():
    model, seen = train([0.0], lr=1.0, clip_norm=0.5)
    assert model.weight.item() == pytest.approx(7.5, abs=1e-4)
    assert seen[0]["gradient_norm"] == pytest.approx(8.0)


def test_the_schedule_scales_the_full_rate_at_each_step():
    model, seen = train([0.0] * 4, schedule=lambda progress: 1 - progress)
    assert [numbers["lr"] for numbers in seen.values()] == [0.25, 0.1875, 0.125, 0.0625]
    assert model.weight.item() == pytest.approx(8 * 0.75 * 0.8125 * 0.875 * 0.9375)


def test_a_schedule_goes_on_at_the_full_rate_that_an_optimizers_state_remembers():
    halves = {"schedule": lambda progress: 1 - progress, "num_steps": 4}
    model, saved = Parabola(), {}

    def save(done, views):
        saved[done] = (model.weight.detach().clone(), optimizer.state_dict())

    optimizer = torch.optim.SGD(model.parameters(), lr=0.25)
    _, whole = train([0.0] * 4, model=model, optimizer=optimizer, hooks=[Hook(2, save)], **halves)

    other = Parabola()
    other.weight.data, state = saved[2][0], saved[2][1]
    resumed = torch.optim.SGD(other.parameters(), lr=0.25)
    resumed.load_state_dict(state)
    _, rest = train([0.0] * 2, model=other, optimizer=resumed, start_step=2, **halves)
    assert other.weight.item() == model.weight.item()
    assert {step: n["lr"] for step, n in rest.items()} == {2: 0.125, 3: 0.0625}
    assert rest[3]["total"] == whole[3]["total"]


def test_the_method_moves_its_own_after_each_step():
    assert train([0.0, 0.0])[0].progress == [(0.5, 6.0), (1.0, 4.5)]


def test_numbers_are_read_at_the_cadence_and_at_the_end():
    assert [*train([0.0] * 6, log_every=2)[1]] == [0, 2, 4, 5]


def test_hooks_are_called_in_order_after_their_step_and_at_the_end():
    model, calls = Parabola(), []
    every = [
        Hook(3, lambda done, views: calls.append(("a", done, views.value.item()))),
        Hook(2, lambda done, views: calls.append(("b", done, model.weight.item()))),
    ]
    train([0.0, 0.0, 1.0, 0.0, 0.0], model=model, hooks=every, lr=0.5)
    after = [8 / 2, 8 / 4, 1 + 1 / 2 - 0.5 + 0.5, 0.75, 0.375]
    assert calls == [
        ("b", 2, after[1]),
        ("a", 3, 1.0),
        ("b", 4, after[3]),
        ("a", 5, 0.0),
        ("b", 5, after[4]),
    ]


@pytest.mark.parametrize("batches", [[0.0] * 2, [0.0] * 4])
def test_as_many_batches_as_steps_are_left_are_asked_for(batches):
    with pytest.raises(ValueError, match=r"argument 2 is (longer|shorter)"):
        train(batches, num_steps=5, start_step=2)


def test_speed_and_waiting_are_measured(monkeypatch):
    now = iter(range(1000))  # each look at the clock takes a second
    monkeypatch.setattr("medssl.training.loop.time.perf_counter", lambda: float(next(now)))
    _, seen = train([0.0] * 3, log_every=10)
    # begin 0; wait from 1 to 2; read at 3 | wait 4-5, 6-7; read at 8
    assert seen[0]["steps_per_s"] == pytest.approx(1 / 3)
    assert seen[0]["data_wait_share"] == pytest.approx(1 / 3)
    assert seen[2]["steps_per_s"] == pytest.approx(2 / 5)
    assert seen[2]["data_wait_share"] == pytest.approx(2 / 5)
    # what the CPU waits for is what the device waits for
    assert all(n["device_idle_share"] == n["data_wait_share"] for n in seen.values())


def test_a_device_is_idle_where_it_is_done_before_the_next_batch_comes(monkeypatch):
    class Device:
        now_s = done_s = 0.0

        def work(self, seconds):
            self.done_s = max(self.now_s, self.done_s) + seconds

    class Event:
        def record(self):
            self.passed_s = max(device.now_s, device.done_s)

        def elapsed_time(self, later):
            assert later.passed_s <= device.now_s, "this would fail on a device"
            return 1000 * (later.passed_s - self.passed_s)

    def batches():
        for seconds in (1.0, 3.0, 0.5):
            device.now_s += seconds
            yield None

    device = Device()
    monkeypatch.setattr("medssl.training.loop.time.perf_counter", lambda: device.now_s)
    clock = _Clock(Event)
    for _ in clock.timed(batches()):
        device.work(2.0)
        device.now_s += 0.1
    device.now_s = device.done_s  # numbers are read
    # idle from 0 to 1 and from 3 to 4.1; the third batch comes at 4.7, the work is done at 6.1
    numbers = clock.since_last()
    assert numbers["device_idle_share"] == pytest.approx(2.1 / 8.1)
    assert numbers["data_wait_share"] == pytest.approx(4.5 / 8.1)
    device.now_s += 2
    assert clock.since_last()["device_idle_share"] == 0


def test_making_views_is_not_waiting(monkeypatch):
    clock = SimpleNamespace(now_s=0.0)

    def views_of(batch):
        clock.now_s += 3
        return Target(torch.tensor(batch))

    def batches():
        for _ in range(2):
            clock.now_s += 1
            yield 2.0

    monkeypatch.setattr("medssl.training.loop.time.perf_counter", lambda: clock.now_s)
    model, seen = train(batches(), views_of=views_of, num_steps=2, log_every=10)
    assert model.weight.item() == 2 + 6 * 0.75 * 0.75
    assert seen[0]["data_wait_share"] == pytest.approx(1 / 4)


@pytest.mark.gpu
def test_a_gpu_that_waits_is_idle():
    def batches():
        for _ in range(20):
            time.sleep(0.02)
            yield Target(torch.tensor(0.0, device="cuda"))

    model, seen = Parabola(), {}
    fit(
        model.cuda(),
        batches(),
        torch.optim.SGD(model.parameters(), lr=0.1),
        fabric=Fabric(accelerator="cuda", devices=1),
        plan=Plan(num_steps=20, schedule=Constant(), clip_norm=1.0, log_every=10),
        on_log=seen.__setitem__,
    )
    assert 0.5 < seen[10]["device_idle_share"] <= 1


def test_a_step_off_the_cadence_reads_nothing_from_the_device(monkeypatch):
    class Reads(TorchDispatchMode):
        count = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            self.count += func is torch.ops.aten._local_scalar_dense.default
            return func(*args, **kwargs or {})

    monkeypatch.setattr(Parabola, "after_step", lambda self, progress: None)
    with Reads() as reads:
        train([0.0] * 6, log_every=100)
    assert reads.count == 0  # `tolist`, which reads the first and the last, is not dispatched


@pytest.mark.parametrize(("log_every", "step"), [(1, 1), (100, 2)])
def test_a_loss_that_is_not_finite_stops_the_run_by_name(log_every, step):
    with pytest.raises(FloatingPointError, match=rf"step {step}: .*'distance': nan") as caught:
        train([0.0, float("nan"), 0.0], log_every=log_every)
    assert isinstance(caught.value, MedsslError)


def test_a_weight_that_is_not_finite_never_reaches_a_hook():
    saved = []
    hook = Hook(2, lambda done, views: saved.append(done))
    with pytest.raises(FloatingPointError, match="not finite at step 3"):
        train([0.0, 0.0, float("inf"), 0.0], log_every=100, hooks=[hook])
    assert saved == [2]


class Probe(nn.Module):
    """Remembers in which type its encoder computed."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Conv2d(1, 1, 3)
        self.encoder.register_forward_hook(lambda *call: setattr(self, "seen", call[-1].dtype))

    def forward(self, target):
        return Loss({"mean": self.encoder(target.value).mean()})

    def after_step(self, progress):
        pass


@pytest.mark.parametrize(
    ("precision", "dtype"), [("32-true", torch.float32), ("bf16-mixed", torch.bfloat16)]
)
def test_the_encoder_computes_in_the_precision_asked_for(precision, dtype):
    probe = Probe()
    fit(
        probe,
        [Target(torch.ones(1, 1, 4, 4))],
        torch.optim.SGD(probe.parameters()),
        fabric=Fabric(accelerator="cpu", devices=1, precision=precision),
        plan=Plan(num_steps=1, schedule=Constant(), clip_norm=1.0),
        on_log=lambda step, numbers: None,
    )
    assert probe.seen == dtype
    assert probe.encoder.weight.dtype == torch.float32
