"""What is known of a volume once its voxels were read, for its case and for the next run.

Of a DICOM series they mostly were when its files were looked at: the volume's digest is made of
those of its slices, and three slices are read again to look for text. Where that does not do
(frames of a file, slices that are resampled, or of several number types) all are.
"""

import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from medssl.data.archive.burned_in import has_text, looked_at
from medssl.data.archive.ledger import Ledger
from medssl.data.archive.units import Unit
from medssl.data.dicom.header import Header
from medssl.data.dicom.images import read_values
from medssl.data.dicom.stack import Stack
from medssl.data.verdicts import Code, RefusedError
from medssl.data.volume import Volume, digest, digest_of

_BYTES_A_VOXEL = 16  # at the peak of reading: stored, decoded, rescaled and hashed


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What is known of a volume once its voxels were read.

    Args:
        digest: Of voxels and geometry.
        shape: Along the axes of its file.
        affine: To RAS+ mm, row by row.
        bytes: Of its voxels in memory.
        nonfinite: How many voxels are NaN or infinite.
        has_text: Whether a slice seems written on.
    """

    digest: str
    shape: tuple[int, ...]
    affine: tuple[float, ...]
    bytes: int
    nonfinite: int
    has_text: bool


@dataclass(frozen=True)
class Misread:
    """Why the voxels of a unit cannot be had."""

    code: Code
    sentence: str
    path: Path | None

    def refusal(self) -> RefusedError:
        """Return it as an error."""
        return RefusedError(self.code, self.sentence, self.path)


@dataclass(frozen=True)
class Glance:
    """What is left to do of a volume whose slices were seen: to look for text on a few.

    Args:
        planes: Those slices.
        known: All else; that there is text is not yet known.
    """

    planes: tuple[Header, ...]
    known: Measured

    def __call__(self) -> Measured:
        """Return what is known once they were looked at."""
        planes = (read_values([header]) for header in self.planes)
        return replace(self.known, has_text=any(map(has_text, planes)))


def unseen(unit: Unit) -> Unit | Glance:
    """Return what of a unit is to be read, which is little of one whose slices were seen."""
    return _glance(unit.stack) if unit.stack is not None and is_seen(unit) else unit


def measure_unit(rest: Unit | Glance) -> Measured | Misread:
    """Read what is to be read of a unit, and return what is known then."""
    try:
        return rest() if isinstance(rest, Glance) else measure(rest.read())
    except RefusedError as refusal:
        return Misread(refusal.code, refusal.sentence, refusal.path)


def remember(unit: Unit, found: Measured | Misread, ledger: Ledger) -> None:
    """Keep what was found for the next run, but for what may have been of the moment."""
    if isinstance(found, Measured):
        ledger.looks.remember(unit.key, asdict(found))
    elif found.code is not Code.UNREADABLE:
        paths = [file.path for file in unit.files]
        culprit = None if found.path is None else paths.index(found.path)
        misread = {"code": found.code, "sentence": found.sentence, "culprit": culprit}
        ledger.looks.remember(unit.key, misread)


def recall(unit: Unit, ledger: Ledger) -> Measured | Misread | None:
    """Return what an earlier run found in the files of a unit, if they are what they were."""
    kept = ledger.looks.recall(unit.key)
    if kept is None:
        return None
    if "code" in kept:
        culprit = kept["culprit"]
        path = None if culprit is None else unit.files[culprit].path
        return Misread(Code(kept["code"]), kept["sentence"], path)
    return Measured(**{**kept, "shape": tuple(kept["shape"]), "affine": tuple(kept["affine"])})


def measure(volume: Volume) -> Measured:
    """Return what is known of a volume."""
    voxels = volume.voxels
    is_float = voxels.dtype.kind == "f"
    return Measured(
        digest=digest(volume),
        shape=voxels.shape[1:],
        affine=tuple(volume.affine.ravel().tolist()),
        bytes=int(voxels.nbytes),
        nonfinite=voxels.size - int(np.isfinite(voxels).sum()) if is_float else 0,
        has_text=has_text(voxels),
    )


def cost_bytes(unit: Unit) -> int:
    """Return what measuring a unit takes at its peak, from the header."""
    num_slices = len(unit.stack.headers) if unit.stack else 1
    share = min(1.0, 3 / num_slices) if is_seen(unit) else 1.0
    return int(_BYTES_A_VOXEL * unit.num_voxels * share)


def is_seen(unit: Unit) -> bool:
    """Say whether its digest follows from what was seen in its files."""
    if unit.stack is None or unit.stack.regrid is not None:
        return False
    return len(
        {header.content and header.content.dtype for header in unit.stack.headers}
    ) == 1 and (unit.stack.headers[0].content is not None)


def _glance(stack: Stack) -> Glance:
    contents = [header.content for header in stack.headers if header.content is not None]
    first = stack.headers[0]
    dtype, shape = np.dtype(contents[0].dtype), (first.columns, first.rows, len(contents))
    slices = (bytes.fromhex(content.digest) for content in contents)
    known = Measured(
        digest=digest_of(slices, dtype, (1, *shape), stack.affine),
        shape=shape,
        affine=tuple(stack.affine.ravel().tolist()),
        bytes=math.prod(shape) * dtype.itemsize,
        nonfinite=0,  # what a slice is rescaled by keeps it within float32
        has_text=False,
    )
    return Glance(tuple(stack.headers[place] for place in looked_at(shape)), known)
