"""Make an archive of known truth: nothing in, DICOM series, labels and the truth out.

medssl phantom --set num_subjects=24

Written below the output folder: `private/` (0700; the archive names its invented patients),
`truth.parquet`, and last `phantom.yaml`, which says that all of it is there and what was asked.
"""

import shutil
from pathlib import Path

import yaml

from medssl.config.component import build
from medssl.config.load import dump
from medssl.config.stages.phantom import Phantom
from medssl.data.phantom.anatomy import load_template
from medssl.data.phantom.archive import Truth, write_item, write_truth
from medssl.data.phantom.cohort import Recipe, cohort
from medssl.errors import DataError
from medssl.tracking import DatasetRecord
from pipelines._progress import track

WORK, DONE = ".phantom.part", "phantom.yaml"


def run(cfg: Phantom) -> None:
    """Write the archive, unless it is already there."""
    recipe = _recipe(cfg)
    if _asked(cfg) == _found(cfg.output / DONE):
        print(f"phantom: already there: {cfg.output}")
        return
    work = _start_over(cfg.output)
    with build(cfg.tracker).run(f"phantom {cfg.output.name}", config=dump(cfg)) as run:
        # Archive
        items = cohort(recipe)
        template = load_template(min(recipe.spacing_mm))
        truths = [
            write_item(work / "private", template, recipe, item)
            for item in track(items, total=len(items), label="phantom", unit="series")
        ]
        digest = write_truth(work, recipe, truths)

        # Result
        _finish(work, cfg)
        profile = _profile(truths)
        record = DatasetRecord(
            name=cfg.output.name, digest=digest, context="phantom", profile=profile
        )
        run.dataset(record)
    print(", ".join(f"{count} {name}" for name, count in profile.items()))
    print(f"phantom: {cfg.output}")


def _recipe(cfg: Phantom) -> Recipe:
    return Recipe(
        num_subjects=cfg.num_subjects,
        two_series=cfg.two_series,
        spacing_mm=cfg.spacing_mm,
        labels=cfg.labels,
        deformation_mm=cfg.deformation_mm,
        snr=cfg.snr,
        exact_duplicates=cfg.exact_duplicates,
        near_duplicates=cfg.near_duplicates,
        truncated=cfg.truncated,
        missing_slices=cfg.missing_slices,
        secondary_captures=cfg.secondary_captures,
        text_files=cfg.text_files,
        seed=cfg.seed,
    )


def _asked(cfg: Phantom) -> str:
    """Return what decides about the content: the config without where and who watches."""
    tree = yaml.safe_load(dump(cfg))
    return yaml.safe_dump(
        {key: value for key, value in tree.items() if key not in ("output", "tracker")},
        sort_keys=False,
    )


def _found(done: Path) -> str | None:
    return done.read_text() if done.is_file() else None


def _start_over(output: Path) -> Path:
    """Return an empty folder to work in; what an unfinished or another phantom left is removed.

    Raises:
        DataError: If there is something that no phantom wrote.
    """
    work = output / WORK
    if (output / "private").exists() and not (output / DONE).exists() and not work.exists():
        msg = (
            f"{output} holds a private/ folder that no phantom wrote: expected an empty output "
            f"folder; name another one with --set output=..."
        )
        raise DataError(msg)
    if work.exists():
        shutil.rmtree(work)
    (work / "private").mkdir(parents=True)
    (work / "private").chmod(0o700)
    return work


def _finish(work: Path, cfg: Phantom) -> None:
    """Move the pieces to where they belong; the file that says so comes last."""
    (cfg.output / DONE).unlink(missing_ok=True)
    for name in ("private", "truth.parquet"):
        target = cfg.output / name
        if target.is_dir():
            shutil.rmtree(target)
        (work / name).replace(target)
    text = work / DONE
    text.write_text(_asked(cfg))
    text.replace(cfg.output / DONE)
    work.rmdir()


def _profile(truths: list[Truth]) -> dict[str, int]:
    roles = [truth.role for truth in truths]
    return {
        "subjects": len({truth.subject for truth in truths}),
        "files": sum(truth.num_files for truth in truths),
        **{role: roles.count(role) for role in dict.fromkeys(roles)},
    }
