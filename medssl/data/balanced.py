"""Batches with as many cases of each group: of background and target, of each site.

Each group has epochs of its own, so that the cases of a rare one come again sooner.

Source: the balanced groups that contrastive analysis is trained on, as in Louiset et al.,
"SepCLR", ICLR 2024.
"""

from collections.abc import Iterator, Mapping

import numpy as np
from jaxtyping import Int

from medssl.data.manifest import Manifest, text_columns
from medssl.data.randomness import seed_of
from medssl.data.sampling import Epochs
from medssl.errors import ConfigError, DataError


class Balanced:
    """Batches of (epoch, row) draws, group by group; an epoch is the group's.

    Within a group a batch is what `Epochs` makes it: no case twice, and no subject where it can.
    A subject with cases in two groups may be met in both.

    Args:
        rows: The cases of each group.
        epochs: The same run without groups.
    """

    def __init__(self, rows: Mapping[str, Int[np.ndarray, "case"]], epochs: Epochs) -> None:
        self.rows = rows
        share, over = divmod(epochs.batch_size, len(self.rows))
        if over or share % epochs.num_ranks:
            msg = (
                f"batch_size must be a multiple of the {len(self.rows)} groups {[*self.rows]}, "
                f"times {epochs.num_ranks} processes, got {epochs.batch_size}"
            )
            raise ConfigError(msg)
        self.epochs = [
            epochs.among(rows, share, seed_of(epochs.seed, "group", group))
            for group, rows in self.rows.items()
        ]

    def __len__(self) -> int:
        """Return the number of batches that are left."""
        return len(self.epochs[0])

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for shares in zip(*self.epochs, strict=True):
            yield [
                (epoch, int(rows[place]))
                for rows, share in zip(self.rows.values(), shares, strict=True)
                for epoch, place in share
            ]


def rows_by_group(manifest: Manifest, column: str) -> dict[str, Int[np.ndarray, "case"]]:
    """Return the rows of each group, in the order of the groups' names.

    Raises:
        ConfigError: If a manifest has no such column of text.
        DataError: If a case is of no group, or all are of one.
    """
    if column not in (texts := text_columns()):
        msg = f"balanced_by: expected a column of text, one of {texts}, got {column!r}"
        raise ConfigError(msg)
    groups = manifest.table[column].to_pylist()
    if missing := [row for row, group in enumerate(groups) if group is None]:
        msg = (
            f"balanced_by: {len(missing)} of {len(groups)} cases say no {column}, the first "
            f"{manifest[missing[0]].case_id}; leave these out of the manifest, or name another "
            "column"
        )
        raise DataError(msg)
    names = sorted(set(groups))
    if len(names) < 2:
        msg = f"balanced_by: expected several groups, got {names}: all cases have one {column}"
        raise DataError(msg)
    named = np.array(groups)
    return {name: np.flatnonzero(named == name) for name in names}
