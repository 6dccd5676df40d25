"""Plant a known factor: a cached manifest in, one of background and target pieces of it out.

medssl plant configs/plant/digits.yaml --set manifest=outputs/cache/manifest.parquet

Whether contrastive analysis tells what only targets have can be seen on real images where that was
planted: `group` says which pieces are targets, attributes say what they have. Splits and subjects
stay as they are. What becomes of a piece is a function of the seed, of its case's digest and of
its number; pieces of the test split get what no other piece shows. A run that is started again
goes on with the pieces that are missing.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from medssl.config.component import build, described
from medssl.config.load import dump
from medssl.config.stages.plant import Plant
from medssl.data.cache import open_cached
from medssl.data.engine import map_bounded, open_pool
from medssl.data.manifest import Case, Manifest, read_manifest, write_manifest
from medssl.data.planting import FOREGROUND_ML, Planting
from medssl.data.randomness import seed_of
from medssl.data.targets import Candidate, targets
from medssl.errors import DataError
from medssl.geometry import spacing_mm
from pipelines._files import write_json
from pipelines._pieces import GROUPS, Piece, PlantWork, cost_bytes, facts, piece_id
from pipelines._progress import track
from pipelines._records import record_of
from pipelines._runs import contract_of

_COLUMNS = 6  # of the figure


def run(cfg: Plant) -> None:
    """Make the pieces of each case, and list them in a manifest."""
    manifest = read_manifest(cfg.manifest)
    planting = build(cfg.planting)
    check_plain(manifest, planting, cfg.manifest)
    contract = contract_of(cfg.manifest, manifest)
    pieces = cut_up(manifest, cfg)
    units = by_image(pieces)
    text = json.dumps(described(cfg.planting), sort_keys=True)
    work = PlantWork(cfg.manifest.parent, cfg.output, planting, text)
    work.sweep()
    with (
        build(cfg.tracker).run(f"plant {cfg.output.name}", config=dump(cfg)) as tracked,
        open_pool(cfg.scheduler, cfg.jobs) as pool,
    ):
        # Pieces
        done = map_bounded(
            work.plant,
            units,
            pool=pool,
            memory_bytes=int(cfg.memory_gib * 2**30),
            cost_bytes=cost_bytes,
            named=lambda unit: f"case {unit[0].case.case_id}",
        )
        made: dict[str, Case] = {}
        for _, cases in track(done, total=len(units), label="plant", unit="volumes"):
            made |= {case.case_id: case for case in cases}

        # Manifest, in the order of the given one; last, so that what it lists is there
        listed = cfg.output / "manifest.parquet"
        planted = Manifest.of(made[piece.case_id] for piece in pieces)
        counts = counted(planted)
        write_json(contract, cfg.output / "preprocessing.json")
        write_json(account(cfg, manifest, counts), cfg.output / "planting.json")
        examples = cfg.output / "figures" / "examples.png"
        draw(planted, planting, cfg.output, examples)
        write_manifest(planted, listed)

        tracked.dataset(record_of(planted, listed, context="plant"))
        tracked.metrics(0, sizes(cfg.output, planted))
        tracked.artifact(cfg.output / "planting.json")
        tracked.artifact(examples, folder="figures")
    said = ", ".join(f"{count['target']} targets in {split}" for split, count in counts.items())
    print(f"{len(planted)} pieces of {len(manifest)} cases, {said}: {cfg.output}")


def check_plain(manifest: Manifest, planting: Planting, path: Path) -> None:
    """Refuse cases that are no whole images in which nothing was planted.

    Raises:
        DataError: If there are none; or if one is reduced to some slices, or has an attribute that
            would say what was planted.
    """
    if len(manifest) == 0:
        msg = f"{path}: expected cases, it lists none; give the manifest that `medssl cache` wrote"
        raise DataError(msg)
    for case in manifest:
        if case.slices is not None:
            msg = (
                f"{path}: expected whole volumes, case {case.case_id} is reduced to "
                f"{len(case.slices)} slices; give the manifest from before that"
            )
            raise DataError(msg)
        if known := sorted({*planting.plants, FOREGROUND_ML} & case.attributes.keys()):
            msg = (
                f"{path}: expected cases in which nothing was planted, case {case.case_id} has "
                f"{known}; give the manifest from before that"
            )
            raise DataError(msg)


def cut_up(manifest: Manifest, cfg: Plant) -> list[Piece]:
    """Return the pieces of all cases, case by case."""
    numbered = [(case, number) for case in manifest for number in range(cfg.per_case)]
    candidates = [
        Candidate(
            name=piece_id(case, number),
            subject=case.subject_id,
            split=case.split,
            number=seed_of(cfg.seed, "group", case.digest, number),
        )
        for case, number in numbered
    ]
    chosen = targets(candidates, cfg.share)
    return [
        Piece(
            case,
            number,
            is_target=piece_id(case, number) in chosen,
            seed=seed_of(cfg.seed, "piece", case.digest, number),
        )
        for case, number in numbered
    ]


def by_image(pieces: list[Piece]) -> list[tuple[Piece, ...]]:
    """Return the pieces in groups that share an image: it is read once."""
    groups: dict[str, list[Piece]] = {}
    for piece in pieces:
        groups.setdefault(piece.case.image_uri, []).append(piece)
    return [tuple(group) for group in groups.values()]


def counted(planted: Manifest) -> dict[str, dict[str, int]]:
    """Return how many pieces of each group there are in each split."""
    columns = (planted.table[name].to_pylist() for name in ("split", "group"))
    counts = Counter(zip(*columns, strict=True))
    splits = sorted({split for split, _ in counts})
    return {split: {group: counts[split, group] for group in GROUPS} for split in splits}


def account(cfg: Plant, manifest: Manifest, counts: dict[str, dict[str, int]]) -> dict[str, Any]:
    """Return what was asked for, of which manifest, and how many pieces came of it."""
    return {
        "planting": described(cfg.planting),
        "share": cfg.share,
        "per_case": cfg.per_case,
        "seed": cfg.seed,
        "source": manifest.digest(),
        "pieces": counts,
    }


def sizes(output: Path, planted: Manifest) -> dict[str, float]:
    """Return what was made, for the tracker."""
    paths = {output / uri for uri in planted.table["image_uri"].to_pylist()}
    return {
        "plant/pieces": len(planted),
        "plant/targets": len(planted.where("group", "target")),
        "plant/gib": sum(path.stat().st_size for path in paths) / 2**30,
    }


def draw(planted: Manifest, planting: Planting, output: Path, path: Path) -> None:
    """Draw a row of pieces of the background and one of targets, of training cases if there are."""
    figure = Figure(figsize=(1.8 * _COLUMNS, 4.2), layout="constrained")
    grid = figure.subplots(len(GROUPS), _COLUMNS, squeeze=False)
    for axes_row, group in zip(grid, GROUPS, strict=True):
        cases = sorted(planted.where("group", group), key=lambda case: case.split != "train")
        for axes in axes_row:
            axes.set_axis_off()
        for axes, case in zip(axes_row, cases, strict=False):
            told = [case.attributes[name] for name in planting.plants if name in case.attributes]
            _draw(axes, output / case.image_uri, ", ".join([group, *told]))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


def _draw(axes: Axes, path: Path, title: str) -> None:
    piece, plane = open_cached(path), facts(path)["plane"]
    shown = piece.read(slice(None), slice(None), slice(plane, plane + 1))[0, :, :, 0]
    i_mm, j_mm, _ = spacing_mm(piece.affine)
    # The same gray for all, so that it shows how bright pieces are.
    axes.imshow(shown.T, cmap="gray", vmin=0, vmax=1, origin="lower", aspect=j_mm / i_mm)
    axes.set_title(title, fontsize=7)
