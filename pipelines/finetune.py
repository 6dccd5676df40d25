"""Train a segmentation network with few labels: a cached manifest in, a task model out.

medssl finetune configs/finetune/segmentation.yaml --set from_scratch=true

A killed run goes on where it last saved, with the same result; a finished one is left alone.
The export is `weights.safetensors`, `card.json` (with the class names), `subjects.parquet` and
`history.parquet`; figures go to the tracker alone, since they show patients. Of the val split
only what is labeled is read, and nothing of the test split.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from medssl.config.component import build
from medssl.config.load import dump
from medssl.config.schema import BATCH_VOX
from medssl.config.stages.finetune import Finetune
from medssl.data.augment import augment_labeled
from medssl.data.crops import CropSource, LabeledCrops
from medssl.data.loading import Loader
from medssl.data.manifest import is_pseudo
from medssl.data.mixup import mixup
from medssl.data.sampling import Epochs
from medssl.data.views import LabeledViews
from medssl.inference.sliding_window import SlidingWindow
from medssl.models.export import check_unseen, seen_cases, write_export
from medssl.models.network import DenseNetwork
from medssl.tracking import Run
from medssl.tracking.silent import Silent
from medssl.training.checkpoint import StateFolder
from medssl.training.fabric import place, start
from medssl.training.loop import Hook
from pipelines._best import Best
from pipelines._copies import not_looked_for
from pipelines._extra_steps import extra_steps
from pipelines._figures import draw_curves
from pipelines._labeled import (
    Cases,
    check_labels,
    check_val,
    choose,
    mean_dice,
    validation_dice,
)
from pipelines._mask_figures import draw_planes, middle_planes
from pipelines._network import Architecture, check_fits, load_weights, plan_network
from pipelines._progress import track
from pipelines._records import record_of
from pipelines._runs import contract_of, identify, is_done, provenance
from pipelines._training import Training, lasting

LICENCE_NOTE = (
    "Weights were learned from the images and labels of the manifest named under provenance and, "
    "where init names one, from an earlier export; their terms apply."
)
SHOWN = 8  # crops of a batch in the figure


def run(cfg: Finetune) -> None:
    """Read the labeled cases, build the network, train it, keep it."""
    identity = identity_of(cfg)
    state = StateFolder(cfg.output.with_name(f"{cfg.output.name}.state"))
    if is_done(cfg.output, identity) and not state.path.exists():
        print(f"nothing to do, this run is finished: {cfg.output}")
        return

    # Data
    cases = choose(cfg.manifest, cfg.descriptors, count=cfg.labels.count, draw=cfg.labels.draw)
    cfg = replace(cfg, optim=lasting(cfg.optim, len(cases.train)))
    notes = check_labels(cases, cfg.classes)
    if cfg.weights == "best":
        check_val(cases, cfg.manifest)
    fabric = start_fabric(cfg)
    batches = Batches(cfg, cases, fabric)

    # Model
    model = make_model(cfg, cases, batches.source)
    notes += not_looked_for(cases.held_out, earlier_export(cfg))
    method = build(cfg.method, model.network)
    place(method, fabric)

    # Training
    with fabric.rank_zero_first():
        state.claim(identity)
    extra = extra_steps(
        cfg.extra_steps_from, method, cfg.optim, batches.made, fabric=fabric, folder=state.path
    )
    tracker = build(cfg.tracker) if fabric.is_global_zero else Silent()
    title = f"finetune {cfg.output.name}"
    with tracker.run(title, config=dump(cfg), resume=state.run_id) as tracked:
        if fabric.is_global_zero:
            tracked.dataset(record_of(cases.train, cfg.manifest, context="train"))
            report(tracked, state, [*notes, extra.sentence, model.coverage])
        num_steps = cfg.optim.num_steps + extra.num_steps
        training = Training(
            method, cfg.optim, num_steps=num_steps, fabric=fabric, state=state, tracked=tracked
        )
        training.run(
            lambda step: batches.between(step, num_steps),
            batches.views,
            log_every=cfg.log_every,
            save_every=cfg.save_every,
            hooks=watchers(cfg, training, model.network, cases),
        )

        # Result
        if fabric.is_global_zero:
            of_step = put_best_back(cfg, training, model.network)
            keep(cfg, cases, model, training, provenance(identity) | {"weights_of_step": of_step})
            tracked.artifact(cfg.output)
    fabric.barrier()
    if fabric.is_global_zero:
        state.remove()
        print(f"fine-tuned on {len(cases.train)} labeled cases: {cfg.output}")


def identity_of(cfg: Finetune) -> dict[str, Any]:
    """Return what decides the result: the config and the files that it names."""
    return identify(
        cfg,
        manifest=cfg.manifest,
        init=cfg.init.export / "weights.safetensors" if cfg.init else None,
        extra_steps_from=cfg.extra_steps_from / "card.json" if cfg.extra_steps_from else None,
    )


def start_fabric(cfg: Finetune) -> Any:
    """Return the ranks and the precision that the config asks for."""
    return start(
        device=cfg.device,
        devices=cfg.fabric.devices,
        num_nodes=cfg.fabric.num_nodes,
        strategy=cfg.fabric.strategy,
        precision=cfg.fabric.precision,
    )


class Model(NamedTuple):
    """A network, what it is made of, and where its weights are from."""

    network: DenseNetwork
    architecture: Architecture
    coverage: str


def make_model(cfg: Finetune, cases: Cases, source: CropSource) -> Model:
    """Build the network and fill it from the export, if it is to start from one.

    Raises:
        ConfigError: If its encoder is for other images than the crops are.
        DataError: If the export was trained on a held-out subject, or fills too little.
    """
    torch.manual_seed(cfg.seed)
    architecture = plan_network(cfg.encoder, cfg.decoder, cfg.head, cfg.init)
    network = architecture.network(len(cfg.classes) + 1)
    check_fits(architecture.encoder, network.encoder, cfg.crops.name, source)
    if earlier := earlier_export(cfg):
        check_unseen(earlier, cases.held_out)
    return Model(
        network, architecture, load_weights(network, cfg.init, from_scratch=cfg.from_scratch)
    )


def earlier_export(cfg: Finetune) -> Path | None:
    """Return the export whose weights are trained further, if there is one."""
    return cfg.init.export if cfg.init and not cfg.from_scratch else None


class Batches:
    """Labeled crops as the loader reads them, and the views that the device makes of them."""

    def __init__(self, cfg: Finetune, cases: Cases, fabric: Any) -> None:
        self.cfg, self.fabric = cfg, fabric
        self.source = build(cfg.crops, cases.train, cases.root, cfg.seed)
        self.subjects = cases.train.codes("subject_id")
        self.operations = tuple(build(operation) for operation in cfg.views)

    def between(self, start_step: int, num_steps: int) -> Iterator[LabeledCrops]:
        """Yield the crops of each step from `start_step` to the last of `num_steps`."""
        epochs = Epochs(
            self.subjects,
            num_steps=num_steps,
            batch_size=self.cfg.optim.batch_size,
            seed=self.cfg.seed,
            last_batch=self.cfg.optim.last_batch,
            start_step=start_step,
            rank=self.fabric.global_rank,
            num_ranks=self.fabric.world_size,
        )
        batches = Loader(self.source, epochs, num_workers=self.cfg.num_workers)
        left = num_steps - start_step
        yield from track(batches, total=left, label="finetune", unit="steps")

    def views(self, crops: LabeledCrops) -> LabeledViews:
        """Return the augmented views of a batch on the device."""
        image, label = (self.fabric.to_device(part) for part in (crops.image, crops.label))
        # The seeds stay on the CPU, where parameters are drawn.
        views = augment_labeled(crops._replace(image=image, label=label), self.operations)
        if self.cfg.mixup is None:
            return views
        return mixup(views, crops.seed.tolist(), alpha=self.cfg.mixup)

    def made(self, start_step: int, num_steps: int) -> Iterator[LabeledViews]:
        """Yield the views of each step from `start_step` to the last of `num_steps`."""
        return map(self.views, self.between(start_step, num_steps))


def report(tracked: Run, state: StateFolder, notes: Sequence[str]) -> None:
    """Print what is known before the first step, and keep it with the run."""
    text = "\n".join(notes)
    print(text)
    path = state.path / "coverage.txt"
    path.write_text(text + "\n")
    tracked.artifact(path)


def watchers(cfg: Finetune, training: Training, network: DenseNetwork, cases: Cases) -> list[Hook]:
    """Return what looks at the network while it learns, and draws at the end."""
    window = SlidingWindow(
        window_vox=crop_vox(cfg),
        batch_vox=BATCH_VOX,
        thickness=thickness(cfg),
        overlap=cfg.window_overlap,
    )

    def validate(done: int, views: LabeledViews) -> None:
        found = validation_dice(
            network, cases, window=window, classes=cfg.classes, fabric=training.fabric
        )
        training.note(done, {f"val/{name}": value for name, value in found.items()})
        if cfg.weights == "best":
            best_of(training.state).offer(done, mean_dice(found), network)

    def draw(done: int, views: LabeledViews) -> None:
        figures = training.state.path / "figures"
        middle = views.image[:, views.image.shape[1] // 2].float()
        image, label = (part[:SHOWN].cpu().numpy() for part in (middle, views.label))
        planes = middle_planes(image, label)
        draw_planes([planes], figures / "crops.png", class_names=cfg.classes)
        curves = training.history.curves("train/")
        shown = {name: curves[name] for name in curves if name not in {"lr", "gradient_norm"}}
        draw_curves(shown, figures / "loss.png", title=cfg.output.name)
        training.tracked.artifact(figures)

    seen = [Hook(cfg.validate_every, validate)] if len(cases.val) else []
    return [*seen, Hook(training.num_steps, draw)]


def best_of(state: StateFolder) -> Best:
    """Return where a run's best weights are."""
    return Best(state.path / "best.safetensors")


