"""From a YAML file to a schema's dataclass, and back."""

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

import yaml
from pydantic import TypeAdapter, ValidationError

from medssl.errors import ConfigError

Schema = TypeVar("Schema")
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # a tenth of the time, where it is there


def load(schema: type[Schema], path: Path | None, overrides: Sequence[str] = ()) -> Schema:
    """Read a config file, lay it over its `base:`, apply `key.key=value` overrides, check it.

    Without a file everything is at its default.

    Raises:
        ConfigError: With one line for each thing that is wrong.
    """
    return resolve(schema, path, [_override(text) for text in overrides])


def resolve(
    schema: type[Schema], path: Path | None, overlays: Sequence[Mapping[str, Any]]
) -> Schema:
    """Read a config file and lay trees over it, each over those before it, and check the result.

    Keys of a tree may be dotted.

    Raises:
        ConfigError: With one line for each thing that is wrong.
    """
    tree = {} if path is None else _with_base(path)
    for overlay in overlays:
        for key, value in overlay.items():
            tree = _merge(tree, _nest(key.split("."), value))
    try:
        return _adapter(schema).validate_python(tree)
    except ValidationError as error:
        lines = _lines(error, tree, _keys(schema))
        head = f"{path or 'what was given'} is no {schema.__name__.lower()} config:"
        msg = f"{head} {lines[0]}" if len(lines) == 1 else "\n  ".join([head, *lines])
        raise ConfigError(msg) from None


def dump(config: Any) -> str:
    """Return the YAML text that `load` turns into this very config."""
    tree = _adapter(type(config)).dump_python(config, mode="json")
    text: str = yaml.dump(tree, Dumper=_DUMPER, sort_keys=False)
    return text


def _adapter(schema: Any) -> Any:
    """Return what checks and writes configs of a schema."""
    return _made(schema)


@cache  # making one takes pydantic 10 ms
def _made(schema: Any) -> Any:
    return TypeAdapter(schema)


def _override(text: str) -> dict[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        msg = f"--set takes KEY=VALUE, got {text!r}"
        raise ConfigError(msg)
    try:
        return {key: yaml.safe_load(value)}
    except yaml.YAMLError as error:
        msg = f"--set {key}: expected a value in YAML, got {value!r}: {error}"
        raise ConfigError(" ".join(msg.split())) from error


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        known = sorted(str(other) for other in path.parent.glob("*.yaml"))
        close = difflib.get_close_matches(str(path), known, n=1)
        hint = f"; did you mean {close[0]}?" if close else "; give configs/<stage>/<run>.yaml"
        msg = f"there is no config {path}{hint}"
        raise ConfigError(msg)
    try:
        tree = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        msg = f"{path} is not YAML: {error}"
        raise ConfigError(msg) from error
    if not isinstance(tree, dict):
        msg = f"{path} must hold keys and values, got {type(tree).__name__}"
        raise ConfigError(msg)
    return tree


def _with_base(path: Path) -> dict[str, Any]:
    tree = _read(path)
    base = tree.pop("base", None)
    if base is None:
        return tree
    below = _read(path.parent / base)
    if "base" in below:
        msg = f"{path}: its base {base} has a base of its own; one level is allowed"
        raise ConfigError(msg)
    return _merge(below, tree)


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Lay one tree over another; a component under a new name replaces the old one whole."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        if isinstance(old, dict) and isinstance(value, dict) and not _renames(old, value):
            merged[key] = _merge(old, value)
        else:
            merged[key] = value
    return merged


def _renames(old: dict[str, Any], new: dict[str, Any]) -> bool:
    return "name" in new and new["name"] != old.get("name")


def _nest(keys: Sequence[str], value: Any) -> dict[str, Any]:
    first, *rest = keys
    return {first: _nest(rest, value) if rest else value}


def _lines(error: ValidationError, tree: Any, known: set[str]) -> list[str]:
    """Return a line a place; where several types were allowed, it says what each would need."""
    found: dict[str, list[Any]] = {}
    for one in error.errors():
        found.setdefault(_place(one, tree), []).append(one)
    # Of a whole that is wrong since a part is, pydantic would repeat all.
    found = {
        place: ones
        for place, ones in found.items()
        if not any(other.startswith(f"{place}.") for other in found)
    }
    return [
        (f"{place}: " if place else "") + " or ".join(_plain(one, known) for one in ones)
        for place, ones in found.items()
    ]


def _place(error: Any, tree: Any) -> str:
    """Return the keys that lead to a mistake, without the names of the types that were tried."""
    keys = []
    for part in error["loc"]:
        within = isinstance(tree, dict) and part in tree
        if isinstance(tree, list) and isinstance(part, int):
            within = part < len(tree)
        if within:
            tree = tree[part]
        if within or error["type"] == "missing":
            keys.append(str(part))
    return ".".join(keys)


def _keys(schema: Any) -> set[str]:
    """Return every key that a config may hold, at any depth, but for components' own."""
    if not dataclasses.is_dataclass(schema):
        return {key for part in get_args(schema) for key in _keys(part)}
    hints = get_type_hints(schema)
    return hints.keys() | {key for hint in hints.values() for key in _keys(hint)}


def _plain(error: Any, known: set[str]) -> str:
    match error["type"]:
        case "missing":
            return "required; set it in the file or by --set"
        case "unexpected_keyword_argument":
            key = str(error["loc"][-1])
            close = difflib.get_close_matches(key, known - {key}, n=1, cutoff=0.7)
            return "unknown key; " + (
                f"did you mean {close[0]!r}?" if close else "--show prints those there are"
            )
        case "value_error":
            return str(error["ctx"]["error"])
        case _:
            return f"{error['msg']}, got {error['input']!r}"
