"""Where the images of an index are: from a case's private ids to volumes.

Besides `index` this is the one place that reads the private table of real paths.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import accumulate
from operator import itemgetter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from medssl.data.archive.looks import known_headers
from medssl.data.archive.objects import TABLE, read_objects
from medssl.data.archive.private import FILES, LOOKS, path_of, read_files
from medssl.data.archive.private import FOLDER as PRIVATE
from medssl.data.dicom.regions import Classes
from medssl.data.dicom.regrid import Allowed
from medssl.data.formats import reader_of
from medssl.data.layouts import Layout
from medssl.data.manifest import Case
from medssl.data.readers.dicom_objects import draw_objects
from medssl.data.readers.dicom_series import DicomSeries
from medssl.data.verdicts import Code, RefusedError
from medssl.data.volume import Volume
from medssl.errors import DataError
from medssl.geometry import same_grid

LAYOUT = "layout:"  # at the head of an id; the source's number, a slash and the file's follow
# `index` decided which series to take; what it did not allow is in no case.
ALL = Allowed(tilted=True, uneven=True)


@dataclass(frozen=True)
class _Kept:
    """The private table, and the objects of each case."""

    table: pa.Table
    objects: dict[str, list[tuple[str, Classes]]]

    @cached_property
    def paths(self) -> dict[str, str]:
        """The path of each file."""
        columns = self.table.select(["file_id", "path"]).to_pydict()
        return dict(zip(columns["file_id"], columns["path"], strict=True))

    @cached_property
    def slices(self) -> pa.Table:
        """The rows of slices, those of a series next to each other and in order."""
        rows = self.table.filter(pc.is_valid(pc.field("position")))
        return rows.sort_by([("case_id", "ascending"), ("position", "ascending")])

    @cached_property
    def series(self) -> dict[str, tuple[int, int]]:
        """The first row of the slices of each case that is a series, and how many there are."""
        found = pc.value_counts(self.slices["case_id"]).to_pylist()
        counts = {one["values"]: one["counts"] for one in sorted(found, key=itemgetter("values"))}
        starts = accumulate(counts.values(), initial=0)
        return {name: (start, counts[name]) for name, start in zip(counts, starts, strict=False)}

    def images(self, case_id: str) -> list[tuple[Path, int | None]]:
        """Return the file of each slice of a series, and which image of it."""
        rows = self.slices.slice(*self.series[case_id]).select(["path", "image"]).to_pylist()
        return [(path_of(row["path"]), row["image"]) for row in rows]


@lru_cache(maxsize=4)
def _kept(folder: Path, changed_ns: int) -> _Kept:
    """Read the private table once a process; another one has another date."""
    return _Kept(read_files(folder), read_objects(folder) if (folder / TABLE).exists() else {})


@dataclass(frozen=True)
class Source:
    """The images and labels behind a manifest that `index` wrote.

    Args:
        folder: The output folder of `index`.
        layouts: What `layouts.json` there describes, by the same names.
    """

    folder: Path
    layouts: Mapping[str, Layout] = field(default_factory=dict)

    def image(self, case: Case) -> Volume:
        """Return the image on the grid and in the axis order of its files, rescaled.

        Raises:
            DataError: If it is not there any more, or not as it was.
        """
        kind, _, name = case.image_uri.partition(":")
        if kind == "series":
            images = self._slices(name)
            headers = known_headers(self.folder / PRIVATE / LOOKS, images)
            reader = DicomSeries(ALL)
            return reader.read_headers(headers) if headers else reader.read_images(images)
        return self._read(case.image_uri, case.frame)

    def label(self, case: Case) -> Volume | None:
        """Return the label, if there is one, on the grid of its file; of objects on the image's.

        Raises:
            DataError: If it does not lie on the image's grid.
        """
        if case.label_uri is None:
            return None
        affine = np.array(case.affine, np.float64).reshape(4, 4)
        kind, _, name = case.label_uri.partition(":")
        if kind == "objects":
            return draw_objects(self._objects(name), case.shape, affine)
        label = self._read_label(case.label_uri, case.frame)
        if not same_grid(label.voxels.shape[1:], label.affine, case.shape, affine):
            msg = (
                f"case {case.case_id}: its label has shape {label.voxels.shape[1:]} and does not "
                f"lie on the image's grid of shape {tuple(case.shape)}; see {self._table_path}"
            )
            raise RefusedError(Code.LABEL_GRID_DIFFERS, msg)
        return label

    @property
    def _table_path(self) -> Path:
        return self.folder / PRIVATE / FILES

    @property
    def _kept(self) -> "_Kept":
        path = self._table_path
        return _kept(self.folder, path.stat().st_mtime_ns if path.exists() else 0)

    def _objects(self, case_id: str) -> list[tuple[Path, Classes]]:
        if case_id not in self._kept.objects:
            msg = f"{self.folder} knows no objects of case {case_id}; index the archive again"
            raise DataError(msg)
        return [
            (path_of(self._kept.paths[name]), classes)
            for name, classes in self._kept.objects[case_id]
        ]

    def _slices(self, case_id: str) -> list[tuple[Path, int | None]]:
        if case_id not in self._kept.series:
            msg = f"{self._table_path} knows no series of case {case_id}; index the archive again"
            raise DataError(msg)
        return self._kept.images(case_id)

    def _read_label(self, uri: str, frame: int | None) -> Volume:
        if uri.startswith(LAYOUT):
            layout, path = self._laid_out(uri)
            return layout.read_label(path, frame=frame)
        return self._read(uri, None)

    def _laid_out(self, uri: str) -> tuple[Layout, Path]:
        """Return what reads a file with a layout, and the file."""
        number, _, name = uri.removeprefix(LAYOUT).partition("/")
        if number not in self.layouts:
            msg = f"{self.folder} has no layout for {uri!r}; index the archive again"
            raise DataError(msg)
        return self.layouts[number], self._file(f"file:{name}")

    def _read(self, uri: str, frame: int | None) -> Volume:
        if uri.startswith(LAYOUT):
            layout, path = self._laid_out(uri)
            return layout.read(path, frame=frame)
        path = self._file(uri)
        reader = reader_of(path.name)
        if reader is None:
            msg = f"{self._table_path}: {uri!r} is a file of no format that medssl reads"
            raise DataError(msg)
        return reader.read(path, frame=frame)

    def _file(self, uri: str) -> Path:
        kind, _, name = uri.partition(":")
        if kind != "file" or name not in self._kept.paths:
            msg = f"{self._table_path} knows no {uri!r}; expected a manifest that `index` wrote"
            raise DataError(msg)
        return path_of(self._kept.paths[name])
