"""List an archive: folders or a PACS in, a manifest of cases and a verdict on every file out.

medssl index configs/index/hippocampus.yaml

Written below the output folder: `private/` (0700; the key of the pseudonyms, and the one table
that says which file an id stands for), `verdicts.parquet`, `objects.parquet` where DICOM objects
are labels, `layouts.json` where sources have layouts, and last `manifest.parquet`.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from medssl.config.component import build
from medssl.config.load import dump
from medssl.config.stages.index import Index, Root, Split
from medssl.data.archive.cases import refuse, take
from medssl.data.archive.days import study_days
from medssl.data.archive.labels import Pairing, check_grid
from medssl.data.archive.ledger import Ledger, Use
from medssl.data.archive.measure import (
    Misread,
    cost_bytes,
    is_seen,
    measure_unit,
    recall,
    remember,
    unseen,
)
from medssl.data.archive.objects import TABLE, Objects, object_table, with_objects
from medssl.data.archive.private import KEY, LOOKS, open_private, write_files
from medssl.data.archive.pseudonyms import Pseudonyms, make_key, read_key
from medssl.data.archive.scan import Seen, scan
from medssl.data.archive.splits import Rule, assign, connected
from medssl.data.archive.units import find_units
from medssl.data.archive.walk import File, walk
from medssl.data.dicom.regrid import Allowed
from medssl.data.engine import Pool, map_bounded, open_pool
from medssl.data.manifest import Case, Manifest, write_manifest
from medssl.data.verdicts import Code, RefusedError
from medssl.tracking import DatasetRecord
from pipelines._deidentified import Taken, check_folder, write_copies
from pipelines._files import write_table
from pipelines._hidden import about, keep_config, without_paths
from pipelines._layouts import layouts_in, write_layouts
from pipelines._objects import Label, drawn_in, objects_of
from pipelines._output import check_outside
from pipelines._pacs import folder_of
from pipelines._pairing import label_files, pair_labels
from pipelines._progress import track
from pipelines._tables import Tables


def run(cfg: Index) -> None:
    """Look at every file, read every volume, write down what is there."""
    roots = {f"sources.{n}.root": source.root for n, source in enumerate(cfg.sources)}
    check_outside(cfg.output, {key: root for key, root in roots.items() if root is not None})
    if cfg.deidentified is not None:
        check_folder(cfg.deidentified, cfg.sources)
    private = open_private(cfg.output)
    key = make_key(private / KEY) if cfg.key is None else read_key(cfg.key)
    hidden = Pseudonyms(key)
    keep_config(cfg, private)
    shown = dump(without_paths(cfg, hidden))
    allowed = Allowed(tilted=cfg.resample.tilted, uneven=cfg.resample.uneven)
    with (
        build(cfg.tracker).run(f"index {cfg.output.name}", config=shown) as run,
        closing(Ledger(hidden, private / LOOKS, layouts_in(cfg.sources))) as ledger,
        open_pool(cfg.scheduler, cfg.jobs) as pool,
    ):
        # Files
        folders = [folder_of(n, source, private) for n, source in enumerate(cfg.sources)]
        labels = [
            label_files(number, root, folder)
            for number, (root, folder) in enumerate(zip(cfg.sources, folders, strict=True))
        ]
        _open(cfg.sources, folders, labels, ledger)
        write_files(ledger.files(), private)  # so that messages can point at it
        scan(ledger, pool, partial(_shown, ledger.looks.num_due()))

        # Cases
        objects = objects_of(cfg.sources, labels, ledger, allowed)
        pairings = pair_labels(cfg.sources, labels, objects, ledger, allowed)
        tables_of = [Tables.read(n, root, ledger) for n, root in enumerate(cfg.sources)]
        work = _Work(ledger, pool, allowed, int(cfg.memory_gib * 2**30))
        read = list(work.cases(tables_of, pairings, objects))

        # Labels and splits; the labels of test cases stay closed
        manifest = Manifest.of(_labeled(read, cfg.split, ledger))

        # Result
        write_files(ledger.files(), private)
        write_table(ledger.verdicts(), cfg.output / "verdicts.parquet")
        write_layouts(cfg.sources, cfg.output)
        if drawn := drawn_in(((label, taken.case) for label, taken in read), manifest):
            write_table(object_table(drawn, ledger), cfg.output / TABLE)
        copies = _copies(cfg, read, ledger)
        write_manifest(manifest, cfg.output / "manifest.parquet")
        ledger.looks.forget_the_rest()
        profile = _profile(manifest, ledger)
        record = DatasetRecord(
            name=cfg.output.name, digest=manifest.digest(), context="index", profile=profile
        )
        run.dataset(record)
        run.metrics(0, {f"index/{name}": float(count) for name, count in profile.items()})
        _print_summary(profile | copies, ledger)
    print(f"index: {cfg.output}")


def _shown(total: int, seen: Iterator[Seen]) -> Iterator[Seen]:
    return track(
        seen,
        total=total,
        label="headers",
        unit="files",
        steps=lambda item: len(item[0]),
        size_bytes=lambda item: sum(due.size_bytes for due in item[0]),
    )


def _open(
    sources: Sequence[Root],
    folders: Sequence[Path],
    labels: Sequence[dict[str, File]],
    ledger: Ledger,
) -> None:
    """Open an account for each file of all sources; one that is a label is no image."""
    for found in labels:
        ledger.open(found.values(), role="label")
    for number, (source, folder) in enumerate(zip(sources, folders, strict=True)):
        with about(f"sources.{number}.root"):
            ledger.open(walk(folder, include=source.include, source=number))


@dataclass(frozen=True)
class _Work:
    """The reading of volumes."""

    ledger: Ledger
    pool: Pool
    allowed: Allowed
    memory_bytes: int

    def cases(
        self,
        known: Sequence[Tables],
        pairings: Sequence[Pairing],
        objects: Mapping[str, Objects],
    ) -> Iterator[tuple[Label, Taken]]:
        """Read each unit that takes part, and yield its label and its case."""
        aside = {unit.identity for pairing in pairings for unit in pairing.without_label}
        units = find_units(self.ledger, self.allowed)
        done = map_bounded(
            measure_unit,
            (unit for unit in units if unit.identity not in aside),
            pool=self.pool,
            memory_bytes=self.memory_bytes,
            cost_bytes=cost_bytes,
            named=lambda unit: f"the volume of {self.ledger.file_id(unit.files[0].path)}",
            known=lambda unit: recall(unit, self.ledger),
            sent=unseen,
        )
        shown = track(
            done,
            total=self.ledger.looks.num_usable(),
            label="volumes",
            unit="files",
            steps=lambda item: 0 if item[0].frame else len(item[0].files),
            size_bytes=lambda item: 0 if is_seen(item[0]) else 2 * item[0].num_voxels,
        )
        for unit, found in shown:
            remember(unit, found, self.ledger)
            if isinstance(found, Misread):
                refuse(unit, found.refusal(), self.ledger)
            else:
                case = take(unit, found, self.ledger, known[unit.source].of(unit))
                file = pairings[unit.source].labels.get(unit.name)
                yield file or objects.get(unit.identity), Taken.of(case, unit)


def _labeled(read: Sequence[tuple[Label, Taken]], split: Split, ledger: Ledger) -> Iterator[Case]:
    """Yield the cases with their splits, labels, and days since the subject's first study."""
    cases = [taken.case for _, taken in read]
    days = study_days([(taken.case.subject_id, taken.study_date) for _, taken in read])
    groups = connected([c.subject_id for c in cases], [c.digest for c in cases])
    rule = Rule(rule=split.rule, test=split.test, val=split.val, seed=split.seed)
    labeled = [label is not None or taken.case.label_uri is not None for label, taken in read]
    names = assign(groups, labeled, rule, [case.split for case in cases])
    for (label, taken), name, day in zip(read, names, days, strict=True):
        of_day = {} if day is None else {"study_day": str(day)}
        case = replace(taken.case, split=name, attributes=taken.case.attributes | of_day)
        yield _with_label(case, label, ledger)


