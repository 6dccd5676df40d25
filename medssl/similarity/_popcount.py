"""How many bits of a word are set, by the processor's own instruction."""

import inspect
from collections.abc import Callable
from typing import Any

from numba.core import types
from numba.extending import intrinsic


def _popcount(_context: Any, number: Any) -> Any:
    """Have the processor's own instruction count the ones of a word of 64 bits."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return types.uint64(types.uint64), generate


popcount: Callable[[Any], Any] = intrinsic(inspect.unwrap(_popcount))
