"""Resumable state: whole, of this run, and as good as never having stopped."""

import json
import os
import subprocess
import sys
import time
from typing import NamedTuple

import pytest
import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from medssl.errors import ConfigError
from medssl.objectives import Loss
from medssl.training.checkpoint import StateFolder, differing, restore, snapshot
from medssl.training.loop import Hook, Plan, fit
from medssl.training.schedules.poly import Poly

IDENTITY = {"config": {"seed": 1, "optim": {"lr": 0.5}}, "manifest": "abc"}


@pytest.fixture
def folder(tmp_path):
    state = StateFolder(tmp_path / "run.state")
    state.claim(IDENTITY)
    return state


def states(folder):
    return sorted(path.name[:14] for path in folder.path.glob("*.pt"))


def test_the_newest_state_is_loaded_and_the_one_before_is_kept(folder):
    assert folder.load() is None
    for step in (2, 4, 10):
        folder.save(step, {"weight": torch.full((3,), float(step)), "rows": [(step, "a", 0.5)]})
    step, state = folder.load()
    assert (step, state["rows"]) == (10, [(10, "a", 0.5)])
    assert torch.equal(state["weight"], torch.full((3,), 10.0))
    assert states(folder) == ["step-000000004", "step-000000010"]


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b + b"x"])
def test_a_damaged_state_gives_way_to_the_one_before_and_is_named(folder, damage):
    for step in (2, 4):
        folder.save(step, {"weight": torch.tensor(float(step))})
    newest = max(folder.path.glob("*.pt"))
    newest.write_bytes(damage(newest.read_bytes()))
    with pytest.warns(UserWarning, match=rf"{newest.name} is damaged; going on from the state be"):
        step, state = folder.load()
    assert (step, state["weight"].item()) == (2, 2.0)


def test_one_changed_bit_is_noticed(folder):
    folder.save(2, {"weight": torch.zeros(1000)})
    (path,) = folder.path.glob("*.pt")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.warns(UserWarning, match="damaged"):
        assert folder.load() is None


def test_what_was_not_renamed_yet_is_no_state(folder):
    folder.save(2, {"weight": torch.tensor(2.0)})
    (path,) = folder.path.glob("*.pt")
    for name in (".step-000000004-0.pt.part", "step-000000004.pt", "step-4-abc.pt"):
        (folder.path / name).write_bytes(path.read_bytes())
    assert folder.load()[0] == 2


def test_nothing_is_unpickled(folder):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(folder.path / "touched"),)

    folder.save(2, {"weight": Evil()})
    with pytest.raises(Exception, match="Weights only load failed"):
        folder.load()
    assert not (folder.path / "touched").exists()


def test_a_state_of_another_run_is_refused_with_the_keys_that_differ(folder):
    folder.claim(json.loads(json.dumps(IDENTITY)))
    other = {"config": {"seed": 2, "optim": {"lr": 0.5, "clip": 3}}, "manifest": "abc"}
    with pytest.raises(
        ConfigError, match=r"another config\.optim\.clip, config\.seed; .* delete that folder"
    ):
        folder.claim(other)


def test_trees_differ_where_a_value_does_and_nowhere_else():
    assert differing({"a": {"b": (1, 2), "c": None}}, {"a": {"b": [1, 2], "c": None}}) == []
    assert differing({"a": {"b": 1}}, {"a": 1}) == ["a"]
    assert differing({"a": 1}, {"b": 1}) == ["a", "b"]


def test_the_tracked_run_is_remembered_beside_the_identity(folder):
    assert folder.run_id is None
    folder.remember("run 7")
    assert StateFolder(folder.path).run_id == "run 7"
    folder.claim(IDENTITY)


def test_a_finished_run_leaves_nothing(folder, tmp_path):
    folder.save(2, {})
    folder.remove()
    assert list(tmp_path.iterdir()) == []
    folder.remove()


class Target(NamedTuple):
    value: Tensor


class Student(nn.Module):
    """Has all that a state is made of: weights, a teacher, a queue, dropout, a counter."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.teacher = nn.Linear(4, 4).requires_grad_(requires_grad=False)
        self.register_buffer("queue", torch.zeros(4))
        self.steps = 0

    def forward(self, target):
        student = nn.functional.dropout(self.layer(target.value), 0.5, self.training)
        return Loss(
            {"distance": (student - self.teacher(target.value) - self.queue).square().sum()}
        )

    @torch.no_grad()
    def after_step(self, progress):
        self.steps += 1
        self.queue.copy_(0.9 * self.queue + self.layer.bias)
        for mine, theirs in zip(self.teacher.parameters(), self.layer.parameters(), strict=True):
            mine.lerp_(theirs, 0.1 + 0.01 * self.steps)

    def get_extra_state(self):
        return torch.tensor(self.steps)

    def set_extra_state(self, state):
        self.steps = int(state)


def train(folder, *, stop=None):
    """Train 9 steps, saving every 2; raise after step `stop`."""
    torch.manual_seed(0)
    model = Student()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1)
    fabric, losses = Fabric(accelerator="cpu", devices=1), {}
    generator = torch.Generator().manual_seed(5)
    batches = [Target(torch.randn(3, 4, generator=generator)) for _ in range(9)]
    folder.claim(IDENTITY)
    done, state = folder.load() or (0, None)
    if state:
        restore(state, model, optimizer, fabric)

    def save(done, views):
        folder.save(done, snapshot(model, optimizer, fabric))

    def leave(done, views):
        if done == stop:
            raise KeyboardInterrupt

    fit(
        model,
        batches[done:],
        optimizer,
        fabric=fabric,
        plan=Plan(num_steps=9, schedule=Poly(), clip_norm=1.0, log_every=1, start_step=done),
        on_log=lambda step, numbers: losses.__setitem__(step, numbers["total"]),
        hooks=[Hook(2, save), Hook(1, leave)],
    )
    return model.state_dict(), losses


def test_a_run_that_was_stopped_goes_on_to_the_bit(tmp_path):
    whole, losses = train(StateFolder(tmp_path / "whole"))
    halves = StateFolder(tmp_path / "halves")
    for stop in (3, 7):
        with pytest.raises(KeyboardInterrupt):
            train(halves, stop=stop)
    resumed, rest = train(halves)
    assert list(rest) == [6, 7, 8]
    assert rest == {step: losses[step] for step in rest}
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


SAVE_FOREVER = f"""
import sys, torch
from pathlib import Path
from medssl.training.checkpoint import StateFolder
folder = StateFolder(Path(sys.argv[1]))
folder.claim({IDENTITY!r})
step = (folder.load() or (0, None))[0]
while True:
    step += 1
    folder.save(step, {{"weight": torch.full((300_000,), float(step))}})
"""


def newest(path):
    return max((int(found.name[5:14]) for found in path.glob("step-*.pt")), default=0)


@pytest.mark.long
def test_killed_while_saving_there_is_always_a_whole_state(tmp_path):
    before, path = 0, tmp_path / "run.state"
    for pause_s in (0.2, 0.05, 0.13):
        # A process of its own: one forked from here would inherit locks of torch's threads.
        with subprocess.Popen([sys.executable, "-c", SAVE_FOREVER, str(path)]) as saver:
            while newest(path) <= before:
                assert saver.poll() is None
                time.sleep(0.01)
            time.sleep(pause_s)
            saver.kill()
        step, state = StateFolder(path).load()
        assert step > before
        assert state["weight"].unique().tolist() == [step]
        before = step
    assert before > 4
