"""Volumes as NIfTI files for people's viewers: in the axes and the affine of their images."""

from pathlib import Path
from typing import Any, cast

import nibabel
import numpy as np
from jaxtyping import Shaped

from medssl.geometry import Affine

DESCRIPTION_BYTES = 79  # NIfTI's field has 80, the last of which ends it


def write_volume(
    voxels: Shaped[np.ndarray, "i j k"], affine: Affine, path: Path, *, description: str
) -> None:
    """Write a volume, whole or not at all.

    Args:
        voxels: In the axes of its image.
        affine: Of its image, to RAS+ mm.
        path: Ends with `.nii.gz`.
        description: What the numbers are, cut off where the format has no more room.
    """
    written: Any = cast(Any, nibabel).Nifti1Image(voxels, affine)
    written.set_sform(affine, code="scanner")
    written.set_qform(affine, code="scanner")
    written.header.set_xyzt_units("mm")
    written.header["descrip"] = description.encode("ascii", "replace")[:DESCRIPTION_BYTES]
    temporary = path.with_name(f".part.{path.name}")
    nibabel.save(written, temporary)
    temporary.replace(path)
