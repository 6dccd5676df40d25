"""A study laid out: every cell of every step with its resolved config, before anything runs."""

import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from medssl import __version__
from medssl.config.load import dump, resolve
from medssl.config.schema import schema, stages
from medssl.config.stages.study import Step, Study
from medssl.data import mirror
from medssl.errors import ConfigError

REFERENCE = re.compile(r"^([a-z][a-z0-9_]*)\.(outputs?)(/.*)?$")
UNTRACKED = ("tracker",)  # says where a run is written down, not what it computes


@dataclass(frozen=True)
class Cell:
    """One run of one stage.

    Args:
        step: The step's name.
        stage: What runs.
        values: The cell's place on each axis of the matrix.
        output: The folder that is the cell's own.
        config: The resolved config, without a parent run.
        inputs: The cells whose outputs it reads or needs.
    """

    step: str
    stage: str
    values: Mapping[str, str]
    output: Path
    config: Any
    inputs: tuple["Cell", ...]

    @property
    def title(self) -> str:
        """What people call it."""
        return f"{self.step}/{cell_name(self.values)}" if self.values else self.step

    @cached_property
    def fingerprint(self) -> str:
        """A hash of what the result depends on: config, inputs, foreign files, version."""
        config = {k: v for k, v in yaml.safe_load(dump(self.config)).items() if k not in UNTRACKED}
        made = [cell.output for cell in self.inputs]
        parts = {
            "version": __version__,
            "stage": self.stage,
            "config": config,
            "inputs": [cell.fingerprint for cell in self.inputs],
            "foreign": [_stamp(path) for path in _foreign(self.config, self.output, made)],
        }
        return hashlib.blake2b(
            json.dumps(parts, sort_keys=True).encode(), digest_size=16
        ).hexdigest()


def lay_out(study: Study) -> list[Cell]:
    """Return the cells in the order in which they run.

    Raises:
        ConfigError: If a config of any cell is wrong; the step and the cell are named.
    """
    cells: list[Cell] = []
    for name, step in study.steps.items():
        if step.stage not in stages() or step.stage == "study":
            known = [stage for stage in stages() if stage != "study"]
            msg = f"steps.{name}.stage: expected one of {known}, got {step.stage!r}"
            raise ConfigError(msg)
        cells += [_cell(study, name, values, overlays, cells) for values, overlays in _matrix(step)]
    for key in study.all:
        if not any(key.split(".")[0] in _fields(cell.stage) for cell in cells):
            msg = f"all.{key}: no step of the study knows this key"
            raise ConfigError(msg)
    return cells[: _end(study, cells)]


def cell_name(values: Mapping[str, str]) -> str:
    """Return the name of a cell's folder."""
    return ".".join(f"{axis}-{value}" for axis, value in values.items())


def _end(study: Study, cells: list[Cell]) -> int:
    if study.until is None:
        return len(cells)
    if study.until not in study.steps:
        msg = f"until: expected one of {list(study.steps)}, got {study.until!r}"
        raise ConfigError(msg)
    return 1 + max(n for n, cell in enumerate(cells) if cell.step == study.until)


def _matrix(step: Step) -> Iterator[tuple[dict[str, str], list[Mapping[str, Any]]]]:
    """Yield each cell's values and what they lay over the config."""
    for chosen in product(*(axis.items() for axis in step.matrix.values())):
        values = dict(zip(step.matrix, (value for value, _ in chosen), strict=True))
        if not any(rule.items() <= values.items() for rule in step.exclude):
            yield values, [overlay for _, overlay in chosen if overlay]


def _cell(
    study: Study,
    name: str,
    values: dict[str, str],
    overlays: list[Mapping[str, Any]],
    before: list[Cell],
) -> Cell:
    step = study.steps[name]
    inputs: dict[str, Cell] = {}
    layers = [_filled(layer, values, before, inputs) for layer in (step.set, *overlays)]
    known = _fields(step.stage)
    output = study.output / name / cell_name(values)
    layers.append({k: v for k, v in study.all.items() if k.split(".")[0] in known})
    layers.append({"output": output} if "output" in known else {})
    layers.append({"cell": dict(values)} if "cell" in known else {})
    for need in step.needs:
        inputs |= {cell.title: cell for cell in _agreeing(need, values, before)}
    place = f"step {name}" + (f" [{cell_name(values)}]" if values else "")
    try:
        config = resolve(schema(step.stage), step.config, layers)
    except ConfigError as error:
        msg = f"{place}: {error}"
        raise ConfigError(msg) from error
    return Cell(name, step.stage, values, output, config, tuple(inputs.values()))


def _fields(stage: str) -> set[str]:
    return {field.name for field in dataclasses.fields(schema(stage))}


def _filled(value: Any, values: dict[str, str], before: list[Cell], inputs: dict[str, Cell]) -> Any:
    """Return a tree with references to other steps replaced by paths; note the cells they name."""
    if isinstance(value, Mapping):
        return {key: _filled(inner, values, before, inputs) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        each = [(inner, _filled(inner, values, before, inputs)) for inner in value]
        # A list of cells within a list is part of it.
        joined = [filled if _is_plural(inner) else [filled] for inner, filled in each]
        return [path for paths in joined for path in paths]
    if not (isinstance(value, str) and (match := REFERENCE.match(value))):
        return value
    step, plural, rest = match.groups()
    cells = _agreeing(step, values, before)
    inputs |= {cell.title: cell for cell in cells}
    paths = [f"{cell.output}{rest or ''}" for cell in cells]
    if plural == "outputs":
        return paths
    if len(paths) > 1:
        msg = f"{value} names {len(paths)} cells of {step}: write {step}.outputs for their list"
        raise ConfigError(msg)
    return paths[0]


def _is_plural(value: Any) -> bool:
    match = REFERENCE.match(value) if isinstance(value, str) else None
    return match is not None and match[2] == "outputs"


def _agreeing(step: str, values: Mapping[str, str], before: list[Cell]) -> list[Cell]:
    """Return the cells of a step that have the same value on every axis both have."""
    of_step = [cell for cell in before if cell.step == step]
    if not of_step:
        msg = f"there is no step {step!r} before this one: {sorted({c.step for c in before})}"
        raise ConfigError(msg)
    found = [
        cell
        for cell in of_step
        if all(values.get(axis, value) == value for axis, value in cell.values.items())
    ]
    if not found:
        msg = f"no cell of {step!r} agrees with {cell_name(values)}"
        raise ConfigError(msg)
    return found


def _foreign(value: Any, output: Path, made: list[Path]) -> Iterator[Path]:
    """Yield the existing paths in a config that no step of the study wrote."""
    if isinstance(value, Path) or (isinstance(value, str) and os.sep in value):
        # Where images come from is text, because it may begin with `mirror:`.
        path = mirror.resolve(str(value))
        if path.exists() and not any(path.is_relative_to(own) for own in (output, *made)):
            yield path
    for inner in _parts(value):
        yield from _foreign(inner, output, made)


def _parts(value: Any) -> list[Any]:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [getattr(value, field.name) for field in dataclasses.fields(value)]
    if isinstance(value, Mapping):
        return list(value.values())
    return list(value) if isinstance(value, list | tuple) else []


def _stamp(path: Path) -> list[Any]:
    """Return name, size and time of change of a file, or of all files in a folder."""
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    stats = [(str(file), file.stat()) for file in files]
    return [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats]
