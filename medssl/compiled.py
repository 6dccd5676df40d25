"""Loops that have to be loops, compiled when they are first called and kept on the disk."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile a function of numbers and arrays; it lets other threads run while it does."""
    # Tests wrap functions to check shapes, which a compiler cannot see through.
    kernel = numba.njit(cache=True, nogil=True, boundscheck=False)(inspect.unwrap(function))
    return cast(F, kernel)
