"""Near duplicates: drop a row that is very like one that was kept before it.

Source: Wolf et al., "Less is More: Selective reduction of CT data for self-supervised
pre-training of deep learning models with contrastive learning improves downstream
classification performance", CIBM 183, 2024, arXiv:2410.14524; the arms HASH, SSIM, MI and DeepNet.
Code: Wolfda95/Less_is_More@c3ca90d, of which HASH alone is released.
Departs from the code: rows come in the order they are given, not in that of file names as
text; what stands for a dropped row is the most alike of the exemplars before it.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Float

from medssl.selection import DescriptorTable, Selection
from medssl.selection._groups import Scope, groups
from medssl.selection._representing import similarities
from medssl.similarity import Kind, Knob, Similarity
from medssl.similarity.hamming import HASH_6

__all__ = ["NearDuplicates"]


@dataclass(frozen=True, kw_only=True)
class NearDuplicates:
    """Greedy exemplars under a similarity.

    Args:
        similarity: What makes two rows near duplicates.
        mode: Whether a row is compared with each `exemplar` before it, or, as slices follow one
            another (`sequential`), with the last one alone.
        scope: Whether duplicates are sought within a `group` or among `all` rows.
    """

    similarity: Similarity = HASH_6
    mode: Literal["exemplar", "sequential"] = "exemplar"
    scope: Scope = "group"

    @property
    def takes(self) -> tuple[Kind, ...]:
        """What the similarity compares."""
        return (self.similarity.takes,)

    @property
    def is_by_group(self) -> bool:
        """Whether groups are never compared."""
        return self.scope == "group"

    def knob(self, table: DescriptorTable) -> Knob:
        """Return where the similarity's limit can be set."""
        return self.similarity.knob(table.values.shape[1])

    def at(self, level: float) -> "NearDuplicates":
        """Return it with the similarity's limit elsewhere."""
        return replace(self, similarity=self.similarity.at(level))

    def __call__(self, table: DescriptorTable) -> Selection:
        """Return the exemplars, and for each row the one that stands for it."""
        self.similarity.check(table.values)
        stands_for = np.arange(len(table))
        find = self.similarity.exemplars if self.mode == "exemplar" else self.similarity.last_kept
        for rows in groups(table, self.scope):
            stands_for[rows] = rows[find(table.values_of(rows))]
        is_kept = stands_for == np.arange(len(table))
        alike = similarities(self.similarity, table.values, stands_for)
        return Selection(np.flatnonzero(is_kept), stands_for, alike)

    def pairs_in_scope(self, table: DescriptorTable, number: int) -> Float[np.ndarray, "pair"]:
        """Return how alike so many pairs of one scope are, drawn at random, the same each time."""
        rng = np.random.default_rng(0)
        sets = [rows for rows in groups(table, self.scope) if len(rows) > 1]
        if not sets:
            return np.empty(0)
        rows = np.concatenate(sets)
        sizes = np.repeat([len(one) for one in sets], [len(one) for one in sets])
        starts = np.repeat(np.cumsum([0, *map(len, sets[:-1])]), [len(one) for one in sets])
        first = rng.integers(len(rows), size=number)
        size, start = sizes[first], starts[first]
        # Any but itself: so many places further on, around the end.
        second = start + (first - start + 1 + (rng.random(number) * (size - 1)).astype(int)) % size
        return self.similarity.pairs(table.values[rows[first]], table.values[rows[second]])
