"""What pretraining steps on: the crops that the loader reads, and the views made of them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, get_type_hints

from medssl.config.component import build
from medssl.config.stages.pretrain import Pretrain
from medssl.data.augment import augment, augment_multi
from medssl.data.balanced import Balanced
from medssl.data.crops import Crops, CropSource, LabeledCrops, MultiCrops
from medssl.data.loading import Loader
from medssl.data.manifest import Manifest
from medssl.data.sampling import Epochs
from medssl.data.views import LabeledViews, MultiViews, ViewOperation, Views
from medssl.errors import ConfigError
from medssl.methods import Method
from pipelines._progress import track

VIEWS_OF = {Crops: Views, MultiCrops: MultiViews, LabeledCrops: LabeledViews}


def check_views(cfg: Pretrain, method: Method, source: CropSource) -> None:
    """Check that a method takes the views that the crops make.

    Raises:
        ConfigError: If it takes others.
    """
    wanted = get_type_hints(type(method).embed)["views"]
    made = VIEWS_OF[get_type_hints(type(source).__getitem__)["return"]]
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

    def starting_at(self, step: int) -> Iterator[Crops | MultiCrops]:
        """Yield the crops of each step that is left, and show how far they are."""
        left = self.cfg.optim.num_steps - step
        yield from track(self.crops(step), total=left, label="pretrain", unit="steps")

    def views(self, crops: Crops | MultiCrops) -> Views | MultiViews:
        """Return the augmented views of a batch on the device."""
        plain_views = self.cfg.plain_views
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

    def crops(self, step: int) -> Iterable[Crops | MultiCrops]:
        """Return this rank's share of each batch that is left."""
        return Loader(self.source, self.draws(step), num_workers=self.cfg.num_workers)

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
        if cfg.balanced_by is None:
            return epochs
        if len(self.source.subjects) != len(self.manifest):
            msg = (
                f"balanced_by {cfg.balanced_by} counts cases, the crops {cfg.crops.name} have "
                f"{len(self.source.subjects)} items of {len(self.manifest)} cases; have an item a "
                "case, or leave balanced_by out"
            )
            raise ConfigError(msg)
        return Balanced(self.manifest, cfg.balanced_by, epochs)


def by_size(views: Views | MultiViews) -> list[Views]:
    """Return views by size, global ones first."""
    return [*views] if isinstance(views, MultiViews) else [views]
