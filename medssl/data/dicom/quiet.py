"""pydicom on files that are damaged or break the standard: its errors, its warnings, its log."""

import logging
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import pydicom
from pydicom.errors import BytesLengthException, InvalidDicomError

# What pydicom raises on a file that is damaged; there is no common base.
DAMAGE = (
    OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError,
    RuntimeError, struct.error, zlib.error, InvalidDicomError, BytesLengthException,
)  # fmt: skip


class _Quiet:
    """Counts who wants quiet, in all threads: the first one in and the last one out switch."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.depth = 0
        self.undo = ExitStack()

    def enter(self) -> None:
        with self.lock:
            self.depth += 1
            if self.depth > 1:
                return
            settings, logger = pydicom.config.settings, logging.getLogger("pydicom")
            restore = partial(setattr, settings, "reading_validation_mode")
            self.undo.callback(restore, settings.reading_validation_mode)
            self.undo.callback(logger.setLevel, logger.level)
            self.undo.enter_context(warnings.catch_warnings())
            settings.reading_validation_mode = pydicom.config.IGNORE
            logger.setLevel(logging.CRITICAL)
            warnings.filterwarnings("ignore", module=r"pydicom(\.|$)")

    def leave(self) -> None:
        with self.lock:
            self.depth -= 1
            if self.depth == 0:
                self.undo.close()


_QUIET = _Quiet()


@contextmanager
def quietly() -> Iterator[None]:
    """Let pydicom pass over values that break the standard: an archive is full of them.

    Its warnings and log lines would also spell out what identifies.
    """
    _QUIET.enter()
    try:
        yield
    finally:
        _QUIET.leave()
