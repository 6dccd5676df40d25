"""A training and its loader, which take turns: together, and each without the other."""

import time
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import Any, cast

from medssl.config.component import build
from medssl.config.stages.pretrain import Pretrain
from medssl.data.crops import num_crops
from medssl.training.fabric import place
from medssl.training.loop import fit
from pipelines._batches import Batches
from pipelines._training import make_optimizer, make_plan
from pipelines.pretrain import make_networks, start_ranks, train_cases

READ_AHEAD = 2  # batches that a worker reads before they are asked for


@dataclass(frozen=True, kw_only=True)
class Turns:
    """The seconds of one turn each.

    Args:
        kept_s: Steps on views that were there already.
        fed_s: As many steps on what the loader brings.
        waited_s: Of these, waiting for crops.
        augmented_s: Of these, making views of them.
        alone_s: Reading batches and nothing else.
    """

    kept_s: float
    fed_s: float
    waited_s: float
    augmented_s: float
    alone_s: float


class Feeding:
    """A training, the loader that feeds it, and another one with nobody to wait for.

    What workers read ahead while it was another's turn is taken before the clock starts.
    """

    def __init__(self, cfg: Pretrain) -> None:
        self.cfg, self.fabric = cfg, start_ranks(cfg)
        manifest = train_cases(cfg)
        source = build(cfg.crops, manifest, cfg.manifest.parent, cfg.seed)
        self.method: Any = build(cfg.method, *make_networks(cfg, source).parts.values())
        place(self.method, self.fabric)
        self.optimizer = make_optimizer(self.method, cfg.optim)
        self.batches = Batches(cfg, self.fabric, manifest, source)
        self.feeding, self.alone = self.loaders = [iter(self.batches.crops(0)) for _ in range(2)]
        self.num_ahead = READ_AHEAD * cfg.num_workers
        first = next(self.feeding)
        self.crops_a_batch = num_crops(first)
        self.kept = self.batches.views(first)
        self.waited_s = self.augmented_s = 0.0

    def close(self) -> None:
        """End the workers."""
        for loader in self.loaders:
            cast(Generator[Any, None, None], loader).close()

    def turns(self, num_steps: int, num_alone: int) -> Turns:
        """Take so many steps on kept views, as many on new ones, and read so many batches."""
        kept_s = self._train(repeat(self.kept, num_steps), num_steps)
        self._train(self._views(self.num_ahead), self.num_ahead)
        self.waited_s = self.augmented_s = 0.0
        fed_s = self._train(self._views(num_steps), num_steps)
        return Turns(
            kept_s=kept_s,
            fed_s=fed_s,
            waited_s=self.waited_s,
            augmented_s=self.augmented_s,
            alone_s=self._read(num_alone),
        )

    def _views(self, num_steps: int) -> Iterator[Any]:
        for _ in range(num_steps):
            start_s = time.perf_counter()
            crops = next(self.feeding)
            read_s = time.perf_counter()
            views = self.batches.views(crops)
            self.waited_s += read_s - start_s
            self.augmented_s += time.perf_counter() - read_s
            yield views

    def _train(self, views: Iterable[Any], num_steps: int) -> float:
        start_s = time.perf_counter()
        fit(
            self.method,
            views,
            self.optimizer,
            fabric=self.fabric,
            plan=make_plan(self.cfg.optim, num_steps, log_every=num_steps),
            on_log=lambda step, numbers: None,
        )
        return time.perf_counter() - start_s

    def _read(self, num_batches: int) -> float:
        for _ in range(self.num_ahead):
            next(self.alone)
        start_s = time.perf_counter()
        for _ in range(num_batches):
            next(self.alone)
        return time.perf_counter() - start_s
