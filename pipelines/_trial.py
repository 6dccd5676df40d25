"""A training config on this machine: a few steps on noise, by the very code that trains."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from medssl.config.component import build
from medssl.config.load import load
from medssl.config.schema import schema
from medssl.data.cache import write_cached
from medssl.data.manifest import Case, Manifest, write_manifest
from medssl.data.preprocessing import Intensity
from medssl.data.volume import Volume
from medssl.training.fabric import place, start
from medssl.training.loop import fit
from pipelines import finetune, pretrain
from pipelines._batches import Batches
from pipelines._labeled import Cases
from pipelines._machine import GIB, Finding
from pipelines._network import load_weights, plan_network
from pipelines._training import make_optimizer, make_plan

NUM_STEPS = 4  # the first is left out of the time: it sets things up
BEYOND_VOX = 8  # the noise is so much larger than a crop
FEWEST_SLICES = 32


def try_config(stage: str, path: Path) -> list[Finding]:
    """Return what a run of a pretraining or fine-tuning would take.

    Raises:
        ConfigError: If the config is wrong.
        DataError: If it starts from an export that is not there or does not fit.
    """
    cfg = load(schema(stage), path)
    with tempfile.TemporaryDirectory() as folder:
        manifest = write_noise(cfg, Path(folder))
        short = replace(
            cfg,
            manifest=Path(folder) / "manifest.parquet",
            optim=replace(cfg.optim, num_steps=NUM_STEPS, num_epochs=None),
            num_workers=0,
        )
        parts = {"pretrain": _pretraining, "finetune": _finetuning}[stage](short, manifest)
        found = measure(short, parts)
    counted = f"{found.num_weights:,}, of which {found.num_trained:,} are trained"
    timed = f"{found.step_s:.3g} s a step"
    if cfg.optim.num_epochs is None:
        steps = cfg.optim.num_steps
        timed += f", {duration(found.step_s * steps)} for {steps:,} steps"
    return [
        Finding("OK", "parameters", counted),
        Finding("OK", "memory", f"{found.bytes / GIB:.2f} GiB on {found.device}"),
        Finding("OK", "time", f"{timed} of batch {cfg.optim.batch_size}"),
    ]


@dataclass(frozen=True)
class Parts:
    """What a loop runs on."""

    method: Any
    batches: Iterator[Any]
    fabric: Any


@dataclass(frozen=True)
class Measured:
    """What a few steps took.

    Args:
        num_weights: Of the method with all its networks.
        num_trained: Of them, those that are not frozen.
        bytes: Weights, gradients, optimizer state and what backward keeps; of a GPU the peak
            that it reports.
        step_s: Median time of a step, with reading and augmenting its batch.
        device: Where it ran.
    """

    num_weights: int
    num_trained: int
    bytes: int
    step_s: float
    device: str


def measure(cfg: Any, parts: Parts) -> Measured:
    """Take the steps of the config and look at what they take."""
    on_gpu = parts.fabric.device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    weights = list(parts.method.parameters())
    optimizer = make_optimizer(parts.method, cfg.optim)
    steps_s: list[float] = []

    def note(step: int, numbers: dict[str, float]) -> None:
        steps_s.append(1 / numbers["steps_per_s"])
        kept.end_step()

    with kept_for_backward(weights) as kept:
        fit(
            parts.method,
            parts.batches,
            optimizer,
            fabric=parts.fabric,
            plan=make_plan(cfg.optim, NUM_STEPS, log_every=1),
            on_log=note,
        )
    trained = [weight for weight in weights if weight.requires_grad]
    states = [value for state in optimizer.state.values() for value in state.values()]
    held = [*weights, *trained, *(state for state in states if isinstance(state, Tensor))]
    return Measured(
        num_weights=sum(weight.numel() for weight in weights),
        num_trained=sum(weight.numel() for weight in trained),
        bytes=torch.cuda.max_memory_allocated() if on_gpu else kept.most + _bytes(held),
        step_s=median(steps_s[1:]),
        device=str(parts.fabric.device),
    )


class Kept:
    """How much backward passes were handed, step by step."""

    def __init__(self, weights: list[nn.Parameter]) -> None:
        self.weights = {weight.data_ptr() for weight in weights}
        self.sizes: dict[int, int] = {}
        self.most = 0

    def add(self, tensor: Tensor) -> Tensor:
        """Count a tensor's storage, once."""
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self.weights:
            self.sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    def end_step(self) -> None:
        """Begin to count anew."""
        self.most = max(self.most, sum(self.sizes.values()))
        self.sizes = {}


