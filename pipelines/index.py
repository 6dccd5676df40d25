"""List an archive: folders of images in, a manifest of cases and a verdict on every file out.

medssl index configs/index/hippocampus.yaml

Written below the output folder: `private/` (0700; the key of the pseudonyms, and the one table
that says which file an id stands for), `verdicts.parquet`, and last `manifest.parquet`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from medssl.config.component import build
from medssl.config.load import dump
from medssl.config.stages.index import Index, Labels, Root, Split
from medssl.data.archive import tables
from medssl.data.archive.cases import Known, read_case
from medssl.data.archive.days import study_days
from medssl.data.archive.labels import (
    Pairing,
    check_grid,
    labels_in,
    labels_listed,
    labels_matching,
    labels_of,
    pair,
)
from medssl.data.archive.ledger import Ledger, Use
from medssl.data.archive.private import KEY, open_private, write_files
from medssl.data.archive.pseudonyms import Pseudonyms, make_key, read_key
from medssl.data.archive.splits import Rule, assign, connected
from medssl.data.archive.units import Archive, Unit, find_units
from medssl.data.archive.walk import File, walk
from medssl.data.dicom.regrid import Allowed
from medssl.data.manifest import Case, Manifest, write_manifest
from medssl.data.mirror import resolve
from medssl.data.verdicts import Code, RefusedError
from medssl.errors import DataError
from medssl.tracking import DatasetRecord
from pipelines._deidentified import Taken, check_folder, write_copies
from pipelines._files import write_table
from pipelines._hidden import about, keep_config, place_of, without_paths
from pipelines._progress import track


def run(cfg: Index) -> None:
    """Look at every file, read every volume, write down what is there."""
    if cfg.deidentified is not None:
        check_folder(cfg.deidentified, [resolve(source.root) for source in cfg.sources])
    private = open_private(cfg.output)
    key = make_key(private / KEY) if cfg.key is None else read_key(cfg.key)
    ledger = Ledger(Pseudonyms(key))
    keep_config(cfg, private)
    shown = dump(without_paths(cfg, ledger.pseudonyms))
    with build(cfg.tracker).run(f"index {cfg.output.name}", config=shown) as run:
        # Files
        labels = [_labels(number, root) for number, root in enumerate(cfg.sources)]
        files = _files(cfg.sources, labels, ledger)
        write_files(ledger.files(), private)  # so that messages can point at it

        # Cases
        allowed = Allowed(tilted=cfg.resample.tilted, uneven=cfg.resample.uneven)
        headers = track(files, total=len(files), label="headers", unit="files")
        archive = find_units(headers, ledger, allowed)
        pairings = [
            _paired(number, root.labels, labels[number], archive, ledger)
            for number, root in enumerate(cfg.sources)
        ]
        tables_of = [_Tables.read(n, root, ledger) for n, root in enumerate(cfg.sources)]
        read = list(_read(archive, tables_of, pairings, ledger))

        # Labels and splits; the labels of test cases stay closed
        manifest = Manifest.of(_labeled(read, cfg.split, ledger))

        # Result
        write_files(ledger.files(), private)
        write_table(ledger.verdicts(), cfg.output / "verdicts.parquet")
        copies = _copies(cfg, read, ledger)
        write_manifest(manifest, cfg.output / "manifest.parquet")
        profile = _profile(manifest, ledger)
        record = DatasetRecord(
            name=cfg.output.name, digest=manifest.digest(), context="index", profile=profile
        )
        run.dataset(record)
        run.metrics(0, {f"index/{name}": float(count) for name, count in profile.items()})
    _print_summary(profile | copies, ledger)
    print(f"index: {cfg.output}")


def _labels(number: int, source: Root) -> dict[str, File]:
    """Return a source's label files by the name of their image."""
    labels, key = source.labels, f"sources.{number}"
    root = place_of(source.root, f"{key}.root")
    if labels is None:
        return {}
    if labels.folder is not None:
        return labels_in(place_of(labels.folder, f"{key}.labels.folder"), number)
    if labels.match is not None:
        said = labels.match
        return labels_matching(said.image, said.label, root, include=source.include, source=number)
    if labels.datalist is not None:
        with about(f"{key}.labels.datalist"):
            return labels_listed(resolve(labels.datalist), root, number)
    with about(f"{key}.labels.csv"):
        return labels_of(resolve(labels.csv or ""), number)


