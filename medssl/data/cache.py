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
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, astuple, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
from jaxtyping import Float32, Shaped

from medssl.data.chunks import chunks
from medssl.data.preprocessing import Intensity, Preprocessing
from medssl.data.seal import AGAIN, Seal, checksum, read_seal, seal, touched
from medssl.data.volume import Volume, in_order
from medssl.errors import DataError
from medssl.geometry import Affine

FORMAT = "medssl.cache 2"
# Raise it when the same source and contract come out of `prepare` as other voxels than before.
CODE_VERSION = 1

# A block is what a crop or a slice decodes, 16 KiB of int16; thin along S, where slices are cut.
# One shape for all crops: on CT of 512 x 512 x 200 in int16 (medians in ms, disk as a share of
# the array, in chunks of 64; slices across R, A and S) others win at most a sixth of the time and
# lose slices across S or bytes. So crops are no part of the contract, and a cache serves all.
#     block        disk  crop 16  32    64    96   slices
#     8, 8, 8      0.69  0.15   0.31  1.28  3.7   7.3, 7.5, 13.4
#     16, 16, 16   0.67  0.06   0.16  0.75  1.8   1.6, 1.7, 8.8
#     32, 32, 8    0.63  0.07   0.19  0.76  1.9   2.6, 4.8, 2.8
#     32, 32, 16   0.66  0.07   0.19  0.73  1.8   3.2, 3.0, 4.0
#     64, 64, 8    0.63  0.13   0.29  1.16  2.6   4.5, 8.6, 2.4
# Chunks of 64 to 256 voxels a side gave the same crops, 512 slower ones (2.8 ms for 96); a chunk
# is what is checked before it is first read from.
_BLOCK = (32, 32, 8)
_CHUNK = (128, 128, 128)
_META = "medssl"
# Other threads go on while one compresses; a `Cached` is therefore one thread's at a time.
blosc2.set_releasegil(True)


@dataclass(frozen=True)
class Cached:
    """An open cached volume, for one thread; voxels stay on disk until they are read.

    Args:
        path: The file.
        key: What its content is a function of, hashed.
        voxels: The compressed array, (channel, i, j, k).
        seal: What its chunks are checked by.
        affine: Of the cached voxels, to RAS+ mm.
        source_affine: Of the image that it was made from, as that was stored.
        source_shape: Of the image that it was made from.
        intensity: How `read` maps voxels; none for labels.
    """

    path: Path
    key: str
    voxels: blosc2.NDArray
    seal: Seal
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
        """Return the voxels of a box as they are stored; chunks are checked once a process.

        Raises:
            DataError: If the file is damaged there.
        """
        missing = self.voxels.ndim - 1 - len(box)
        places = (slice(None), *box, *(slice(None),) * missing)
        self.seal.check(self.voxels.schunk, touched(self.voxels.shape, self.voxels.chunks, places))
        try:
            return self.voxels[places]
        except RuntimeError as error:
            msg = f"{self.path}: expected a whole cached volume, cannot decode {box}; {AGAIN}"
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
    """Write a prepared volume; the file appears whole or not at all.

    Args:
        path: Named after the key, or the file is refused when it is opened.
        volume: Its voxels are kept in their number type.
        intensity: How they are mapped on reading; none for labels.
        source_affine: Of the image as it was acquired.
        source_shape: Of the image as it was acquired.
        key: What the content is a function of.
    """
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
    # One chunk is compressed while the next is cut; both let other threads go on.
    done: list[Future[int]] = []
    with ThreadPoolExecutor(1) as compressor:
        for number, chunk in enumerate(chunks(voxels, (i, j, k), block)):
            if done:
                done[-1].result()
            done.append(compressor.submit(_compress, stored.schunk, number, chunk))
    stored.schunk.vlmeta[_META] = json.dumps(meta)
    seal(path, stored.schunk, [chunk.result() for chunk in done])


def _compress(schunk: blosc2.SChunk, number: int, chunk: Shaped[np.ndarray, " voxel"]) -> int:
    """Compress a chunk into the file, and return the checksum of what lies there."""
    schunk.update_data(number, chunk, copy=False)
    return checksum(schunk, number)


def open_cached(path: Path) -> Cached:
    """Open a cached volume without reading its voxels.

    Raises:
        DataError: If there is none, or it is damaged, truncated, continued, of another kind or of
            another format, or named otherwise than it was written.
    """
    if not path.is_file():
        msg = f"{path}: expected a cached volume, there is no such file; run `medssl cache` again"
        raise DataError(msg)
    sealed = read_seal(path)
    # One thread: loaders run a process each, and a pool of threads does not survive a fork.
    try:
        voxels = blosc2.open(str(path), mode="r", dparams=blosc2.DParams(nthreads=1))
    except RuntimeError as error:  # it looks at the first chunk, which was not checked yet
        msg = f"{path}: expected a whole cached volume, the first chunk is damaged; {AGAIN}"
        raise DataError(msg) from error
    meta: dict[str, Any] = json.loads(voxels.schunk.vlmeta[_META])
    if meta["format"] != FORMAT:
        msg = f"{path}: expected the format {FORMAT!r}, got {meta['format']!r}; {AGAIN}"
        raise DataError(msg)
    if meta["key"] != path.stem:
        msg = f"{path}: expected the volume of that name, this is that of {meta['key']}; {AGAIN}"
        raise DataError(msg)
    i, j, k = meta["source_shape"]
    return Cached(
        path=path,
        key=meta["key"],
        voxels=voxels,
        seal=sealed,
        affine=np.array(meta["affine"]),
        source_affine=np.array(meta["source_affine"]),
        source_shape=(i, j, k),
        intensity=None if meta["intensity"] is None else Intensity(*meta["intensity"]),
    )


def holds(path: Path) -> bool:
    """Return whether a volume is there and whole, after reading all of it."""
    try:
        cached = open_cached(path)
        cached.seal.check(cached.voxels.schunk, range(cached.voxels.schunk.nchunks))
    except DataError:
        return False
    return True


def _key(*parts: object) -> str:
    text = json.dumps([FORMAT, CODE_VERSION, *parts], sort_keys=True)
    return blake2b(text.encode(), digest_size=16).hexdigest()