@contextmanager
def kept_for_backward(weights: list[nn.Parameter]) -> Iterator[Kept]:
    """Count what autograd keeps from forward to backward, besides the weights."""
    kept = Kept(weights)
    with torch.autograd.graph.saved_tensors_hooks(kept.add, lambda tensor: tensor):
        yield kept


def write_noise(cfg: Any, root: Path) -> Manifest:
    """Write a batch of noise with labels, a little larger than a crop, each of its own subject."""
    crop = cfg.crops.params["crop_vox"]
    size = [side + BEYOND_VOX for side in crop]
    size = [*size[:2], max([FEWEST_SLICES, *size[2:]])]
    num_frames = cfg.crops.params.get("num_views", 1)  # as many as a sampler of frames asks for
    noise = np.random.default_rng(0)
    num_classes = len(getattr(cfg, "classes", ()))
    image = noise.integers(1000, size=(1, *size), dtype=np.int16)
    label = noise.integers(num_classes + 1, size=(1, *size), dtype=np.uint8)
    mapped = Intensity(0.0, 1e-3, 0.0, 1.0)
    for name, voxels, intensity in (("image", image, mapped), ("label", label, None)):
        write_cached(
            root / f"{name}.b2nd",
            Volume(voxels, np.eye(4)),
            intensity=intensity,
            source_affine=np.eye(4),
            source_shape=tuple(size),
            key=name,
        )
    manifest = Manifest.of(
        Case(
            case_id=f"noise {number} {frame}",
            digest=f"noise {number} {frame}",
            subject_id=f"noise {number}",
            series_id=f"noise {number}",
            frame=frame,
            image_uri="image.b2nd",
            label_uri="label.b2nd",
            shape=size,
            spacing_mm=[1.0, 1.0, 1.0],
            split="train",
        )
        for number in range(cfg.optim.batch_size)
        for frame in range(num_frames)
    )
    write_manifest(manifest, root / "manifest.parquet")
    return manifest


def duration(seconds: float) -> str:
    """Return a time as people say it."""
    for unit, length_s in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length_s:
            return f"{seconds / length_s:.1f} {unit}"
    return f"{seconds:.0f} s"


def _pretraining(cfg: Any, manifest: Manifest) -> Parts:
    cfg = replace(cfg, balanced_by=None)  # noise is of no group
    source = build(cfg.crops, manifest, cfg.manifest.parent, cfg.seed)
    fabric = pretrain.start_ranks(cfg)
    networks = pretrain.make_networks(cfg, source)
    method = build(cfg.method, *networks.parts.values())
    place(method, fabric)
    batches = Batches(cfg, fabric, manifest, source)
    return Parts(method, map(batches.views, batches.starting_at(0)), fabric)


def _finetuning(cfg: Any, manifest: Manifest) -> Parts:
    fabric = start(
        device=cfg.device,
        devices=cfg.fabric.devices,
        num_nodes=cfg.fabric.num_nodes,
        strategy=cfg.fabric.strategy,
        precision=cfg.fabric.precision,
    )
    nobody = Manifest.of([])
    cases = Cases(cfg.manifest.parent, manifest, nobody, nobody.table, nobody.table)
    network = plan_network(cfg.encoder, cfg.decoder, cfg.head, cfg.init).network(
        len(cfg.classes) + 1
    )
    load_weights(network, cfg.init, from_scratch=cfg.from_scratch)
    method = build(cfg.method, network)
    place(method, fabric)
    return Parts(method, finetune.Batches(cfg, cases, fabric).made(0, NUM_STEPS), fabric)


def _bytes(tensors: list[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