def _files(roots: Sequence[Root], labels: Sequence[dict[str, File]], ledger: Ledger) -> list[File]:
    """Return the files of all sources, less those that are labels or of an earlier source."""
    for found in labels:
        ledger.open(list(found.values()), role="label")
    return [
        file
        for number, root in enumerate(roots)
        for file in ledger.open(walk(resolve(root.root), include=root.include, source=number))
    ]


def _paired(
    number: int, labels: Labels | None, found: dict[str, File], archive: Archive, ledger: Ledger
) -> Pairing:
    """Put a source's labels and images together; what is left over is treated as configured."""
    units = [unit for unit in archive.units if unit.source == number]
    if labels is None:
        return Pairing({}, (), ())
    pairing = pair(found, units, archive.names)
    if labels.unpaired == "error" and (pairing.without_image or pairing.without_label):
        raise DataError(_left_over(number, pairing, ledger))
    for file in found.values():  # those that a case takes are accepted later
        what = "is not there" if file in pairing.without_image else "was refused"
        refusal = RefusedError(Code.LABEL_WITHOUT_IMAGE, f"a label whose image {what}")
        ledger.refuse(file.path, refusal)
    if labels.unpaired == "refuse":
        refusal = RefusedError(Code.IMAGE_WITHOUT_LABEL, "an image whose label is not there")
        for unit in pairing.without_label:
            for file in unit.files:
                ledger.refuse(file.path, refusal)
        return pairing
    return replace(pairing, without_label=())


def _left_over(number: int, pairing: Pairing, ledger: Ledger) -> str:
    labels = [ledger.file_id(file.path) for file in pairing.without_image]
    images = [ledger.file_id(unit.files[0].path) for unit in pairing.without_label]
    parts = [
        f"{len(ids)} {what} ({', '.join(ids[:5])}{', ...' if len(ids) > 5 else ''})"
        for ids, what in ((labels, "labels without image"), (images, "images without label"))
        if ids
    ]
    return (
        f"sources.{number}: {' and '.join(parts)}; private/files.parquet in the output folder says "
        "which files these are. Complete them, or set labels.unpaired to `keep` or `refuse`"
    )


@dataclass(frozen=True)
class _Tables:
    """What the user knows of one source."""

    root: Root
    subject: Callable[[Unit], str | None]
    attributes: dict[str, tuple[tuple[str, str], ...]]

    @classmethod
    def read(cls, number: int, root: Root, ledger: Ledger) -> "_Tables":
        rows = {}
        if root.attributes is not None:
            csv = resolve(root.attributes.csv)
            with about(f"sources.{number}.attributes.csv"):
                rows = tables.attributes(csv, root.attributes.image, root.attributes.columns)
        return cls(root, _subject(f"sources.{number}.subject.csv", root, ledger), rows)

    def of(self, unit: Unit) -> Known:
        return Known(
            subject=self.subject(unit),
            modality=self.root.modality,
            site=self.root.site,
            group=self.root.group,
            attributes=self.attributes.get(unit.name, ()),
        )


def _subject(key: str, root: Root, ledger: Ledger) -> Callable[[Unit], str | None]:
    """Return how to know a unit's patient, over what its files say."""
    if root.subject is None:
        return lambda unit: None
    regex, csv = root.subject.regex, root.subject.csv
    if regex is not None:
        return lambda unit: tables.subject_in(
            regex, unit.files[0].name, ledger.file_id(unit.files[0].path)
        )
    with about(key):
        subjects = tables.subjects(resolve(csv or ""))

    def listed(unit: Unit) -> str:
        if unit.name not in subjects:
            msg = f"{key}: no subject for the image of file {ledger.file_id(unit.files[0].path)}"
            raise DataError(msg)
        return subjects[unit.name]

    return listed


