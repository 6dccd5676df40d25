"""Pretrain networks without labels: the train split of a cached manifest in, an export out.

medssl pretrain configs/pretrain/vicreg.yaml --set optim.optimizer.lr=3e-4

A killed run goes on where it last saved, with the same result; a finished one is left alone.
The export is `weights.safetensors`, `card.json`, `subjects.parquet` and `history.parquet` (the
logged numbers); figures go to the tracker alone, since they show patients.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from medssl.config.component import Component, build, described, recall
from medssl.config.load import dump
from medssl.config.stages.pretrain import Init, Pretrain
from medssl.data.crops import CropSource
from medssl.data.manifest import Manifest, read_manifest
from medssl.data.views import MultiViews, Views
from medssl.errors import ConfigError, DataError
from medssl.evaluation.representation import diagnose
from medssl.models.export import coverage_table, load_part, read_card, seen_cases, write_export
from medssl.tracking.silent import Silent
from medssl.training.checkpoint import StateFolder
from medssl.training.fabric import place, start
from medssl.training.loop import Hook
from pipelines._batches import Batches, by_size, check_views
from pipelines._copies import with_hashes
from pipelines._figures import draw_curves, draw_views
from pipelines._network import check_fits
from pipelines._records import record_of
from pipelines._runs import contract_of, identify, is_done, provenance
from pipelines._training import Training, lasting

LICENCE_NOTE = (
    "Weights were learned from the images of the manifest named under provenance and, where init "
    "names one, from an earlier export; the terms of those images and of that export apply."
)
SHOWN = 8  # items of a batch in the figure of its views


def run(cfg: Pretrain) -> None:
    """Read the cases, build the networks, train, keep what the method exports."""
    weights = cfg.init.export / "weights.safetensors" if cfg.init else None
    identity = identify(cfg, manifest=cfg.manifest, init=weights)
    state = StateFolder(cfg.output.with_name(f"{cfg.output.name}.state"))
    if is_done(cfg.output, identity) and not state.path.exists():
        print(f"nothing to do, this run is finished: {cfg.output}")
        return

    # Data
    manifest = train_cases(cfg)
    contract = contract_of(cfg.manifest, manifest)
    source = build(cfg.crops, manifest, cfg.manifest.parent, cfg.seed)
    cfg = replace(cfg, optim=lasting(cfg.optim, len(source.subjects)))

    # Model
    fabric = start_ranks(cfg)
    torch.manual_seed(cfg.seed)
    networks = make_networks(cfg, source)
    method = build(cfg.method, *networks.parts.values())
    check_views(cfg, method, source)
    place(method, fabric)
    batches = Batches(cfg, fabric, manifest, source)

    # Training
    with fabric.rank_zero_first():
        state.claim(identity)
    tracker = build(cfg.tracker) if fabric.is_global_zero else Silent()
    title = f"pretrain {cfg.output.name}"
    with tracker.run(title, config=dump(cfg), resume=state.run_id) as tracked:
        tracked.dataset(record_of(manifest, cfg.manifest, context="pretrain"))
        steps = cfg.optim.num_steps
        training = Training(
            method, cfg.optim, num_steps=steps, fabric=fabric, state=state, tracked=tracked
        )
        hooks = watch(cfg, training, networks.encoder)
        training.run(
            batches.starting_at,
            batches.views,
            log_every=cfg.log_every,
            save_every=cfg.save_every,
            hooks=hooks,
        )

        # Result
        if fabric.is_global_zero:
            spent_s = training.elapsed_s + earlier_s(cfg)
            how = provenance(identity) | {"training_time_s": spent_s, "num_steps": steps}
            card = networks.card(method.exports(), contract) | {
                "thickness": cfg.crops.params.get("thickness", 1),  # slices of a stack
                "crop_vox": cfg.crops.params.get("crop_vox"),
                "method": described(cfg.method),
                "provenance": how,
            }
            keep(cfg, method.exports(), card, manifest=manifest, training=training)
    fabric.barrier()
    if fabric.is_global_zero:
        state.remove()
        print(f"pretrained on {len(manifest)} cases: {cfg.output}")


def earlier_s(cfg: Pretrain) -> float:
    """Return how long the export that this run begins from was trained, and those before it."""
    if cfg.init is None:
        return 0.0
    spent_s: float = read_card(cfg.init.export)["provenance"]["training_time_s"]
    return spent_s


def start_ranks(cfg: Pretrain) -> Any:
    """Return a Fabric among whose ranks the batch divides."""
    num_ranks = cfg.fabric.devices * cfg.fabric.num_nodes
    if cfg.optim.batch_size % num_ranks:
        msg = f"optim.batch_size must divide among {num_ranks} ranks, got {cfg.optim.batch_size}"
        raise ConfigError(msg)
    return start(
        device=cfg.device,
        devices=cfg.fabric.devices,
        num_nodes=cfg.fabric.num_nodes,
        strategy=cfg.fabric.strategy,
        precision=cfg.fabric.precision,
    )


def train_cases(cfg: Pretrain) -> Manifest:
    """Return the cases to learn from: the train split, whatever else the manifest holds."""
    manifest = read_manifest(cfg.manifest).split("train")
    if not len(manifest):
        msg = f"{cfg.manifest}: no case has split 'train'; see how `index` was told to split"
        raise DataError(msg)
    return manifest


@dataclass(frozen=True)
class Networks:
    """Modules by part (`encoder`, perhaps `decoder`), and the components that they are."""

    parts: Mapping[str, nn.Module]
    components: Mapping[str, Component]

    @property
    def encoder(self) -> nn.Module:
        """The backbone."""
        return self.parts["encoder"]

    def card(
        self, exported: Mapping[str, nn.Module], contract: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return what it takes to build the exported parts and to feed them."""
        trees = {
            part: described(component) if part in exported else None
            for part, component in self.components.items()
        }
        return {
            "default": "encoder",
            "decoder": None,
            **trees,
            "spatial_dims": self.encoder.spatial_dims,
            "preprocessing": contract,
            "licence_note": LICENCE_NOTE,
        }


