"""What the user knows of a source's images, over what their files say."""

from collections.abc import Callable
from dataclasses import dataclass

from medssl.config.stages.index import Root
from medssl.data.archive import tables
from medssl.data.archive.cases import Known
from medssl.data.archive.ledger import Ledger
from medssl.data.archive.units import Unit
from medssl.data.mirror import resolve
from medssl.errors import DataError
from pipelines._hidden import about


@dataclass(frozen=True)
class Tables:
    """What the user knows of one source."""

    root: Root
    subject: Callable[[Unit], str | None]
    attributes: dict[str, tuple[tuple[str, str], ...]]

    @classmethod
    def read(cls, number: int, root: Root, ledger: Ledger) -> "Tables":
        rows = {}
        if root.attributes is not None and root.attributes.csv is not None:
            csv = resolve(root.attributes.csv)
            with about(f"sources.{number}.attributes.csv"):
                rows = tables.attributes(csv, root.attributes.image, root.attributes.columns)
        return cls(root, _subject(f"sources.{number}.subject.csv", root, ledger), rows)

    def of(self, unit: Unit) -> Known:
        """Return what the user knows of a unit."""
        return Known(
            subject=self.subject(unit),
            modality=self.root.modality,
            site=self.root.site,
            group=self.root.group,
            attributes=self._attributes(unit),
        )

    def _attributes(self, unit: Unit) -> tuple[tuple[str, str], ...]:
        said = self.root.attributes
        if said is not None and said.regex is not None:
            return tables.attributes_in(said.regex, unit.files[0].name)
        return self.attributes.get(unit.name, ())


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
