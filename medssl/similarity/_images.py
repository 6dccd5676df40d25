"""Rows that are small images: squares of 256 greys, one or several side by side."""

import numpy as np
from jaxtyping import Shaped, UInt8

from medssl.errors import DataError
from medssl.similarity import SIDE_PX


def images(values: Shaped[np.ndarray, "row dim"]) -> UInt8[np.ndarray, "row image b a"]:
    """Return rows as the images that they hold.

    Raises:
        DataError: If they are anything else.
    """
    if values.dtype != np.uint8 or values.shape[1] % SIDE_PX**2:
        msg = (
            f"expected images of {SIDE_PX} x {SIDE_PX} pixels in uint8, got {values.shape[1]} "
            f"numbers a row in {values.dtype}; describe with thumbnails"
        )
        raise DataError(msg)
    return values.reshape(len(values), -1, SIDE_PX, SIDE_PX)
