"""Prepared volumes on disk: read a crop, decode only the blocks that it touches.

A file is named by its key, which is a hash of everything that its content is a function of:
the source's digest, the contract it was prepared by, and this code. So a file that is there
under its key need not be made again, and copies of an image share one.

The format is blosc2's `.b2nd`: voxels in (channel, i, j, k) order as they were prepared, in
compressed blocks, and as JSON in its metadata where they are, where they came from and how
intensities are mapped on reading.
"""

import errno
import json
import os
import shutil
from dataclasses import asdict, astuple, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
from jaxtyping import Float32, Shaped

from medssl.data.chunks import chunks
from medssl.data.preprocessing import Intensity, Preprocessing
from medssl.data.volume import Volume, in_order
from medssl.errors import DataError
from medssl.geometry import Affine

FORMAT = "medssl.cache 1"
# Raise it when the same source and contract come out of `prepare` as other voxels than before.
CODE_VERSION = 1

# A block is what a crop or a slice decodes, 16 KiB of int16; thin along S, where slices are cut.
# Measured on CT of 256 x 252 x 246 in int16: crops of 32, 64 and 128 voxels a side in 0.3, 0.7
# and 4.5 ms, a slice in 0.9 ms (2.3 ms with cubes of 32), in 45 % of the bytes.
_BLOCK = (32, 32, 8)
_CHUNK = (128, 128, 128)
_META = "medssl"
# Other threads go on while one compresses; a `Cached` is therefore one thread's at a time.
blosc2.set_releasegil(True)
_AGAIN = "delete it and run `medssl cache` again"


@dataclass(frozen=True)
class Cached:
    """An open cached volume, for one thread; voxels stay on disk until they are read.

    Args:
        path: The file.
        key: What its content is a function of, hashed.
        voxels: The compressed array, (channel, i, j, k).
        affine: Of the cached voxels, to RAS+ mm.
        source_affine: Of the image that it was made from, as that was stored.
        source_shape: Of the image that it was made from.
        intensity: How `read` maps voxels; none for labels.
    """

    path: Path
    key: str
    voxels: blosc2.NDArray
    affine: Affine
    source_affine: Affine
    source_shape: tuple[int, int, int]
    intensity: Intensity | None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along R, A and S."""
        _, i, j, k = self.voxels.shape
        return i, j, k

    def read(self, *box: slice) -> Float32[np.ndarray, "channel i j k"]:
        """Return the voxels of a box, all of it where no slices are given, normalized."""
        if self.intensity is None:
            msg = f"{self.path} is a label and has no intensities: read it with raw()"
            raise ValueError(msg)
        return self.intensity(self.raw(*box))

    def raw(self, *box: slice) -> Shaped[np.ndarray, "channel i j k"]:
        """Return the voxels of a box as they are stored.

        Raises:
            DataError: If the file is damaged there.
        """
        try:
            return self.voxels[(slice(None), *box)]
        except RuntimeError as error:
            msg = f"{self.path}: expected a whole cached volume, cannot decode {box}; {_AGAIN}"
            raise DataError(msg) from error

    def grid(self) -> Volume:
        """Return the place of the voxels without the voxels, to bring a label to."""
        return Volume(np.broadcast_to(np.uint8(0), (1, *self.shape)), self.affine)


def image_key(digest: str, modality: str | None, contract: Preprocessing) -> str:
    """Return the key of an image; its modality decides how its intensities are mapped."""
    return _key("image", digest, modality, asdict(contract))


def label_key(label: Volume, image: str) -> str:
    """Return the key of a label on the grid of the image of that key.

    A manifest holds no digest of labels, so that of the voxels is taken: a corrected label has
    another key.
    """
    content = blake2b(in_order(label.voxels).data, digest_size=16)
    content.update(repr((label.voxels.dtype.str, label.voxels.shape)).encode())
    content.update(np.ascontiguousarray(label.affine).data)
    return _key("label", content.hexdigest(), image)


def write_cached(
    path: Path,
    volume: Volume,
    *,
    intensity: Intensity | None,
    source_affine: Affine,
    source_shape: tuple[int, ...],
    key: str,
) -> None:
    """Write a prepared volume; the file appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    temporary.unlink(missing_ok=True)
    meta = {
        "format": FORMAT,
        "key": key,
        "affine": volume.affine.tolist(),
        "source_affine": source_affine.tolist(),
        "source_shape": [int(size) for size in source_shape],
        "intensity": None if intensity is None else astuple(intensity),
    }
    try:
        _write(temporary, volume.voxels, meta)
    except RuntimeError as error:  # blosc2 does not say why
        if shutil.disk_usage(path.parent).free < volume.voxels.nbytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path.parent)) from error
        raise
    temporary.replace(path)


def _write(path: Path, voxels: Shaped[np.ndarray, "channel i j k"], meta: dict[str, Any]) -> None:
    i, j, k = map(min, _CHUNK, voxels.shape[1:])
    block = (min(_BLOCK[0], i), min(_BLOCK[1], j), min(_BLOCK[2], k))
    stored = blosc2.empty(
        voxels.shape,
        voxels.dtype,
        chunks=(1, i, j, k),
        blocks=(1, *block),
        cparams=blosc2.CParams(
            codec=blosc2.Codec.LZ4, clevel=1, filters=[blosc2.Filter.BITSHUFFLE], nthreads=1
        ),
        urlpath=str(path),
        mode="w",
    )
    for number, chunk in enumerate(chunks(voxels, (i, j, k), block)):
        stored.schunk.update_data(number, chunk, copy=False)
    stored.schunk.vlmeta[_META] = json.dumps(meta)


def open_cached(path: Path) -> Cached:
    """Open a cached volume without reading its voxels.

    Raises:
        DataError: If there is none, or it is truncated, of another kind or of another format.
    """
    if not path.is_file():
        msg = f"{path}: expected a cached volume, there is no such file; run `medssl cache` again"
        raise DataError(msg)
    try:
        # One thread: loaders run a process each, and a pool of threads does not survive a fork.
        voxels = blosc2.open(str(path), mode="r", dparams=blosc2.DParams(nthreads=1))
        meta: dict[str, Any] = json.loads(voxels.schunk.vlmeta[_META])
    except (RuntimeError, KeyError, AttributeError, ValueError) as error:
        msg = f"{path}: expected a cached volume, this is truncated or something else; {_AGAIN}"
        raise DataError(msg) from error
    if meta.get("format") != FORMAT:
        msg = f"{path}: expected the format {FORMAT!r}, got {meta.get('format')!r}; {_AGAIN}"
        raise DataError(msg)
    i, j, k = meta["source_shape"]
    return Cached(
        path=path,
        key=meta["key"],
        voxels=voxels,
        affine=np.array(meta["affine"]),
        source_affine=np.array(meta["source_affine"]),
        source_shape=(i, j, k),
        intensity=None if meta["intensity"] is None else Intensity(*meta["intensity"]),
    )


def holds(path: Path, key: str) -> bool:
    """Return whether the file is a whole cached volume of that key."""
    try:
        return open_cached(path).key == key
    except DataError:
        return False


def _key(*parts: object) -> str:
    text = json.dumps([FORMAT, CODE_VERSION, *parts], sort_keys=True)
    return blake2b(text.encode(), digest_size=16).hexdigest()