def make_networks(cfg: Pretrain, source: CropSource) -> Networks:
    """Build encoder and decoder, from the config or as an export's card says; fill the latter.

    Raises:
        ConfigError: If the encoder is for other images than the crops are.
        DataError: If the export has no such part, or it fills too little.
    """
    brought = {part: brought_by(cfg.init, part) for part in cfg.init.parts} if cfg.init else {}
    named = {"encoder": cfg.encoder, "decoder": cfg.decoder} | brought
    components = {part: component for part, component in named.items() if component}
    encoder = build(components["encoder"])
    check_fits(components["encoder"], encoder, cfg.crops.name, source)
    parts = {"encoder": encoder}
    if "decoder" in components:
        shape = (encoder.channels, encoder.strides, encoder.spatial_dims)
        parts["decoder"] = build(components["decoder"], *shape)
    if cfg.init:
        for part in cfg.init.parts:
            fill(cfg.init, part, parts[part])
    return Networks(parts, components)


def brought_by(init: Init, part: str) -> Component:
    """Return the architecture of a part of the export that the run starts from."""
    tree = read_card(init.export).get(part)
    if not tree:
        msg = f"{init.export}/card.json describes no {part}; take it out of init.parts"
        raise DataError(msg)
    return recall(f"medssl.models.{part}s", tree)


def fill(init: Init, part: str, module: nn.Module) -> None:
    """Load a part's weights and say what was loaded."""
    coverage = load_part(init.export, part, module, min_coverage=init.min_coverage)
    print(f"{part} of {init.export} fills {coverage.filled:.1%}\n{coverage_table(coverage)}")


def watch(cfg: Pretrain, training: Training, encoder: Any) -> list[Hook]:
    """Return what looks at the representation now and then, and at the views at the end."""

    def look(done: int, views: Views | MultiViews) -> None:
        images = by_size(views)[0].images
        with torch.no_grad(), training.fabric.autocast():
            z_a, z_b = (encoder(images[view])[-1].flatten(2).mean(2) for view in (0, -1))
        if len(z_a) > 1:  # one row has no spread to speak of
            found = diagnose(z_a, z_b)
            training.note(done, {f"representation/{key}": value for key, value in found.items()})

    def show(done: int, views: Views | MultiViews) -> None:
        drawn = [
            view[:SHOWN, view.shape[1] // 2].detach().float().cpu().numpy()  # of a stack of slices
            for kind in by_size(views)
            for view in kind.images
        ]
        draw_views(drawn, training.state.path / "figures" / "views.png")

    return [Hook(cfg.diagnose_every, look), Hook(cfg.optim.num_steps, show)]


def keep(
    cfg: Pretrain,
    parts: Mapping[str, nn.Module],
    card: Mapping[str, Any],
    *,
    manifest: Manifest,
    training: Training,
) -> None:
    """Write the export; hand it and the figures to the tracker."""
    cases = with_hashes(manifest, cfg.descriptors)
    subjects = seen_cases(cases, [cfg.init.export] if cfg.init else [])
    write_export(cfg.output, parts, card, subjects=subjects, history=training.history.table())
    figures = training.state.path / "figures"
    draw_curves(training.history.curves("train/"), figures / "losses.png", title=cfg.output.name)
    training.tracked.artifact(figures)
    training.tracked.artifact(cfg.output)
