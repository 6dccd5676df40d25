"""Reading what `index` found, with errors that name the case and never a path."""

from collections.abc import Iterator
from contextlib import contextmanager

from medssl.data.manifest import Case
from medssl.data.verdicts import RefusedError
from medssl.errors import DataError


@contextmanager
def reading(case: Case, what: str) -> Iterator[None]:
    """Say of which case the image or the label is not there as it was, and what to do.

    Of the archive's paths nothing is said: they may name a patient.
    """
    try:
        yield
    except (DataError, OSError) as error:
        reason = (
            error if isinstance(error, RefusedError) else type(error.__cause__ or error).__name__
        )
        msg = (
            f"case {case.case_id}: expected its {what} ({case_uri(case, what)}) to be read as when "
            f"it was indexed, got {reason}; private/files.parquet of the index knows its file; "
            "run `medssl index` again if the archive changed"
        )
        raise DataError(msg) from error


def case_uri(case: Case, what: str) -> str | None:
    """Return the private id of a case's image or label."""
    return case.image_uri if what == "image" else case.label_uri
