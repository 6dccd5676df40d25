"""A key that a config may hold is a key that its pipeline reads."""

import ast
import dataclasses
import typing
from pathlib import Path

import pytest

from medssl.config.schema import schema, stages


def leaves(config_class):
    hints = typing.get_type_hints(config_class)
    for field in dataclasses.fields(config_class):
        yield field.name
        for inner in parts(hints[field.name]):
            yield from leaves(inner)


def parts(hint):
    """Yield the schema dataclasses that an annotation holds; components say their keys apart."""
    if dataclasses.is_dataclass(hint) and hint.__module__.startswith("medssl.config.stages"):
        yield hint
    for inner in typing.get_args(hint):
        yield from parts(inner)


def attributes(path, seen):
    """Return the attributes read in a pipeline and in the pipelines that it imports."""
    seen.add(path)
    tree = ast.parse(path.read_text())
    read = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pipelines"):
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            for name in names:
                inner = Path(name.replace(".", "/")).with_suffix(".py")
                if inner.is_file() and inner not in seen:
                    read |= attributes(inner, seen)
    return read


@pytest.mark.parametrize("stage", stages())
def test_every_key_is_read(stage):
    read = attributes(Path(f"pipelines/{stage}.py"), set())
    assert set(leaves(schema(stage))) - read == set()
