"""Where the scores of a probe come from: the vectors of an encoder, or a baseline's numbers."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from medssl.config.stages.probe import Probe
from medssl.data.manifest import Manifest
from medssl.errors import DataError
from pipelines._descriptors import read_descriptors
from pipelines._properties import baseline

Setting = tuple[tuple[str, str], ...]


def named(setting: Setting) -> str:
    """Return a setting as the files hold it."""
    return ".".join(f"{axis}-{value}" for axis, value in setting)


@dataclass(frozen=True, kw_only=True)
class Source:
    """Numbers of each case, and where in the matrix of a study they were made.

    Args:
        arm: The arm, or what a baseline is called.
        draw: Which of its draws; empty for a baseline.
        setting: The values on the axes that are neither arm nor draw; None for a baseline, which
            is of every setting.
        values: A row a case.
        columns: What each number is, where it means something by itself.
    """

    arm: str
    draw: str
    setting: Setting | None
    values: Float[np.ndarray, "case dim"]
    columns: tuple[str, ...] = ()

    def of(self, rows: Int[np.ndarray, "own"]) -> "Source":
        """Return the numbers of some cases."""
        return replace(self, values=self.values[rows])


def baselines(cfg: Probe, cases: Manifest) -> list[Source]:
    """Return the baselines, in the order of the config."""
    return [
        Source(arm=name, draw="", setting=None, values=baseline(cases, name))
        for name in dict.fromkeys(cfg.baselines)
    ]


@dataclass(frozen=True, kw_only=True)
class Axes:
    """Which axes of a study's matrix are meant.

    Args:
        arm: That whose values are compared.
        draw: That which is resampled beside the subjects.
        reference: The arm that differences are to; None for none.
    """

    arm: str
    draw: str
    reference: str | None = None


def vectors(folders: Sequence[Path], cases: Manifest, *, split: str, axes: Axes) -> list[Source]:
    """Return the vectors of a split's cases of all cells, in the order in which they are named.

    Raises:
        DataError: If a folder holds no vectors of volumes, two are of one cell, the arms of a
            setting have different draws, or one has no reference.
    """
    found = [_source(folder, cases, split, axes) for folder in folders]
    places: dict[tuple[str, str, Setting | None], Path] = {}
    for source, folder in zip(found, folders, strict=True):
        place = source.arm, source.draw, source.setting
        if place in places:
            msg = (
                f"{places[place]} and {folder} both are draw {source.draw!r} of the arm "
                f"{source.arm!r}; name the axes that tell them apart by `arm` and `draw`"
            )
            raise DataError(msg)
        places[place] = folder
    for setting in dict.fromkeys(source.setting for source in found):
        _check_arms([source for source in found if source.setting == setting], axes.reference)
    return found


def _source(folder: Path, cases: Manifest, split: str, axes: Axes) -> Source:
    described = read_descriptors(folder, cases, split=split)
    if (described.unit, described.kind) != ("volume", "vector"):
        msg = (
            f"{folder}: expected a vector a volume, got a {described.kind} a {described.unit}; "
            "embed again with unit: volume and a descriptor that gives vectors, such as encoder"
        )
        raise DataError(msg)
    if (wrong := ~np.isfinite(described.values).all(axis=1)).any():
        first = cases[int(described.case[wrong][0])].case_id
        msg = (
            f"{folder}: {wrong.sum()} of {len(wrong)} vectors hold NaN or infinity, such as that "
            f"of case {first}; look at the encoder's training, it may have diverged"
        )
        raise DataError(msg)
    cell = json.loads((folder / "card.json").read_text()).get("cell") or {axes.arm: folder.name}
    return Source(
        arm=cell.get(axes.arm, ""),
        draw=cell.get(axes.draw, ""),
        setting=tuple((k, v) for k, v in cell.items() if k not in (axes.arm, axes.draw)),
        values=described.values.astype(np.float64),
        columns=tuple(described.card["columns"]),
    )


def _check_arms(sources: list[Source], reference: str | None) -> None:
    draws: dict[str, set[str]] = {}
    for source in sources:
        draws.setdefault(source.arm, set()).add(source.draw)
    if reference is not None and reference not in draws:
        msg = f"expected the reference {reference!r} among the arms, got {list(draws)}"
        raise DataError(msg)
    first, *others = draws
    for arm in others:
        if draws[arm] != draws[first]:
            msg = (
                f"expected the same draws of each arm, got {sorted(draws[first])} of {first!r} and "
                f"{sorted(draws[arm])} of {arm!r}; embed the draws that lack, or leave out the "
                "others"
            )
            raise DataError(msg)
