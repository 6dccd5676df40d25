"""The network's libraries at work: their log lines and warnings spell out what identifies."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from medssl.data.dicom.quiet import quietly

LOGGERS = ("pynetdicom", "dicomweb_client", "urllib3")


@contextmanager
def quiet_network() -> Iterator[None]:
    """Keep pynetdicom, dicomweb-client, urllib3 and pydicom from printing; errors are raised."""
    with ExitStack() as undo:
        for logger in map(logging.getLogger, LOGGERS):
            undo.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.CRITICAL + 1)
        undo.enter_context(quietly())
        yield
