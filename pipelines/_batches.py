"""What pretraining steps on: the crops that the loader reads, and the views made of them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast, get_type_hints

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from medssl.config.component import build
from medssl.config.schema import Target
from medssl.config.stages.pretrain import Pretrain
from medssl.data.augment import augment, augment_multi
from medssl.data.balanced import Balanced, rows_by_group
from medssl.data.crops import Crops, CropSource, GroupedCrops, LabeledCrops, MultiCrops, grouped
from medssl.data.loading import Loader
from medssl.data.manifest import Manifest
from medssl.data.sampling import Epochs
from medssl.data.views import GroupedViews, LabeledViews, MultiViews, ViewOperation, Views
from medssl.errors import ConfigError, DataError
from medssl.methods import Method
from pipelines._attributes import Attributes, attributes_of
from pipelines._progress import track
from pipelines._properties import said_of

VIEWS_OF = {Crops: Views, MultiCrops: MultiViews, LabeledCrops: LabeledViews}


def check_views(cfg: Pretrain, method: Method, source: CropSource) -> None:
    """Check that a method takes the views that the crops make.

    Raises:
        ConfigError: If it takes others.
    """
    wanted = get_type_hints(type(method).embed)["views"]
    made = VIEWS_OF[get_type_hints(type(source).__getitem__)["return"]]
    if cfg.target is not None and made is Views:
        made = GroupedViews
    if made is not wanted and GroupedViews in (made, wanted):
        takes = "takes targets and background" if made is Views else "takes no targets"
        msg = (
            f"method {cfg.method.name} {takes}: set target to what tells them (by, "
            "equals), with crops of one size, for such methods, and leave it out for others"
        )
        raise ConfigError(msg)
    if made is not wanted:
        msg = (
            f"method {cfg.method.name} takes {wanted.__name__}, crops {cfg.crops.name} make "
            f"{made.__name__}; of crops and methods multi_crop go together, and labeled are for "
            "finetune"
        )
        raise ConfigError(msg)


@dataclass(frozen=True)
class Batches:
    """Crops as the loader reads them, and the views that the device makes of them."""

    cfg: Pretrain
    fabric: Any
    manifest: Manifest
    source: Any

    def __post_init__(self) -> None:
        self.draws(0)  # what cannot be drawn is refused before anything is written

    @cached_property
    def operations(self) -> tuple[ViewOperation, ...]:
        """What makes views of crops, in order."""
        return tuple(build(operation) for operation in self.cfg.views)

    def starting_at(self, step: int) -> Iterator[Crops | MultiCrops | GroupedCrops]:
        """Yield the crops of each step that is left, and show how far they are."""
        left = self.cfg.optim.num_steps - step
        yield from track(self.crops(step), total=left, label="pretrain", unit="steps")

    def views(self, crops: Crops | MultiCrops | GroupedCrops) -> Views | MultiViews | GroupedViews:
        """Return the augmented views of a batch on the device."""
        plain_views = self.cfg.plain_views
        if isinstance(crops, GroupedCrops):
            views = augment(self.on_device(crops.crops), self.operations, plain_views=plain_views)
            known = crops.is_target, crops.attributes, self.attributes.is_categorical
            return GroupedViews(views, *map(self.fabric.to_device, known))
        if isinstance(crops, MultiCrops):
            both = MultiCrops(*map(self.on_device, crops))
            return augment_multi(both, self.operations, plain_views=plain_views)
        return augment(self.on_device(crops), self.operations, plain_views=plain_views)

    def on_device(self, crops: Crops) -> Crops:
        """Return crops on the device, but for their seeds: parameters are drawn on the CPU."""
        moved = {
            name: part if name == "seed" else self.fabric.to_device(part)
            for name, part in crops._asdict().items()
        }
        return Crops(**moved)

    def crops(self, step: int) -> Iterable[Crops | MultiCrops | GroupedCrops]:
        """Return this rank's share of each batch that is left."""
        loaded = Loader(self.source, self.draws(step), num_workers=self.cfg.num_workers)
        if self.cfg.target is None:
            return loaded
        drawn = ([row for _, row in batch] for batch in self.draws(step))
        return (
            grouped(crops, self.is_target[rows], self.attributes.values[rows])
            for crops, rows in zip(loaded, drawn, strict=True)
        )

    @cached_property
    def attributes(self) -> Attributes:
        """What is known of the targets."""
        return attributes_of(self.manifest, self.is_target, self.cfg.attributes)

    @cached_property
    def is_target(self) -> Bool[Tensor, "case"]:
        """Which cases of the manifest are targets.

        Raises:
            DataError: If none are, or all, or one does not say.
        """
        target = cast(Target, self.cfg.target)
        try:
            said = said_of(self.manifest, target.by)
        except DataError as error:
            msg = f"target: {error}"
            raise DataError(msg) from error
        found = torch.tensor([text == target.equals for text in said])
        if found.any() and (~found).any():
            return found
        msg = (
            f"target: expected cases of {target.by} {target.equals!r} and others, "
            f"got {int(found.sum())} of {len(found)}; there are {sorted(set(said))[:8]}"
        )
        raise DataError(msg)

    def draws(self, step: int) -> Epochs | Balanced:
        """Return which cases they are of."""
        cfg, optim = self.cfg, self.cfg.optim
        epochs = Epochs(
            self.source.subjects,
            num_steps=optim.num_steps,
            batch_size=optim.batch_size,
            seed=cfg.seed,
            last_batch=optim.last_batch,
            start_step=step,
            rank=self.fabric.global_rank,
            num_ranks=self.fabric.world_size,
        )
        if cfg.target is not None:
            self.check_cases("target")
            _ = self.attributes  # refuses what is not known
            groups = {"background": ~self.is_target, "target": self.is_target}
            return Balanced({k: np.flatnonzero(of.numpy()) for k, of in groups.items()}, epochs)
        if cfg.balanced_by is not None:
            self.check_cases(f"balanced_by {cfg.balanced_by}")
            return Balanced(rows_by_group(self.manifest, cfg.balanced_by), epochs)
        return epochs

    def check_cases(self, key: str) -> None:
        """Refuse a key that counts cases where the crops count something else.

        Raises:
            ConfigError: If they do.
        """
        rows = len(self.source.subjects)
        if rows != len(self.manifest):
            msg = (
                f"{key} counts cases, the crops {self.cfg.crops.name} have {rows} items of "
                f"{len(self.manifest)} cases; have an item a case, or leave {key.split()[0]} out"
            )
            raise ConfigError(msg)


def by_size(views: Views | MultiViews | GroupedViews) -> list[Views]:
    """Return views by size, global ones first."""
    if isinstance(views, GroupedViews):
        return [views.views]
    return [*views] if isinstance(views, MultiViews) else [views]