def put_best_back(cfg: Finetune, training: Training, network: DenseNetwork) -> int:
    """Give the network the weights that are to be kept; return of which step they are."""
    best = best_of(training.state)
    if cfg.weights == "last" or best.found is None:
        return training.num_steps
    best.put_back(network)
    step, dice = best.found
    print(f"kept the weights of step {step}, of a mean Dice of {dice:.3f} in the val split")
    return step


def crop_vox(cfg: Finetune) -> tuple[int, ...]:
    """Return the extent of a crop, which is that of a window later on."""
    return tuple(cfg.crops.params["crop_vox"])


def thickness(cfg: Finetune) -> int:
    """Return how many slices a stack has; 1 where crops are none."""
    return int(cfg.crops.params.get("thickness", 1))


def keep(
    cfg: Finetune, cases: Cases, model: Model, training: Training, origin: dict[str, Any]
) -> None:
    """Write the export: what it takes to build the network again and to feed it."""
    card = {
        "default": "encoder",
        **model.architecture.described(),
        "classes": list(cfg.classes),
        "spatial_dims": model.network.encoder.spatial_dims,
        "crop_vox": list(crop_vox(cfg)),
        "thickness": thickness(cfg),
        "preprocessing": contract_of(cfg.manifest, cases.train),
        "licence_note": LICENCE_NOTE,
        "provenance": origin
        | {
            "num_steps": training.num_steps,
            "training_time_s": training.elapsed_s,
            "case_ids": [case.case_id for case in cases.train if not is_pseudo(case)],
            "pseudo_case_ids": [case.case_id for case in cases.train if is_pseudo(case)],
        },
    }
    earlier = earlier_export(cfg)
    write_export(
        cfg.output,
        model.network.parts,
        card,
        subjects=seen_cases(cases.seen, [earlier] if earlier else []),
        history=training.history.table(),
    )
