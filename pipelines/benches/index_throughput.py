"""Files a second of index and cache, against other converters and from archive to archive.

The same series for all, copied into a folder each: on the same disk, in the page cache, on the
same cores, converters and medssl in turn. medssl does more for a file than they do: digests,
verdicts, lossless compression; it runs in this process and its workers, which are warm, as a
Python peer does, while a program is started for each archive, as its users start it. A round
before the first one warms all up.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pydicom

from medssl.data.mirror import resolve
from medssl.data.processes import processes_kept
from medssl.errors import ConfigError, DataError
from pipelines.benches import Goal, Measured, Result
from pipelines.benches._measuring import Work, alternate, emptied, on_cores, ratio, show
from pipelines.benches._road import check_accepted, index_and_cache
from pipelines.benches._scaling import STANDARD, Scaling, growth, rows, scale
from pipelines.benches._scaling_figure import draw_scaling
from pipelines.converters import Converter, describe

__all__ = ["IndexThroughput"]

US = "medssl"
OUR_WORK = "index and cache: native grid, lossless .b2nd, digests and verdicts"
FIGURE = "scaling.png"


@dataclass(frozen=True, kw_only=True)
class IndexThroughput:
    """Measures both.

    Args:
        sources: Folders of DICOM series; what is no DICOM file in them is left out.
        converters: The peers; the last one is the one that matters most.
        goals: How many times a peer's files a second ours should be, by the peer's package.
        repetitions: How often each is timed.
        cores: How many all run on.
        scaling: How large the archives of the curve are, and what may grow with them.
    """

    sources: tuple[str, ...]
    converters: tuple[Converter, ...]
    goals: Mapping[str, float]
    repetitions: int = 15
    cores: int = 2
    scaling: Scaling = STANDARD

    def __post_init__(self) -> None:
        if min(self.repetitions, self.cores) < 1:
            msg = f"repetitions and cores must be at least 1, got {self.repetitions}, {self.cores}"
            raise ConfigError(msg)
        packages = [converter.package for converter in self.converters]
        if unknown := sorted(self.goals.keys() - set(packages)):
            msg = f"goals: {unknown} are none of the converters {packages}"
            raise ConfigError(msg)

    def __call__(self, folder: Path) -> Result:
        """Time all, then grow the archive."""
        works = {US: OUR_WORK} | {one.package: describe(one) for one in self.converters}
        with on_cores(self.cores), emptied(folder / "scratch") as scratch:
            archive = scratch / "archive"
            sizes_bytes = gather(self.sources, archive)
            taken_s = self._timed(archive, scratch, len(sizes_bytes))
            shutil.rmtree(archive)
            points = scale(self.scaling, scratch)
        rates = {name: [len(sizes_bytes) / s for s in all_s] for name, all_s in taken_s.items()}
        show(rates, unit="files/s", notes=works)
        draw_scaling(points, folder / FIGURE)
        return Result(
            measured=(*growth(points, self.scaling), *self._against(rates)),
            details={
                "files": len(sizes_bytes),
                "bytes": sum(sizes_bytes),
                "files_per_s": rates,
                "work": works,
                "scaling": rows(points),
            },
            figures=(FIGURE,),
        )

    def _timed(self, archive: Path, scratch: Path, num_files: int) -> dict[str, list[float]]:
        works: dict[str, Work] = {US: partial(self._ours, archive, num_files)}
        works |= {one.package: partial(one, archive) for one in self.converters}
        with processes_kept():
            return alternate(works, scratch, self.repetitions)

    def _ours(self, archive: Path, num_files: int, output: Path) -> None:
        roots = sorted(archive.iterdir())
        index_and_cache(roots, output, jobs=self.cores, scheduler="processes")
        check_accepted(output, num_files)  # a millisecond, which is ours to bear

    def _against(self, rates: Mapping[str, list[float]]) -> list[Measured]:
        goals = {name: Goal(side="at least", limit=limit) for name, limit in self.goals.items()}
        return [
            ratio(
                name,
                rates[US],
                rates[name],
                unit=f"x the files/s of {name}",
                goal=goals.get(name),
            )
            for name in rates
            if name != US
        ]


def gather(sources: tuple[str, ...], archive: Path) -> list[int]:
    """Copy the DICOM files of folders into a folder a series; return their sizes in bytes.

    Raises:
        DataError: If a folder has none.
    """
    sizes_bytes: list[int] = []
    numbers: dict[Any, int] = {}
    for source in sources:
        paths = [path for path in sorted(resolve(source).rglob("*")) if _is_dicom(path)]
        if not paths:
            msg = f"{source}: expected a folder with DICOM files, found none"
            raise DataError(msg)
        for path in paths:
            tags: Any = ["SeriesInstanceUID"]
            uid = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=tags)
            number = numbers.setdefault((source, uid.SeriesInstanceUID), len(numbers))
            series = archive / f"{number:03d}"
            series.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, series / f"{len(sizes_bytes):06d}.dcm")
            sizes_bytes.append(path.stat().st_size)
    return sizes_bytes


def _is_dicom(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"
