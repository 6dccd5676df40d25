"""What the stage `index` may be told."""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from medssl.config.pacs import Pacs
from medssl.config.schema import (
    SILENT,
    Count,
    Layout,
    Natural,
    Positive,
    Scheduler,
    Tracker,
    config,
)
from medssl.data.dicom.regions import folded
from medssl.errors import ConfigError

__all__ = ["Index"]

NAMES = re.compile(r"{(\w+)}")  # the groups that a path is made of
ClassNumber = Annotated[int, Field(ge=1, lt=2**16)]  # 0 is background
# A number of subjects, or a share of them.
Size = Annotated[int, Field(ge=0, strict=True)] | Annotated[float, Field(ge=0, lt=1)]


def _with_group(pattern: str) -> str:
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        msg = f"{pattern!r} is no regular expression: {error}"
        raise ConfigError(msg) from error
    if groups < 1:
        msg = f"{pattern!r} needs a group in parentheses that finds what is asked for"
        raise ConfigError(msg)
    return pattern


@config
class Subject:
    """How to know the patient.

    Args:
        regex: Its first group finds the subject in a file's path below the root.
        csv: A table with the columns `image` (or `series_uid`) and `subject`.
    """

    regex: Annotated[str, AfterValidator(_with_group)] | None = None
    csv: str | None = None

    def __post_init__(self) -> None:
        _exactly_one("subject", regex=self.regex, csv=self.csv)


@config
class Match:
    """Label volumes whose paths follow from their images'.

    Args:
        image: A regular expression on an image's path below the root, with named groups.
        label: The path of its label below the root, the groups in braces.
    """

    image: Annotated[str, AfterValidator(_with_group)]
    label: str

    def __post_init__(self) -> None:
        known, used = set(re.compile(self.image).groupindex), set(NAMES.findall(self.label))
        if not used or not used <= known:
            msg = (
                f"labels.match.label: expected one of the named groups {sorted(known)} of "
                f"labels.match.image in braces, and no others, got {self.label!r}"
            )
            raise ConfigError(msg)


@config
class Objects:
    """DICOM segmentations and RT structure sets among the files of a source.

    Args:
        classes: The number of each class by the label of a segment or the name of a region of
            interest, without regard to case; what is not listed is left out. Several names may
            be one class.
    """

    classes: Annotated[dict[str, ClassNumber], Field(min_length=1)]

    def __post_init__(self) -> None:
        if len({folded(name) for name in self.classes}) < len(self.classes):
            msg = (
                "labels.objects.classes: expected names that differ by more than case and "
                f"surrounding blanks, got {sorted(self.classes)}"
            )
            raise ConfigError(msg)


@config
class Labels:
    """Where labels are.

    Args:
        folder: Volumes of the same relative names as the images, whatever the format.
        csv: A table with the columns `image` (or `series_uid`) and `label`, a path from the
            table's folder.
        match: What paths say: nnU-Net's and BIDS' conventions, and those of many a data set.
        datalist: A JSON file such as the Medical Segmentation Decathlon's `dataset.json`, whose
            `training` lists pairs of `image` and `label` by their paths from its folder.
        objects: DICOM segmentations and RT structure sets; they say themselves of which image
            they are.
        unpaired: What becomes of an image without label and of a label without image: an
            error; the image is kept; or both are refused. An object without image is refused.
    """

    folder: str | None = None
    csv: str | None = None
    match: Match | None = None
    datalist: str | None = None
    objects: Objects | None = None
    unpaired: Literal["error", "keep", "refuse"] = "error"

    def __post_init__(self) -> None:
        _exactly_one(
            "labels",
            folder=self.folder,
            csv=self.csv,
            match=self.match,
            datalist=self.datalist,
            objects=self.objects,
        )


@config
class Attributes:
    """Further values of images.

    Args:
        csv: A table.
        image: What the image of a row is called, the row's columns in braces.
        columns: What to keep of the table.
        regex: Instead of it, a regular expression on a file's path below the root; its named
            groups are kept.
    """

    csv: str | None = None
    image: str = "{image}"
    columns: tuple[str, ...] = ()
    regex: Annotated[str, AfterValidator(_with_group)] | None = None

    def __post_init__(self) -> None:
        _exactly_one("attributes", csv=self.csv, regex=self.regex)
        if self.csv is not None and not self.columns:
            msg = "attributes.columns: expected the columns of the table to keep, got none"
            raise ConfigError(msg)