def _read(
    archive: Archive, known: Sequence[_Tables], pairings: Sequence[Pairing], ledger: Ledger
) -> Iterator[tuple[File | None, Taken]]:
    """Read each unit that takes part, and yield its label and its case."""
    aside = {unit.identity for pairing in pairings for unit in pairing.without_label}
    units = [unit for unit in archive.units if unit.identity not in aside]
    for unit in track(units, total=len(units), label="volumes", unit="volumes"):
        found = read_case(unit, ledger, known[unit.source].of(unit))
        if found is not None:
            is_tiled = unit.stack is not None and unit.stack.headers[0].tiles_across > 0
            taken = Taken(found[0], unit.study_date, unit.copy, is_tiled)
            yield pairings[unit.source].labels.get(unit.name), taken


def _labeled(
    read: Sequence[tuple[File | None, Taken]], split: Split, ledger: Ledger
) -> Iterator[Case]:
    """Yield the cases with their splits, labels, and days since the subject's first study."""
    cases = [taken.case for _, taken in read]
    days = study_days([(taken.case.subject_id, taken.study_date) for _, taken in read])
    groups = connected([c.subject_id for c in cases], [c.digest for c in cases])
    rule = Rule(rule=split.rule, test=split.test, val=split.val, seed=split.seed)
    names = assign(groups, [label is not None for label, _ in read], rule)
    for (label, taken), name, day in zip(read, names, days, strict=True):
        of_day = {} if day is None else {"study_day": str(day)}
        case = replace(taken.case, split=name, attributes=taken.case.attributes | of_day)
        yield _with_label(case, label, ledger)


def _with_label(case: Case, label: File | None, ledger: Ledger) -> Case:
    """Return the case with its label; one off the image's grid is refused, one for test unseen."""
    if label is None:
        return case
    if case.split != "test":
        try:
            check_grid(label, case)
        except RefusedError as refusal:
            ledger.refuse(label.path, refusal)
            return case
    ledger.accept(label.path, Use(case.case_id), code=Code.LABEL)
    return replace(case, label_uri=f"file:{ledger.file_id(label.path)}")


def _copies(
    cfg: Index, read: Sequence[tuple[File | None, Taken]], ledger: Ledger
) -> dict[str, int]:
    """Write de-identified copies if they are asked for; return what there is to say of them."""
    if cfg.deidentified is None:
        return {}
    taken = [taken for _, taken in read]
    copies, counts = write_copies(taken, ledger.files(), cfg.deidentified, ledger.pseudonyms)
    write_table(copies, cfg.output / "copies.parquet")
    return counts


def _profile(manifest: Manifest, ledger: Ledger) -> dict[str, int]:
    accepted = [count for (is_accepted, _), count in ledger.counts().items() if is_accepted]
    splits = {name: len(manifest.split(name)) for name in ("train", "val", "test")}
    return {
        "files": len(ledger.entries),
        "accepted_files": sum(accepted),
        "refused_files": len(ledger.entries) - sum(accepted),
        "cases": len(manifest),
        "subjects": len(set(manifest.table["subject_id"].to_pylist())),
        **splits,
    }


def _print_summary(profile: dict[str, int], ledger: Ledger) -> None:
    rows = [(name.replace("_", " "), count) for name, count in profile.items()]
    refused = [(code, n) for (is_accepted, code), n in ledger.counts().items() if not is_accepted]
    rows += [(f"refused: {code}", n) for code, n in sorted(refused, key=lambda row: (-row[1], row))]
    width = max(len(name) for name, _ in rows)
    for name, count in rows:
        print(f"{name:<{width}}  {count:>8}")
