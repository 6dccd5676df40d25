"""A volume in memory: voxels and where they are in the patient."""

import hashlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import Shaped

from medssl.errors import DataError
from medssl.geometry import Affine


@dataclass(frozen=True)
class Volume:
    """Voxels in (channel, i, j, k) order with their affine to RAS+ millimeters."""

    voxels: Shaped[np.ndarray, "channel i j k"]
    affine: Affine

    def __post_init__(self) -> None:
        if not np.isfinite(np.linalg.det(self.affine)) or np.linalg.det(self.affine) == 0:
            msg = f"affine must be invertible, got {self.affine.tolist()}"
            raise DataError(msg)


def digest(volume: Volume) -> str:
    """Return a hash of number type, shape, voxels and affine: equal for copies under any name.

    The affine counts to 1e-4 mm.
    """
    voxels = volume.voxels.astype(volume.voxels.dtype.newbyteorder("<"), copy=False)
    affine = np.round(volume.affine, 4) + 0.0  # -0.0 becomes 0.0
    state = hashlib.blake2b(digest_size=16)
    state.update(f"{voxels.dtype.str} {voxels.shape}".encode())
    state.update(np.ascontiguousarray(voxels).data)
    state.update(affine.astype("<f8").tobytes())
    return state.hexdigest()
