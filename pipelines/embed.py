"""Describe cases by numbers: a cached manifest in, a row a volume or slice out.

medssl embed configs/embed/dhash.yaml --set manifest=outputs/cache/manifest.parquet

`rows/` holds the rows in Parquet files, each with which case and slice a row is of (`slice` is
null for volumes), whether it is blank, and its `values`; `card.json` says what they are and is
written last. A run that is killed goes on after the last file; a finished one is left as it is.
All splits are described: no label is read.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, cast

import numpy as np
import pyarrow.compute as pc
from jaxtyping import Bool, Float32, Shaped

from medssl.config.component import build, described, recall
from medssl.config.load import dump
from medssl.config.stages.embed import Embed
from medssl.data.cache import Cached, open_cached
from medssl.data.engine import map_bounded, open_pool
from medssl.data.manifest import Case, Manifest, read_manifest
from medssl.descriptors import Descriptor
from medssl.errors import DataError
from pipelines._files import write_json
from pipelines._parts import (
    Part,
    Rows,
    dim_of,
    drop_others,
    parts_of,
    stamp_of,
    which,
    write_part,
)
from pipelines._progress import track
from pipelines._records import record_of
from pipelines._stacks import stacked

CARD = "card.json"
SLAB = 32  # slices that are read at once: as thick as the blocks they are compressed in
BYTES_A_VOXEL = 24  # a voxel as stored, as float32, as grey, and what comes between

BYTES_A_NEIGHBOR = 8  # as float32 in a stack, and once more where the stack is padded


def run(cfg: Embed) -> None:
    """Describe each case in the manifest's order, then say what was written."""
    manifest = read_manifest(cfg.manifest)
    if not len(manifest):
        msg = f"{cfg.manifest} lists no case; see what `index` says in verdicts.parquet"
        raise DataError(msg)
    work = work_of(cfg)
    parts = parts_of([work.num_rows(case) for case in manifest], cfg.output)
    made_of = contents(cfg, manifest, work)
    with build(cfg.tracker).run(f"embed {cfg.output.name}", config=dump(cfg)) as tracked:
        tracked.dataset(record_of(manifest, cfg.manifest, context="embed"))

        # Rows: files that an earlier run finished stay
        (cfg.output / CARD).unlink(missing_ok=True)
        drop_others(cfg.output, parts)
        stamp = stamp_of(made_of)
        missing = [part for part in parts if not part.is_made_of(stamp)]
        describe(cfg, manifest, work, missing, stamp)

        # What they are
        listed = which(cfg.output)
        dim, blank = dim_of(parts[0].path), pc.sum(listed["blank"]).as_py()
        sizes = {"num_rows": len(listed), "dim": dim, "num_blank": blank}
        write_json({**made_of, **sizes, "cell": dict(cfg.cell)}, cfg.output / CARD)
        tracked.artifact(cfg.output / CARD)
        numbers = {"rows": len(listed), "dim": dim, "blank": blank}
        tracked.metrics(0, {f"embed/{name}": float(number) for name, number in numbers.items()})
    found = f", {len(parts) - len(missing)} of {len(parts)} files found" if missing != parts else ""
    print(
        f"{len(listed)} rows of {len(manifest)} cases, {blank} of them blank{found}: {cfg.output}"
    )


def describe(
    cfg: Embed, manifest: Manifest, work: "EmbedWork", parts: list[Part], stamp: str
) -> None:
    """Describe the cases of some parts and write each part as soon as it is whole.

    Raises:
        DataError: If a case has another number of values a row than those before it.
    """
    cases = [manifest[row] for part in parts for row in range(part.start, part.end)]
    scheduler = "threads" if cfg.export else cfg.scheduler
    with open_pool(scheduler, cfg.jobs) as pool:
        done = map_bounded(
            work.describe,
            cases,
            pool=pool,
            memory_bytes=int(cfg.memory_gib * 2**30),
            cost_bytes=work.cost_bytes,
            named=lambda case: f"case {case.case_id}",
        )
        described = (rows for _, rows in track(done, total=len(cases), label="embed", unit="cases"))
        dim = None
        for part in parts:
            held: list[Rows] = []
            for rows in islice(described, part.end - part.start):
                dim = dim or rows.values.shape[1]
                if rows.values.shape[1] != dim:
                    msg = (
                        f"expected {dim} numbers a row as before, case {rows.case_id} gives "
                        f"{rows.values.shape[1]}; describe cases with another number of channels "
                        "apart"
                    )
                    raise DataError(msg)
                held.append(rows)
            write_part(part, held, stamp)


def work_of(cfg: Embed) -> "EmbedWork":
    """Return the work, with a descriptor around the export's network if it is a learned one.

    Raises:
        DataError: If the export has no such network, or one that takes other than its card says.
    """
    if cfg.export is None:
        descriptor = cast(Descriptor, build(cfg.descriptor))
        return EmbedWork(cfg, descriptor, descriptor.columns)
    # Hashing needs no torch, whose import takes longer than to hash a small data set.
    from medssl.models.export import read_card
    from medssl.training.fabric import place, start
    from pipelines._codes import restore_codes

    fabric = start(device=cfg.device, devices=1, num_nodes=1, strategy="auto", precision="32-true")
    thickness = thickness_of(cfg.export, read_card(cfg.export))
    network = encoder_of(cfg.export) if cfg.network == "encoder" else restore_codes(cfg.export)
    place(network, fabric)
    descriptor = cast(Descriptor, build(cfg.descriptor, network))
    return EmbedWork(cfg, descriptor, getattr(network, "columns", descriptor.columns), thickness)


