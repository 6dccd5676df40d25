"""Loops that have to be loops, compiled when they are first called and kept on the disk."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
from numba.core import types
from numba.extending import intrinsic

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile a function of numbers and arrays; it lets other threads run while it does."""
    # Tests wrap functions to check shapes, which a compiler cannot see through.
    kernel = numba.njit(cache=True, nogil=True, boundscheck=False)(inspect.unwrap(function))
    return cast(F, kernel)


def _popcount(_context: Any, number: Any) -> Any:
    """Have the processor's own instruction count the ones of a word of 64 bits."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return types.uint64(types.uint64), generate


popcount: Callable[[Any], Any] = intrinsic(inspect.unwrap(_popcount))
