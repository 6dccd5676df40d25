"""Describe cases by numbers: a cached manifest in, a row a volume or slice out.

medssl embed configs/embed/dhash.yaml --set manifest=outputs/cache/manifest.parquet

`values.npy` holds the rows, `rows.parquet` says which is of what (`slice` is null for volumes)
and which are blank, `card.json` what they are; it is written last. All splits are described:
no label is read.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float32, Shaped

from medssl.config.component import build, described, recall
from medssl.config.load import dump
from medssl.config.stages.embed import Embed
from medssl.data.cache import open_cached
from medssl.data.engine import map_bounded, open_pool
from medssl.data.manifest import Case, Manifest, read_manifest
from medssl.descriptors import Descriptor
from medssl.errors import DataError
from pipelines._files import write_json, write_table
from pipelines._progress import track
from pipelines._records import record_of

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
    num_rows = sum(work.num_rows(case) for case in manifest)
    with (
        build(cfg.tracker).run(f"embed {cfg.output.name}", config=dump(cfg)) as tracked,
        open_pool("threads", 1 if cfg.export else cfg.jobs) as pool,
    ):
        tracked.dataset(record_of(manifest, cfg.manifest, context="embed"))

        # Values: they go to the disk as they come
        cfg.output.mkdir(parents=True, exist_ok=True)
        (cfg.output / "card.json").unlink(missing_ok=True)
        done = map_bounded(
            work.describe,
            manifest,
            pool=pool,
            memory_bytes=int(cfg.memory_gib * 2**30),
            cost_bytes=work.cost_bytes,
            named=lambda case: f"case {case.case_id}",
        )
        progress = track(done, total=len(manifest), label="embed", unit="cases")
        blank, dim = write_values(progress, num_rows, cfg.output / "values.npy")

        # Which row is of what
        write_table(rows_of(manifest, cfg, blank), cfg.output / "rows.parquet")
        write_json(card(cfg, manifest, work.descriptor, (num_rows, dim)), cfg.output / "card.json")
        tracked.artifact(cfg.output / "card.json")
        numbers = {"rows": num_rows, "dim": dim, "blank": int(blank.sum())}
        tracked.metrics(0, {f"embed/{name}": float(number) for name, number in numbers.items()})
    print(f"{num_rows} rows of {len(manifest)} cases, {blank.sum()} of them blank: {cfg.output}")


def work_of(cfg: Embed) -> "EmbedWork":
    """Return the work, with a descriptor around the export's encoder if it is a learned one.

    Raises:
        DataError: If the export has no encoder, or one that takes other than what its card says.
    """
    if cfg.export is None:
        return EmbedWork(cfg, cast(Descriptor, build(cfg.descriptor)))
    # Hashing needs no torch, whose import takes longer than to hash a small data set.
    from medssl.models.export import load_part, read_card
    from medssl.training.fabric import place, start

    fabric = start(device=cfg.device, devices=1, num_nodes=1, strategy="auto", precision="32-true")
    described_by = read_card(cfg.export)
    tree = described_by.get("encoder")
    if not tree:
        msg = f"{cfg.export}/card.json describes no encoder; give what `pretrain` wrote"
        raise DataError(msg)
    thickness = described_by.get("thickness", 1)
    if (takes := tree.get("in_channels", thickness)) != thickness:
        msg = (
            f"{cfg.export}: its encoder takes {takes} channels, its card says stacks of "
            f"{thickness} slices; train it again, cards now say how thick stacks were"
        )
        raise DataError(msg)
    network = build(recall("medssl.models.encoders", tree))
    load_part(cfg.export, "encoder", network)
    place(network, fabric)
    return EmbedWork(cfg, cast(Descriptor, build(cfg.descriptor, network.eval())), thickness)


@dataclass(frozen=True)
class EmbedWork:
    """The work on one case.

    Args:
        cfg: What was asked.
        descriptor: Sees each slice with its neighbors as channels.
        thickness: How many slices such a stack has, an odd number.
    """

    cfg: Embed
    descriptor: Descriptor
    thickness: int = 1

    def describe(self, case: Case) -> tuple[Shaped[np.ndarray, "row dim"], Bool[np.ndarray, "row"]]:
        """Return a case's rows, and which of them are blank."""
        cached = open_cached(self.cfg.manifest.parent / case.image_uri)
        if list(cached.shape) != case.shape:
            msg = (
                f"{self.cfg.manifest}: case {case.case_id} has the shape {case.shape}, its volume "
                f"{list(cached.shape)}; run `medssl cache` again"
            )
            raise DataError(msg)
        if self.cfg.unit == "volume":
            voxels = cached.read()
            row = self.descriptor.volume(stacked(voxels, self.thickness))
            return row[None], self.is_blank(voxels[..., None])
        parts = []
        for start in range(0, case.shape[2], SLAB):
            wanted = [k for k in slices_of(case) if start <= k < start + SLAB]
            if wanted:
                first = max(0, start - self.thickness // 2)
                last = min(case.shape[2], start + SLAB + self.thickness // 2)
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


def stacked(
    voxels: Float32[np.ndarray, "channel i j k"], thickness: int
) -> Float32[np.ndarray, "stack i j k"]:
    """Return slices whose channels are they and their neighbors, zeros beyond the volume."""
    if thickness == 1:
        return voxels
    beyond = thickness // 2
    padded = np.pad(voxels, [(0, 0), (0, 0), (0, 0), (beyond, beyond)])
    neighbors = np.lib.stride_tricks.sliding_window_view(padded, thickness, axis=3)
    return np.moveaxis(neighbors, -1, 1).reshape(-1, *voxels.shape[1:])


def slices_of(case: Case) -> list[int]:
    """Return the slices of a case that take part."""
    if case.slices == []:
        msg = f"case {case.case_id} takes part with no slice; leave it out of the manifest"
        raise DataError(msg)
    return sorted(case.slices) if case.slices else list(range(case.shape[2]))


def write_values(
    rows_by_case: Iterator[tuple[Case, tuple[np.ndarray, np.ndarray]]], num_rows: int, path: Path
) -> tuple[Bool[np.ndarray, "row"], int]:
    """Write rows as they come; return which are blank and how many numbers a row has."""
    temporary = path.with_name(f".{path.name}.part")
    first = next(rows_by_case)
    like, dim = first[1][0], first[1][0].shape[1]
    values = np.lib.format.open_memmap(
        temporary, mode="w+", dtype=like.dtype, shape=(num_rows, dim)
    )
    blank = np.zeros(num_rows, dtype=bool)
    start = 0
    for case, (rows, empty) in chain([first], rows_by_case):
        if rows.shape[1] != dim:
            msg = (
                f"expected {dim} numbers a row as before, case {case.case_id} gives "
                f"{rows.shape[1]}; describe cases with another number of channels apart"
            )
            raise DataError(msg)
        end = start + len(rows)
        values[start:end], blank[start:end] = rows, empty
        start = end
    values.flush()
    temporary.replace(path)
    return blank, dim


def rows_of(manifest: Manifest, cfg: Embed, blank: Bool[np.ndarray, "row"]) -> pa.Table:
    """Return which case and slice each row is of, and whether it is blank."""
    if cfg.unit == "volume":
        ids, slices = manifest.table["case_id"], pa.nulls(len(manifest), pa.int32())
    else:
        by_case = [(case.case_id, slices_of(case)) for case in manifest]
        ids = pa.array(case_id for case_id, places in by_case for _ in places)
        slices = pa.array((k for _, places in by_case for k in places), pa.int32())
    return pa.table({"case_id": ids, "slice": slices, "blank": blank})


def card(
    cfg: Embed, manifest: Manifest, descriptor: Descriptor, values: tuple[int, int]
) -> dict[str, Any]:
    """Return what the rows are and what they were made of."""
    num_rows, dim = values
    weights = None
    if cfg.export:
        with (cfg.export / "weights.safetensors").open("rb") as file:
            weights = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "format": 1,
        "kind": descriptor.kind,
        "unit": cfg.unit,
        "num_rows": num_rows,
        "dim": dim,
        "descriptor": described(cfg.descriptor),
        "manifest": manifest.digest(),
        "weights": weights,
    }
