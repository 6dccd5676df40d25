"""Instances that stand in several files: copies of one image, or images that contradict each other.

An instance UID names one image for good, so files that share one must hold the same values at
the same place. Archives rewrite headers and transfer syntaxes, so decoded values are compared.
Where they differ nobody knows which version is true: all are refused.

Source: DICOM PS3.3 2024, C.12.1 (SOP Instance UID); PS3.5 2024, 9 (unique identifiers).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from blake3 import blake3

from medssl.data.dicom.header import Header
from medssl.data.dicom.images import read_images
from medssl.data.dicom.pixels import values
from medssl.data.dicom.stack import Stack, along_normal
from medssl.data.dicom.stacks import Misfit
from medssl.data.verdicts import Code, RefusedError

SAME_BYTES = "a copy, byte for byte, of another file"
SAME_VALUES = "the instance of another file, with the same values at the same place"
MOST_NAMED = 5

Images = tuple[Header, ...]  # of one file


@dataclass(frozen=True, kw_only=True)
class Contents:
    """How to know what is in a file.

    Args:
        bytes_of: Hashes its bytes.
        values_of: Hashes the values of its images, or refuses the file.
    """

    bytes_of: Callable[[Path], str]
    values_of: Callable[[Images], str]


@dataclass
class Versions:
    """What becomes of the files of a series.

    Args:
        kept: The images of one file an instance. A version in conflict stands for the others, so
            that its volume is known to lack it; where they lie at several places, one for each.
        refused: Copies, and what is damaged while another file of the instance is not.
        conflicts: The files of each instance of which nobody knows which is true.
    """

    kept: list[Header] = field(default_factory=list)
    refused: list[Misfit] = field(default_factory=list)
    conflicts: list[list[Images]] = field(default_factory=list)

    def misfits(self) -> Iterator[Misfit]:
        """Yield all that is not kept, and what is kept for others' sake."""
        yield from self.refused
        for files in self.conflicts:
            sentence = (
                f"{len(files)} files carry the UID of this instance and differ in values or "
                f"place: nobody knows which is true; {len(self.conflicts)} instances of its "
                "series are in conflict"
            )
            for images in files:
                yield Misfit(images, RefusedError(Code.CONFLICT, sentence))

    def without_conflicts(self, found: Stack | Misfit) -> Stack | Misfit:
        """Return a volume as it is, or refuse what is left of one that has a slice in conflict."""
        unknown = {images[0].path for files in self.conflicts for images in files}
        lacking = [k for k, header in enumerate(found.headers) if header.path in unknown]
        if not lacking:
            return found
        rest = tuple(header for header in found.headers if header.path not in unknown)
        if isinstance(found, Misfit):
            sentence = (
                f"{len(lacking)} of the {len(found.headers)} images that may be of it are in "
                f"conflict, and with them: {found.refusal.sentence}"
            )
            return Misfit(rest, RefusedError(Code.MISSING_SLICE, sentence))
        along_mm = along_normal(found.headers)
        named = [f"{k + 1} (at {along_mm[k] - along_mm[0]:.4g} mm)" for k in lacking[:MOST_NAMED]]
        sentence = (
            f"{len(lacking)} of its {len(found.headers)} slices are in conflict: slices "
            f"{', '.join(named)}{' and more' if len(lacking) > MOST_NAMED else ''}"
        )
        return Misfit(rest, RefusedError(Code.MISSING_SLICE, sentence))


def digest_of_values(images: Images) -> str:
    """Hash the values of a file's images, decoded and rescaled.

    Raises:
        RefusedError: If one cannot be decoded.
    """
    state = blake3()
    for pixels in read_images(images):
        voxels = values([pixels])
        state.update(f"{voxels.dtype.str} {voxels.shape} ".encode())
        state.update(voxels.T.tobytes())
    return state.hexdigest(length=16)


def versions(headers: Iterable[Header], contents: Contents) -> Versions:
    """Compare the files of each instance; those that name none are compared by bytes alone."""
    found = Versions()
    for files in _instances(headers):
        seen: dict[str, Images] = {}
        for images in files:
            if len(files) > 1:
                seen.setdefault(contents.bytes_of(images[0].path), images)
        originals = list(seen.values()) or files
        paths = {images[0].path for images in originals}
        copies = [images for images in files if images[0].path not in paths]
        if len(originals) > 1 and originals[0][0].sop_uid:
            _compare(originals, copies, contents, found)
            continue
        found.kept += [header for images in originals for header in images]
        found.refused += _refused(copies, SAME_BYTES)
    return found


def _instances(headers: Iterable[Header]) -> list[list[Images]]:
    """Group files by instance; a visit has its own, since some archives repeat UIDs in each."""
    files: dict[Path, list[Header]] = defaultdict(list)
    for header in headers:
        files[header.path].append(header)
    instances: dict[tuple[str, str], list[Images]] = defaultdict(list)
    for images in files.values():
        instances[images[0].study_uid, images[0].sop_uid].append(tuple(images))
    return list(instances.values())


def _compare(
    files: Sequence[Images], copies: Sequence[Images], contents: Contents, found: Versions
) -> None:
    """Settle an instance whose files differ in their bytes, and their copies with them."""
    versions: dict[object, list[Images]] = defaultdict(list)
    damaged: list[Misfit] = []
    for images in files:
        try:
            versions[_place(images), contents.values_of(images)].append(images)
        except RefusedError as refusal:
            damaged.append(Misfit(images, refusal))
    if not versions:  # the first is kept, to take its volume along when it is read
        found.kept += damaged.pop(0).headers
    found.refused += damaged
    if len(versions) > 1:
        known = [images for same in versions.values() for images in same]
        found.conflicts.append([*known, *copies])
        stand_ins = {(_place(images), images[0].contrast): images for images in reversed(known)}
        found.kept += [header for images in stand_ins.values() for header in images]
        return
    found.refused += _refused(copies, SAME_BYTES)
    for first, *others in versions.values():
        found.kept += first
        found.refused += _refused(others, SAME_VALUES)


def _place(images: Images) -> tuple[object, ...]:
    """Return where the images of a file lie, to what a rewritten header keeps."""
    return tuple(
        tuple(
            tuple(round(value, 4) for value in part or ())
            for part in (header.position_mm, header.orientation, header.pixel_spacing_mm)
        )
        for header in images
    )


def _refused(files: Iterable[Images], sentence: str) -> list[Misfit]:
    return [Misfit(images, RefusedError(Code.DUPLICATE_FILE, sentence)) for images in files]
