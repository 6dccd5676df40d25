"""Near duplicates among embeddings by their cosine, against the matrix products that it takes.

Greedy selection has to compare each row with the exemplars before it. The limit is those very
products and nothing else: each block of rows times the exemplars that were known when it came, in
the same shapes, by the same library, without looking at the result. faiss searches the exemplars
for the same blocks, one neighbor each, for comparison. On fewer rows what is kept is compared with
the definition, in float64.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import faiss
import numpy as np
from jaxtyping import Float32, Int

from medssl.errors import ConfigError
from medssl.similarity._greedy import BLOCK_ROWS, TILE_ROWS
from medssl.similarity.cosine import Cosine, directions
from pipelines.benches import Goal, Measured, Result
from pipelines.benches._measuring import on_cores, ratio, show
from pipelines.benches._near_duplicates import by_definition, walking_vectors
from pipelines.benches.hash_selection import check_equal, timed

__all__ = ["EmbeddingSelection"]

CHILD = "pipelines.benches._near_duplicates_child"


@dataclass(frozen=True, kw_only=True)
class EmbeddingSelection:
    """Measures it.

    Args:
        least: From which cosine on two rows are near duplicates.
        rows: Vectors that are timed.
        exact_rows: Vectors of which what is kept is compared with the definition.
        dim: Numbers of a vector.
        repetitions: How often each is timed, in turn.
        cores: How many all run on.
        slower_than_products: How many times the time of the products ours may take.
        most_gib: What a process with all vectors may take.
    """

    least: float = 0.95
    rows: int = 200_000
    exact_rows: int = 20_000
    dim: int = 512
    repetitions: int = 3
    cores: int = 2
    slower_than_products: float = 2.0
    most_gib: float = 2.0

    def __post_init__(self) -> None:
        counts = (self.rows, self.exact_rows, self.dim, self.repetitions, self.cores)
        if min(counts) < 1:
            msg = f"expected counts of at least 1, got {counts}"
            raise ConfigError(msg)

    def __call__(self, folder: Path) -> Result:
        """Compare what is kept, then time."""
        ours = Cosine(least=self.least)
        with on_cores(self.cores):
            some = walking_vectors(self.exact_rows, self.dim)
            kept = np.flatnonzero(ours.exemplars(some) == np.arange(len(some)))
            check_equal("the definition", kept, by_definition(some, self.least))
            taken_s, kept = self._time(ours)
            memory = self._memory_gib()
        show(taken_s, unit="s")
        products = Goal(side="at most", limit=self.slower_than_products)
        return Result(
            measured=(
                ratio("faiss", taken_s["faiss"], taken_s["medssl"], unit="x the time of ours"),
                Measured(
                    name="memory",
                    value=memory,
                    low=memory,
                    high=memory,
                    unit="GiB with the vectors",
                    goal=Goal(side="at most", limit=self.most_gib),
                ),
                ratio(
                    "products",
                    taken_s["medssl"],
                    taken_s["products"],
                    unit=f"x the time of the products, {len(kept)} of {self.rows} rows kept",
                    goal=products,
                ),
            ),
            details={"taken_s": taken_s, "faiss": version("faiss-cpu")},
        )

    def _time(self, ours: Cosine) -> tuple[dict[str, list[float]], Int[np.ndarray, "kept"]]:
        vectors = walking_vectors(self.rows, self.dim)
        toward = directions(vectors)
        taken_s: dict[str, list[float]] = {"medssl": [], "products": [], "faiss": []}
        for _ in range(self.repetitions):
            exemplar = timed(lambda: ours.exemplars(vectors), taken_s["medssl"])
            kept = np.flatnonzero(exemplar == np.arange(len(vectors)))
            timed(partial(products, toward, kept), taken_s["products"])
            timed(partial(searches, toward, kept, self.cores), taken_s["faiss"])
        return taken_s, kept

    def _memory_gib(self) -> float:
        what = ["vectors", str(self.rows), str(self.least), str(self.dim)]
        words = [sys.executable, "-m", CHILD, *what]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        peak_bytes: float = json.loads(done.stdout)["peak_bytes"]
        return peak_bytes / 2**30


def products(toward: Float32[np.ndarray, "row dim"], kept: Int[np.ndarray, "kept"]) -> None:
    """Multiply each block with the exemplars before it, tile by tile."""
    exemplars = np.ascontiguousarray(toward[kept])
    for start in range(0, len(toward), BLOCK_ROWS):
        block = toward[start : start + BLOCK_ROWS]
        known = exemplars[: np.searchsorted(kept, start)]
        for tile in range(0, len(known), TILE_ROWS):
            _ = block @ known[tile : tile + TILE_ROWS].T


def searches(
    toward: Float32[np.ndarray, "row dim"], kept: Int[np.ndarray, "kept"], cores: int
) -> None:
    """Have faiss find the most alike exemplar before each block, adding exemplars as they come."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(cores)
    try:
        _searches(toward, kept)
    finally:
        faiss.omp_set_num_threads(before)  # it is torch's number, too


def _searches(toward: Float32[np.ndarray, "row dim"], kept: Int[np.ndarray, "kept"]) -> None:
    index = faiss.IndexFlatIP(toward.shape[1])
    known = 0
    for start in range(0, len(toward), BLOCK_ROWS):
        before = int(np.searchsorted(kept, start))
        if before > known:
            index.add(np.ascontiguousarray(toward[kept[known:before]]))
            known = before
        if known:
            index.search(toward[start : start + BLOCK_ROWS], 1)
