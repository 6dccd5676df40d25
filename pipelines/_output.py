"""Whether a stage can write where its config says, and what to say if not."""

import os
from collections.abc import Mapping
from pathlib import Path

from medssl.data.mirror import resolve
from medssl.errors import ConfigError

NEXT = "name another folder as output, or have its owner allow it"


def check_output(output: Path) -> None:
    """Refuse an output that cannot be a folder, or not one of ours, before any work is done.

    Raises:
        ConfigError: Naming the output as the config does, and what is in its way.
    """
    # An absent folder is made in the innermost of its parents that is there.
    there = next(place for place in (output, *output.parents) if _is_there(place))
    where = "it" if there == output else str(there)
    if not there.is_dir():
        msg = (
            f"output: expected a folder or a place for one, got {output}: {where} is a file; "
            "name another one"
        )
        raise ConfigError(msg)
    if not os.access(there, os.W_OK | os.X_OK):
        msg = (
            f"output: expected a folder to write to, got {output}: {where} may not be written to; "
            f"{NEXT}"
        )
        raise ConfigError(msg)


def check_outside(output: Path, sources: Mapping[str, str]) -> None:
    """Refuse an output that lies in what is read: the next run would take it for a part of that.

    Args:
        output: Where a stage writes.
        sources: What is read, by the key that names it.

    Raises:
        ConfigError: Naming the key; a source's path may name a patient.
    """
    for key, source in sources.items():
        if output.resolve().is_relative_to(resolve(source).resolve()):
            msg = (
                f"output: expected a folder outside of {key}, whose files the next run would find "
                "its own among; choose another"
            )
            raise ConfigError(msg)


def unwritable(error: OSError, output: Path) -> str | None:
    """Return what to say of an error that came of writing the output; none if of something else.

    Paths below an output name nobody, those of an archive may.
    """
    if not isinstance(error.filename, str | bytes | Path):
        return None
    path = Path(os.fsdecode(error.filename)).absolute()
    if not path.is_relative_to(output.absolute()):
        return None
    place = output / path.relative_to(output.absolute())
    return f"output: expected to write {place}, got {error.strerror!r}; make way there, or {NEXT}"


def _is_there(place: Path) -> bool:
    try:
        return place.exists()
    except OSError:  # in a folder that may not be entered, which is what there is to say
        return False