def thickness_of(export: Path, card: Mapping[str, Any]) -> int:
    """Return how many slices a stack has that the export's encoder takes.

    Raises:
        DataError: If the export has no encoder, or one that takes others.
    """
    if not (tree := card.get("encoder")):
        msg = f"{export}/card.json describes no encoder; give what `pretrain` wrote"
        raise DataError(msg)
    thickness: int = card.get("thickness", 1)
    if (takes := tree.get("in_channels", thickness)) != thickness:
        msg = (
            f"{export}: its encoder takes {takes} channels, its card says stacks of "
            f"{thickness} slices; train it again, cards now say how thick stacks were"
        )
        raise DataError(msg)
    return thickness


def encoder_of(export: Path) -> Any:
    """Return an export's encoder, in evaluation mode."""
    from medssl.models.export import load_part, read_card

    network = build(recall("medssl.models.encoders", read_card(export)["encoder"]))
    load_part(export, "encoder", network)
    return network.eval()


@dataclass(frozen=True)
class EmbedWork:
    """The work on one case.

    Args:
        cfg: What was asked.
        descriptor: Sees each slice with its neighbors as channels.
        columns: The names of its numbers, where each means something by itself.
        thickness: How many slices such a stack has, an odd number.
    """

    cfg: Embed
    descriptor: Descriptor
    columns: tuple[str, ...] = ()
    thickness: int = 1

    def describe(self, case: Case) -> Rows:
        """Return a case's rows, and which of them are blank."""
        cached = open_cached(self.cfg.manifest.parent / case.image_uri)
        if list(cached.shape) != case.shape:
            msg = (
                f"{self.cfg.manifest}: case {case.case_id} has the shape {case.shape}, its volume "
                f"{list(cached.shape)}; run `medssl cache` again"
            )
            raise DataError(msg)
        image = PurePosixPath(case.image_uri).name
        if self.cfg.unit == "volume":
            voxels = cached.read()
            row = self.descriptor.volume(stacked(voxels, self.thickness))
            blank = self.is_blank(voxels[..., None])
            return Rows(case.case_id, image, np.array([-1]), row[None], blank)
        slices = slices_of(case)
        values, blank = self._slices(cached, case.shape[2], slices)
        return Rows(case.case_id, image, np.array(slices), values, blank)

    def _slices(
        self, cached: Cached, depth: int, slices: list[int]
    ) -> tuple[Shaped[np.ndarray, "row dim"], Bool[np.ndarray, "row"]]:
        """Return a volume's rows, slab by slab."""
        parts = []
        for start in range(0, depth, SLAB):
            wanted = [k for k in slices if start <= k < start + SLAB]
            if wanted:
                first = max(0, start - self.thickness // 2)
                last = min(depth, start + SLAB + self.thickness // 2)
                slab = cached.read(slice(None), slice(None), slice(first, last))
                places = np.array(wanted) - first
                stacks = stacked(slab, self.thickness)[..., places]
                parts.append((self.descriptor.slices(stacks), self.is_blank(slab[..., places])))
        rows, blank = zip(*parts, strict=True)
        return np.concatenate(rows), np.concatenate(blank)

    def is_blank(self, voxels: Float32[np.ndarray, "*inner row"]) -> Bool[np.ndarray, "row"]:
        """Return which rows show next to no foreground, or one intensity and nothing else."""
        by_row = voxels.reshape(-1, voxels.shape[-1])
        share = (by_row > self.cfg.foreground_above).mean(axis=0)
        flat = by_row.min(axis=0) == by_row.max(axis=0)
        return (share < self.cfg.min_foreground) | flat

    def num_rows(self, case: Case) -> int:
        """Return how many rows a case has."""
        return 1 if self.cfg.unit == "volume" else len(slices_of(case))

    def cost_bytes(self, case: Case) -> int:
        """Return what the work takes at its peak."""
        i, j, k = case.shape
        voxels = i * j * (k if self.cfg.unit == "volume" else min(k, SLAB + self.thickness - 1))
        return (BYTES_A_VOXEL + BYTES_A_NEIGHBOR * (self.thickness - 1)) * voxels


def slices_of(case: Case) -> list[int]:
    """Return the slices of a case that take part."""
    if case.slices == []:
        msg = f"case {case.case_id} takes part with no slice; leave it out of the manifest"
        raise DataError(msg)
    return sorted(case.slices) if case.slices else list(range(case.shape[2]))


def contents(cfg: Embed, manifest: Manifest, work: EmbedWork) -> dict[str, Any]:
    """Return what the rows are made of: with all of it the same, they are the same."""
    weights = None
    if cfg.export:
        with (cfg.export / "weights.safetensors").open("rb") as file:
            weights = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "format": 2,
        "kind": work.descriptor.kind,
        "columns": list(work.columns),
        "unit": cfg.unit,
        "descriptor": described(cfg.descriptor),
        "manifest": manifest.digest(),
        "weights": weights,
        "foreground_above": cfg.foreground_above,
        "min_foreground": cfg.min_foreground,
    }