@config
class Root:
    """Images, in a folder or of a PACS.

    Args:
        root: The folder; `mirror:` at its head is the folder that MEDSSL_MIRROR names.
        pacs: What to bring from where, instead of a folder; it lands in the index's private one.
        include: A pattern on the path below the root, in which `*` matches anything.
        layout: What files of arrays (HDF5, NumPy) hold, labels included.
        modality: DICOM's code, where the files do not say it.
        subject: How to know the patient, where the files do not say it.
        labels: Where label volumes are.
        attributes: Further values of images.
        group: A population, such as `background` and `target`.
        site: Where they were made.
    """

    root: str | None = None
    pacs: Pacs | None = None
    include: str = "*"
    layout: Layout | None = None
    modality: str | None = None
    subject: Subject | None = None
    labels: Labels | None = None
    attributes: Attributes | None = None
    group: str | None = None
    site: str | None = None

    def __post_init__(self) -> None:
        _exactly_one("source", root=self.root, pacs=self.pacs)
        if self.layout is not None and self.labels is not None:
            msg = "labels: a source with a layout has its labels in its own files; leave them out"
            raise ConfigError(msg)
        if self.pacs is not None and (wrong := self._by_path()):
            msg = (
                f"{wrong}: what comes from a PACS has no paths; name series by `series_uid` in "
                "subject.csv, labels.csv and attributes.csv"
            )
            raise ConfigError(msg)

    def _by_path(self) -> list[str]:
        """Return what is said of paths."""
        labels, subject, attributes = self.labels, self.subject, self.attributes
        said = {
            "include": self.include != "*",
            "layout": self.layout is not None,
            "subject.regex": subject is not None and subject.regex is not None,
            "labels": labels is not None and labels.csv is None and labels.objects is None,
            "attributes.regex": attributes is not None and attributes.regex is not None,
        }
        return [name for name, is_said in said.items() if is_said]


@config
class Split:
    """Which subjects are for test and validation; the others are for training.

    Where there are labels, both are chosen among the subjects that have one.

    Args:
        rule: At evenly spaced positions in the order of the archive's paths, or at random.
        test: How many (3), or which share (0.2).
        val: How many, or which share.
        seed: Of the random choice.
    """

    rule: Literal["evenly_spaced", "shuffled"] = "evenly_spaced"
    test: Size = 0
    val: Size = 0
    seed: Natural = 0


@config
class Resample:
    """Which series that lie on no even, right-angled grid are resampled to one, not refused.

    Args:
        tilted: Those whose slices drift sideways, as under a tilted gantry.
        uneven: Those with uneven gaps; a missing slice is not made up.
    """

    tilted: bool = False
    uneven: bool = False


@config
class Index:
    """From folders of images to a manifest of cases and a verdict on every file.

    Args:
        sources: Folders of images, or PACS.
        output: The index's folder.
        key: The secret of the pseudonyms; one is made where there is none.
        resample: Which series are resampled rather than refused.
        split: Which subjects are for what.
        deidentified: A folder for de-identified copies of the DICOM files of all cases, apart
            from all sources; none is written without it.
        scheduler: Who reads: `threads` or `processes` of this machine, or the address of a Dask
            scheduler, `tcp://host:port`, whose workers see the same files.
        jobs: How many read at a time; a Dask scheduler has its own number.
        memory_gib: What the volumes that are read at a time may take together.
        tracker: Where the run is written down.
    """

    sources: Annotated[tuple[Root, ...], Field(min_length=1)]
    output: Path
    key: Path | None = None
    resample: Resample = Resample()
    split: Split = Split()
    deidentified: Path | None = None
    scheduler: Scheduler = "threads"
    jobs: Count = 2
    memory_gib: Positive = 4.0
    tracker: Tracker = SILENT


def _exactly_one(name: str, **given: object) -> None:
    found = [key for key, value in given.items() if value is not None]
    if len(found) != 1:
        got = ", ".join(found) or "none"
        msg = f"{name}: expected exactly one of {', '.join(given)}; got {got}"
        raise ConfigError(msg)
