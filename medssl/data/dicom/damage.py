"""From what reading a DICOM header raises to a verdict."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from pydicom.errors import InvalidDicomError

from medssl.data.dicom.quiet import DAMAGE
from medssl.data.verdicts import Code, RefusedError


@contextmanager
def refusing_damage() -> Iterator[None]:
    """Turn what reading a header raises, of one that is none, into a refusal."""
    try:
        yield
    except FileNotFoundError as error:
        raise RefusedError(Code.UNREADABLE, "there is no such file") from error
    except PermissionError as error:
        raise RefusedError(Code.UNREADABLE, "reading it is not permitted") from error
    except InvalidDicomError as error:
        raise RefusedError(
            Code.NOT_AN_IMAGE, "no DICOM file, and its name says no other format"
        ) from error
    except EOFError as error:
        raise RefusedError(Code.TRUNCATED, "the DICOM header ends early") from error
    except zlib.error as error:
        raise RefusedError(Code.TRUNCATED, "the deflated DICOM file ends early") from error
    except RefusedError:
        raise
    except DAMAGE as error:
        sentence = f"the DICOM header cannot be read ({type(error).__name__})"
        raise RefusedError(Code.UNREADABLE, sentence) from error