def _with_label(case: Case, label: Label, ledger: Ledger) -> Case:
    """Return the case with its label; one off the image's grid is refused, one for test unseen."""
    if label is None:
        return case
    if isinstance(label, Objects):
        return with_objects(case, label, ledger)
    if case.split != "test":
        try:
            check_grid(label, case)
        except RefusedError as refusal:
            ledger.refuse(label.path, refusal)
            return case
    ledger.accept([(label.path, Use(case.case_id))], code=Code.LABEL)
    return replace(case, label_uri=f"file:{ledger.file_id(label.path)}")


def _copies(cfg: Index, read: Sequence[tuple[Label, Taken]], ledger: Ledger) -> dict[str, int]:
    """Write de-identified copies if they are asked for; return what there is to say of them."""
    if cfg.deidentified is None:
        return {}
    copies, counts = write_copies(
        [taken for _, taken in read], ledger.files(), cfg.deidentified, ledger.pseudonyms
    )
    write_table(copies, cfg.output / "copies.parquet")
    return counts


def _profile(manifest: Manifest, ledger: Ledger) -> dict[str, int]:
    accepted = [count for (is_accepted, _), count in ledger.counts().items() if is_accepted]
    splits = Counter(manifest.table["split"].to_pylist())
    return {
        "files": len(ledger),
        "accepted_files": sum(accepted),
        "refused_files": len(ledger) - sum(accepted),
        "cases": len(manifest),
        "subjects": len(set(manifest.table["subject_id"].to_pylist())),
        **{name: splits[name] for name in ("train", "val", "test")},
    }


def _print_summary(profile: dict[str, int], ledger: Ledger) -> None:
    rows = [(name.replace("_", " "), count) for name, count in profile.items()]
    refused = [(code, n) for (is_accepted, code), n in ledger.counts().items() if not is_accepted]
    rows += [(f"refused: {code}", n) for code, n in sorted(refused, key=lambda row: (-row[1], row))]
    width = max(len(name) for name, _ in rows)
    for name, count in rows:
        print(f"{name:<{width}}  {count:>8}")
