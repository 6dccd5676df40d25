"""A volume cut into the chunks of a `.b2nd` file, each block by block as the file holds it.

blosc2 takes arrays in C order and copies each voxel twice more to bring it there. Volumes come in
the order of their slices, and most are turned: here a voxel goes from its slice to its block at
once, in half of the time.

Source: the b2nd format, https://www.blosc.org/c-blosc2/c-blosc2.html (chunks of whole blocks, in
C order, each padded by zeros to whole blocks).
"""

from collections.abc import Iterator
from itertools import cycle, product

import numpy as np
from jaxtyping import Shaped

Shape = tuple[int, int, int]


def chunks(
    voxels: Shaped[np.ndarray, "channel i j k"], chunk: Shape, block: Shape
) -> Iterator[Shaped[np.ndarray, " voxel"]]:
    """Yield each chunk, a channel after the other; the next but one is written over it.

    Args:
        voxels: In any memory order.
        chunk: Voxels along each axis of a chunk.
        block: Voxels along each axis of a block.
    """
    size = [-(-c // b) for c, b in zip(chunk, block, strict=True)] + [*block]
    rooms = cycle([np.zeros(size, voxels.dtype), np.zeros(size, voxels.dtype)])
    starts = [range(0, size, step) for size, step in zip(voxels.shape[1:], chunk, strict=True)]
    for channel in voxels:
        for start in product(*starts):
            part = channel[tuple(slice(s, s + c) for s, c in zip(start, chunk, strict=True))]
            room = next(rooms)
            if part.shape != chunk:
                room[...] = 0
            _fill(room, part)
            yield room.reshape(-1)


def _fill(room: Shaped[np.ndarray, "a b c i j k"], part: Shaped[np.ndarray, "x y z"]) -> None:
    """Bring the voxels of a chunk to their blocks, plane by plane as they lie in memory."""
    along = int(np.argmax(np.abs(part.strides)))
    planes = np.moveaxis(part, along, 0)
    # Of the blocks: which one along, then place in it, then the two other axes in the same way.
    first, second = (axis for axis in range(3) if axis != along)
    blocks = room.transpose(along, 3 + along, first, 3 + first, second, 3 + second)
    size = blocks.shape[2:]
    padded = np.zeros((size[0] * size[1], size[2] * size[3]), room.dtype)
    rows, columns = planes.shape[1:]
    is_whole = padded.shape == (rows, columns)
    for number, plane in enumerate(planes):
        if not is_whole:
            padded[:rows, :columns] = plane
        blocks[divmod(number, blocks.shape[1])] = (plane if is_whole else padded).reshape(size)
