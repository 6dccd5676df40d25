"""Prepare volumes for training: an index in, compressed volumes and their manifest out.

medssl cache configs/cache/native.yaml --set index=outputs/index --set output=outputs/cache
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from medssl.config.component import build
from medssl.config.load import dump, load
from medssl.config.stages.cache import Cache, Matched
from medssl.config.stages.plan import Planned
from medssl.data.cache import Cached, holds, image_key, label_key, open_cached, write_cached
from medssl.data.engine import map_bounded, open_pool
from medssl.data.fingerprint import grid
from medssl.data.manifest import Case, Manifest, read_manifest, write_manifest
from medssl.data.matching import matched
from medssl.data.preprocessing import Preprocessing, intensity, prepare, prepare_label
from medssl.data.source import Source
from medssl.data.volume import Volume
from medssl.errors import DataError
from medssl.geometry import spacing_mm
from pipelines._files import write_json
from pipelines._layouts import source_of
from pipelines._progress import track
from pipelines._properties import numbers, said_of
from pipelines._reading import reading
from pipelines._records import record_of

# What the work on one case holds at its peak, a voxel (measured: at most this, of any number
# type, native, finer and coarser): the image as stored and as float32,
# smoothed and sampled copies of it, and a label.
_BYTES_A_SOURCE_VOXEL = 20
_BYTES_A_CACHED_VOXEL = 12


def run(cfg: Cache) -> None:
    """Prepare each image once, its labels with it, and list them in a manifest."""
    contract = cfg.preprocessing or load(Planned, cfg.plan).preprocessing
    manifest = read_manifest(cfg.index / "manifest.parquet")
    if len(manifest) == 0:
        msg = f"{cfg.index}: its manifest lists no case; see verdicts.parquet there for why"
        raise DataError(msg)
    manifest = chosen(manifest, cfg)
    work = CacheWork(source_of(cfg.index), cfg.output, contract)
    work.sweep()
    with (
        build(cfg.tracker).run(f"cache {cfg.output.name}", config=dump(cfg)) as tracked,
        open_pool(cfg.scheduler, cfg.jobs) as pool,
    ):
        # Volumes
        units = by_image(manifest, contract)
        done = map_bounded(
            work.cache,
            units,
            pool=pool,
            memory_bytes=int(cfg.memory_gib * 2**30),
            cost_bytes=work.cost_bytes,
            named=lambda cases: f"case {cases[0].case_id}",
        )
        cached: dict[str, Case] = {}
        for _, cases in track(done, total=len(units), label="cache", unit="volumes"):
            cached |= {case.case_id: case for case in cases}

        # Manifest, in the order of the index; last, so that what it lists is there
        listed = cfg.output / "manifest.parquet"
        prepared = Manifest.of(cached[case.case_id] for case in manifest)
        write_json(asdict(contract), cfg.output / "preprocessing.json")
        write_manifest(prepared, listed)

        tracked.dataset(record_of(prepared, listed, context="cache"))
        tracked.metrics(0, sizes(cfg.output, prepared))
    print(f"{len(manifest)} cases, {len(units)} different volumes: {cfg.output}")


def chosen(manifest: Manifest, cfg: Cache) -> Manifest:
    """Return the cases that are asked for.

    Raises:
        DataError: If there are none.
    """
    for column, text in cfg.only.items():
        known = sorted({str(value) for value in manifest.table[column].to_pylist()})
        manifest = manifest.where(column, text)
        if len(manifest) == 0:
            msg = f"only: {cfg.index} has no case of {column} {text!r}; expected one of {known}"
            raise DataError(msg)
    return manifest if cfg.matched is None else in_pairs(manifest, cfg.matched)


def in_pairs(manifest: Manifest, by: Matched) -> Manifest:
    """Return the cases that have a partner in the other group, in the manifest's order.

    Raises:
        DataError: If there are none, or a case does not say what is asked.
    """
    is_target = np.array(said_of(manifest, by.target.by), dtype=object) == by.target.equals
    values = numbers(manifest, by.attribute)
    splits = np.array(manifest.table["split"].to_pylist(), dtype=object)
    kept = []
    for split in dict.fromkeys(splits.tolist()):
        groups = [np.flatnonzero((splits == split) & of) for of in (is_target, ~is_target)]
        pairs = matched(*(values[rows] for rows in groups), within=by.within)
        kept += [rows[own] for rows, own in zip(groups, pairs, strict=True)]
    rows = np.sort(np.concatenate(kept))
    if not rows.size:
        msg = (
            f"matched: no two cases of both groups differ by at most {by.within} in "
            f"{by.attribute}; {is_target.sum()} of {len(manifest)} are targets "
            f"({by.target.by} {by.target.equals}): allow more, or see what they say"
        )
        raise DataError(msg)
    print(f"{len(rows)} of {len(manifest)} cases have a partner in the other group")
    return manifest.keep(rows)


@dataclass(frozen=True)
class CacheWork:
    """The work on one image and on the cases that are copies of it."""

    source: Source
    output: Path
    contract: Preprocessing

    def sweep(self) -> None:
        """Remove what a killed run left half-written."""
        for part in self.output.glob("*/.*.part"):
            part.unlink()

    def cache(self, cases: tuple[Case, ...]) -> tuple[Case, ...]:
        """Return the rows of cases that share one image, after writing what is not there yet."""
        image = self.image(cases[0])
        return tuple(self.row(case, image, self.label(case, image)) for case in cases)

    def image(self, case: Case) -> Cached:
        """Return the cached image of a case."""
        key = image_key(case.digest, case.modality, self.contract)
        path = self.output / "volumes" / f"{key}.b2nd"
        if not holds(path):
            with reading(case, "image"):
                image = self.source.image(case)
            with preparing(case, "image"):
                check_unchanged(image, case)
                prepared = prepare(image, self.contract, case.modality)
            write_cached(
                path,
                prepared,
                intensity=intensity(prepared, case.modality, self.contract),
                source_affine=image.affine,
                source_shape=image.voxels.shape[1:],
                key=key,
            )
        return open_cached(path)

    def label(self, case: Case, image: Cached) -> Path | None:
        """Return the cached label of a case of which one may be read before `evaluate`."""
        if case.label_uri is None or case.split == "test":
            return None
        with reading(case, "label"):
            label = self.source.label(case)
        if label is None:
            return None
        with preparing(case, "label"):
            prepared = prepare_label(label, image.grid())
        key = label_key(prepared, image.key)
        path = self.output / "labels" / f"{key}.b2nd"
        if not holds(path):
            write_cached(
                path,
                prepared,
                intensity=None,
                source_affine=label.affine,
                source_shape=label.voxels.shape[1:],
                key=key,
            )
        return path

    def row(self, case: Case, image: Cached, label: Path | None) -> Case:
        """Return the case as the cached manifest lists it."""
        return replace(
            case,
            image_uri=image.path.relative_to(self.output).as_posix(),
            label_uri=None if label is None else label.relative_to(self.output).as_posix(),
            shape=list(image.shape),
            spacing_mm=spacing_mm(image.affine).tolist(),
            affine=image.affine.ravel().tolist(),
            bytes=int(image.voxels.nbytes),
        )

    def cost_bytes(self, cases: tuple[Case, ...]) -> int:
        """Return what the work takes at its peak, from the header."""
        case = cases[0]
        voxels = int(np.prod(case.shape, dtype=np.int64))
        before_mm, _ = grid(case)
        after_mm = self.contract.spacing_mm or (None, None, None)
        finer = [old / (new or old) for old, new in zip(before_mm, after_mm, strict=True)]
        sampled = voxels * np.prod(finer)
        return int(_BYTES_A_SOURCE_VOXEL * voxels + _BYTES_A_CACHED_VOXEL * sampled)


@contextmanager
def preparing(case: Case, what: str) -> Iterator[None]:
    """Say of which case the image or the label cannot be prepared."""
    try:
        yield
    except DataError as error:
        msg = f"case {case.case_id}: its {what} cannot be prepared: {error}"
        raise DataError(msg) from error


def check_unchanged(image: Volume, case: Case) -> None:
    """Refuse an image of another shape than the one that was indexed."""
    if (found := list(image.voxels.shape[1:])) != case.shape:
        msg = f"expected the indexed shape {case.shape}, got {found}; run `medssl index` again"
        raise DataError(msg)


def by_image(manifest: Manifest, contract: Preprocessing) -> list[tuple[Case, ...]]:
    """Return the cases in groups that share one cached image, in the manifest's order."""
    groups: dict[str, list[Case]] = {}
    for case in manifest:
        groups.setdefault(image_key(case.digest, case.modality, contract), []).append(case)
    return [tuple(group) for group in groups.values()]


def sizes(output: Path, manifest: Manifest) -> dict[str, float]:
    """Return what was written, for the tracker."""
    paths = {output / case.image_uri for case in manifest}
    labels = {output / case.label_uri for case in manifest if case.label_uri is not None}
    return {
        "cache/cases": len(manifest),
        "cache/volumes": len(paths),
        "cache/labels": len(labels),
        "cache/gib": sum(path.stat().st_size for path in paths | labels) / 2**30,
    }
