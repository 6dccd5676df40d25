"""The stage `select` over a million slices: how long it takes, and how much memory.

Its input is as `cache` and `embed` leave it: a manifest, and Parquet files of hashes that are
skewed and walk from slice to slice; the first and the last slice of each volume are blank. Near
duplicates are sought among the slices of a case, and among all there are. Each run is a process of
its own, whose memory is all that it ever had, Python and libraries included; of the time, loading
these is not counted. It writes all that the stage writes, contact sheet and figures included.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from medssl.data.cache import write_cached
from medssl.data.manifest import Case, Manifest, write_manifest
from medssl.data.preprocessing import Intensity
from medssl.data.volume import Volume
from medssl.errors import ConfigError
from pipelines._files import write_json
from pipelines._parts import Rows, parts_of, write_part
from pipelines.benches import Goal, Measured, Result
from pipelines.benches._measuring import emptied, on_cores, show
from pipelines.benches._near_duplicates import SLICES, walking_hashes

__all__ = ["SelectStage"]

CHILD = "pipelines.benches._select_stage_child"
SIDE = 8  # voxels of a slice: what is seen does not matter here
IMAGE = "slices.b2nd"  # one for all cases


@dataclass(frozen=True, kw_only=True)
class SelectStage:
    """Measures it.

    Args:
        rows: Slices; what is no whole volume is left out.
        within: What duplicates are sought among, in turn.
        radius: Most bits in which near duplicates differ.
        cores: How many it runs on.
        most_gib: What a run may take.
    """

    rows: int = 1_000_000
    within: tuple[str, ...] = ("case", "all")
    radius: int = 6
    cores: int = 2
    most_gib: float = 2.0

    def __post_init__(self) -> None:
        if self.rows < SLICES or self.cores < 1 or not self.within:
            msg = (
                f"expected at least {SLICES} rows, a core and something to look within, got "
                f"{self.rows}, {self.cores}, {self.within}"
            )
            raise ConfigError(msg)

    def __call__(self, folder: Path) -> Result:
        """Write the input, and run the stage over it."""
        with emptied(folder / "cohort") as cohort, on_cores(self.cores):
            write_cohort(cohort, self.rows // SLICES)
            found = {within: self._run(cohort, within) for within in self.within}
        show({f"within {within}": [one["taken_s"]] for within, one in found.items()}, unit="s")
        return Result(
            measured=(
                *[self._time(within, one) for within, one in found.items()],
                *[self._memory(within, one) for within, one in found.items()],
            ),
            details={"runs": found},
        )

    def _run(self, cohort: Path, within: str) -> dict[str, float]:
        output = cohort / within
        similarity = f"{{name: hamming, radius: {self.radius}}}"
        keys = {
            "manifest": cohort / "cache" / "manifest.parquet",
            "descriptors": cohort / "hashes",
            "output": output,
            "selector": f"{{name: near_duplicates, similarity: {similarity}}}",
            "within": within,
            "jobs": self.cores,
        }
        overrides = [f"{key}={value}" for key, value in keys.items()]
        words = [sys.executable, "-m", CHILD, *overrides]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        taken: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        kept = pq.read_table(output / "audit.parquet", columns=["kept"])["kept"]
        return {**taken, "rows": len(kept), "kept": pc.sum(kept).as_py()}

    def _time(self, within: str, found: dict[str, float]) -> Measured:
        taken = found["taken_s"]
        unit = f"s, {found['kept']:.0f} of {found['rows']:.0f} slices kept"
        return Measured(name=f"time_{within}", value=taken, low=taken, high=taken, unit=unit)

    def _memory(self, within: str, found: dict[str, float]) -> Measured:
        peak = found["peak_bytes"] / 2**30
        return Measured(
            name=f"memory_{within}",
            value=peak,
            low=peak,
            high=peak,
            unit=f"GiB for {found['rows']:.0f} slices",
            goal=Goal(side="at most", limit=self.most_gib),
        )


def write_cohort(folder: Path, volumes: int) -> None:
    """Write the cache and the hashes of so many volumes, each of a subject of its own."""
    noise = np.random.default_rng(0).integers(1000, size=(1, SIDE, SIDE, SLICES))
    write_cached(
        folder / "cache" / "volumes" / IMAGE,
        Volume(noise.astype(np.int16), np.eye(4)),
        intensity=Intensity(0.0, 1e-3, 0.0, 1.0),
        source_affine=np.eye(4),
        source_shape=noise.shape[1:],
        key=Path(IMAGE).stem,
    )
    names = [f"{number:032x}" for number in range(volumes)]
    write_manifest(Manifest.of(cases(names)), folder / "cache" / "manifest.parquet")

    hashes = walking_hashes(volumes * SLICES).reshape(volumes, SLICES, 1)
    blank = np.zeros(SLICES, bool)
    blank[[0, -1]] = True
    for part in parts_of([SLICES] * volumes, folder / "hashes"):
        held = [
            Rows(names[row], IMAGE, np.arange(SLICES), hashes[row], blank)
            for row in range(part.start, part.end)
        ]
        write_part(part, held, "the bench of select")
    card = {
        "format": 2,
        "kind": "hash",
        "unit": "slice",
        "num_rows": volumes * SLICES,
        "dim": 1,
        "descriptor": {"name": "dhash"},
        "weights": None,
    }
    write_json(card, folder / "hashes" / "card.json")


def cases(names: Sequence[str]) -> list[Case]:
    """Return a case a name, of several sites and scanners."""
    return [
        Case(
            case_id=name,
            digest=name,
            subject_id=name,
            image_uri=f"volumes/{IMAGE}",
            shape=[SIDE, SIDE, SLICES],
            spacing_mm=[1.0, 1.0, 1.0],
            site=f"site {number % 3}",
            scanner=f"scanner {number % 7}",
            split="train",
        )
        for number, name in enumerate(names)
    ]
