"""Whether the loader keeps a training fed: how long steps wait for crops, how fast it is alone.

A real chest CT, indexed and cached by our stages on its own grid, stands for many cases of many
subjects, and so is read from the page cache. The steps are SimCLR's, with an encoder of stages
16-32-64-128, two 3^3 convolutions each, and instance norm. A batch is 8 items with two views of
64^3 voxels each, which are 16 crops. Three things take turns: steps on views that are there
already, steps on what the loader brings, and a loader with nobody to wait for. The start of
workers is not counted. Waiting is for crops; making views of them is the device's work, here
the same cores', and is told apart.
"""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from medssl.config.load import resolve as resolve_config
from medssl.config.stages.pretrain import Pretrain
from medssl.data.manifest import Manifest, read_manifest, write_manifest
from medssl.data.mirror import resolve
from medssl.errors import ConfigError
from pipelines.benches import Goal, Result
from pipelines.benches._feeding import Feeding, Turns
from pipelines.benches._measuring import emptied, median_of, on_cores, ratio
from pipelines.benches._road import index_and_cache

__all__ = ["Loader"]

ENCODER = {"name": "unet", "channels": [16, 32, 64, 128], "norm": "instance"}
BATCH_SIZE = 8
ENDLESS = 10**6  # steps, more than are taken


@dataclass(frozen=True, kw_only=True)
class Loader:
    """Measures both.

    Args:
        source: A folder with the DICOM series of a volume.
        run: The pretraining config whose crops, views, method and optimizer are taken.
        most_wait: Largest share of the time in which training may wait for crops.
        least_supply: How many times the crops/s of training the loader alone should bring.
        num_cases: For how many the volume stands.
        num_workers: Of the loader.
        num_steps: Of training, in a turn.
        num_alone: Batches of the loader alone, in a turn.
        repetitions: How often all have their turns.
        cores: How many all run on.
    """

    source: str
    run: Path
    most_wait: float
    least_supply: float
    num_cases: int = 64
    num_workers: int = 2
    num_steps: int = 4
    num_alone: int = 60
    repetitions: int = 7
    cores: int = 2

    def __post_init__(self) -> None:
        names = ("num_cases", "num_workers", "num_steps", "num_alone", "repetitions", "cores")
        if wrong := {name: value for name in names if (value := getattr(self, name)) < 1}:
            msg = f"expected counts of at least 1, got {wrong}"
            raise ConfigError(msg)

    def __call__(self, folder: Path) -> Result:
        """Cache the volume and let all take turns; the first ones warm up and do not count."""
        with on_cores(self.cores), emptied(folder / "scratch") as scratch:
            index_and_cache([resolve(self.source)], scratch, jobs=self.cores)
            manifest = scratch / "cache" / "manifest.parquet"
            write_manifest(multiplied(read_manifest(manifest), self.num_cases), manifest)
            with closing(Feeding(self._config(manifest))) as feeding:
                num_turns = 1 + self.repetitions
                taken = [feeding.turns(self.num_steps, self.num_alone) for _ in range(num_turns)]
        return self._result(taken[1:], feeding.crops_a_batch)

    def _config(self, manifest: Path) -> Pretrain:
        overlay = {
            "manifest": str(manifest),
            "encoder": ENCODER,
            "num_workers": self.num_workers,
            "device": "cpu",
            "optim.batch_size": BATCH_SIZE,
            "optim.num_steps": ENDLESS,
        }
        return resolve_config(Pretrain, self.run, [overlay])

    def _result(self, taken: Sequence[Turns], crops_a_batch: int) -> Result:
        fed_s = [one.fed_s for one in taken]
        trained = [self.num_steps * crops_a_batch / one.fed_s for one in taken]
        alone = [self.num_alone * crops_a_batch / one.alone_s for one in taken]
        measured = (
            median_of("training", trained, unit="crops/s"),
            median_of("alone", alone, unit="crops/s by the loader alone"),
            ratio(
                "slowdown",
                fed_s,
                [one.kept_s for one in taken],
                unit="x the time of steps on views that are there already",
            ),
            ratio(
                "views",
                [one.augmented_s for one in taken],
                fed_s,
                unit="of the time makes views of crops",
            ),
            ratio(
                "data_wait",
                [one.waited_s for one in taken],
                fed_s,
                unit="of the time waits for crops",
                goal=Goal(side="at most", limit=self.most_wait),
            ),
            ratio(
                "supply",
                alone,
                trained,
                unit="x the crops/s of training by the loader alone",
                goal=Goal(side="at least", limit=self.least_supply),
            ),
        )
        details = {"crops_a_batch": crops_a_batch, "turns": [asdict(one) for one in taken]}
        return Result(measured=measured, details=details)


def multiplied(manifest: Manifest, num_cases: int) -> Manifest:
    """Return as many cases to learn from as are asked for, of a subject each, by turns of these."""
    cases = [manifest[number % len(manifest)] for number in range(num_cases)]
    return Manifest.of(
        replace(
            case,
            case_id=f"{number:016x}",
            digest=f"{number:032x}",
            subject_id=f"{number:016x}",
            split="train",
        )
        for number, case in enumerate(cases)
    )
