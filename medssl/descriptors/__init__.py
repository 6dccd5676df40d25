"""What row of numbers stands for a case or for a slice of it.

A descriptor maps normalized voxels to a row that selectors compare: words of a hash in
`uint64`, a vector in `float32`, a small image in `uint8`, or what the image amounts to. It sees
one case at a time and knows no manifest. Slices are those along the third axis, which of a cached
volume is the one from foot to head.
"""

from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Shaped

from medssl.similarity import Kind


@runtime_checkable
class Descriptor(Protocol):
    """Describes volumes as a whole and slice by slice.

    Attributes:
        kind: What it gives: a `hash` is compared by its bits, a `vector` by distance or angle, an
            `image` by what it shows; `content` is the entropy in bits and the share of foreground.
        learned: Whether it is built around a trained encoder, its one positional argument.
        columns: The names of its numbers, where each means something by itself.
    """

    kind: ClassVar[Kind]
    learned: ClassVar[bool]
    columns: ClassVar[tuple[str, ...]]

    def volume(self, voxels: Float32[np.ndarray, "channel i j k"]) -> Shaped[np.ndarray, "dim"]:
        """Return the row of a whole volume."""
        ...

    def slices(
        self, voxels: Float32[np.ndarray, "channel i j k"]
    ) -> Shaped[np.ndarray, "slice dim"]:
        """Return a row a slice; that of a slice depends on no other."""
        ...
