"""Layouts of sources: from a config to what reads their files, and back from an index's folder."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medssl.config.component import build, described, recall
from medssl.config.stages.index import Root
from medssl.data.layouts import Layout
from medssl.data.source import Source
from medssl.errors import DataError
from pipelines._files import write_json

FAMILY = "medssl.data.layouts"
NAME = "layouts.json"


def layouts_in(sources: Sequence[Root]) -> dict[int, Layout]:
    """Return the layouts by the number of their source."""
    return {n: build(root.layout) for n, root in enumerate(sources) if root.layout is not None}


def write_layouts(sources: Sequence[Root], output: Path) -> None:
    """Write down how the files of an index are read, for the stages that read them again."""
    named = {str(n): root.layout for n, root in enumerate(sources) if root.layout is not None}
    if named:
        write_json({n: described(layout) for n, layout in named.items()}, output / NAME)
    else:
        (output / NAME).unlink(missing_ok=True)


def source_of(index: Path) -> Source:
    """Return what reads the images of an index.

    Raises:
        DataError: If its layouts cannot be read.
    """
    path = index / NAME
    if not path.is_file():
        return Source(index)
    try:
        named: Mapping[str, Any] = json.loads(path.read_text())
    except ValueError as error:
        msg = f"{path}: expected what `medssl index` wrote, got {error}; index the archive again"
        raise DataError(msg) from error
    return Source(index, {n: build(recall(FAMILY, layout)) for n, layout in named.items()})
