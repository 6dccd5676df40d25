"""Which cases come next: endless epochs cut into batches.

A batch is a function of (seed, step): a run that starts at a later step gets what the
uninterrupted run got from there on.
"""

from collections.abc import Iterator
from itertools import count, islice
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Int

from medssl.data.randomness import stream
from medssl.errors import ConfigError, DataError

LastBatch = Literal["drop", "carry"]


class Epochs:
    """Batches of (epoch, row) draws.

    An epoch shuffles the cases and deals them to its batches, so that no batch holds a case
    twice, and none two cases of one subject unless the subject has more cases than the epoch
    has batches. Cases that do not fill a last batch, chosen by chance, sit this epoch out, or
    are carried over: the next epoch fills their batch, with other subjects where it can (and a
    subject must then have no more cases than the epoch has batches of its own).
    Where there are fewer cases than a batch holds, a batch goes on with the next epochs, and
    the repeated cases are drawn anew there.

    Args:
        subjects: The subject of each case, as `Manifest.codes` numbers them.
        num_steps: Batches of the whole run.
        batch_size: Draws in a batch, of all ranks together.
        seed: Begins every shuffle.
        last_batch: What becomes of cases that do not fill one.
        start_step: Batches of the run that are done.
        rank: Which of the ranks this process is; it gets every `num_ranks`-th draw of a batch.
        num_ranks: How many processes share a batch.
    """

    def __init__(
        self,
        subjects: Int[np.ndarray, "case"],
        num_steps: int,
        batch_size: int,
        seed: int,
        *,
        last_batch: LastBatch = "drop",
        start_step: int = 0,
        rank: int = 0,
        num_ranks: int = 1,
    ) -> None:
        if not len(subjects):
            msg = "expected cases to draw from, got none: the split is empty or nothing was kept"
            raise DataError(msg)
        if batch_size % num_ranks:
            msg = f"batch_size must be a multiple of the {num_ranks} processes, got {batch_size}"
            raise ConfigError(msg)
        self.subjects, self.seed = subjects, seed
        self.num_steps, self.batch_size, self.last_batch = num_steps, batch_size, last_batch
        self.start_step, self.rank, self.num_ranks = start_step, rank, num_ranks

    def among(self, rows: Int[np.ndarray, "some"], batch_size: int, seed: int) -> "Epochs":
        """Return the epochs of some of the cases, which they count from 0, within the same run."""
        return Epochs(
            self.subjects[rows],
            self.num_steps,
            batch_size,
            seed,
            last_batch=self.last_batch,
            start_step=self.start_step,
            rank=self.rank,
            num_ranks=self.num_ranks,
        )

    def __len__(self) -> int:
        """Return the number of batches that are left."""
        return max(0, self.num_steps - self.start_step)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        if len(self.subjects) < self.batch_size:
            batches = self._of_several_epochs()
        else:
            batches = self._of_one_epoch() if self.last_batch == "drop" else self._carried_over()
        for batch in islice(batches, len(self)):
            yield batch[self.rank :: self.num_ranks]

    def _of_one_epoch(self) -> Iterator[list[tuple[int, int]]]:
        num_batches = len(self.subjects) // self.batch_size
        first, done = divmod(self.start_step, num_batches)
        for epoch in count(first):
            rows = self._shuffle(epoch)[: num_batches * self.batch_size]
            for batch in self._deal(rows, epoch)[done if epoch == first else 0 :]:
                yield _draws(epoch, batch)

    def _carried_over(self) -> Iterator[list[tuple[int, int]]]:
        """Yield batches that end where an epoch does only if the epoch's cases fill them."""
        for epoch in count(self.start_step * self.batch_size // len(self.subjects)):
            begins = epoch * len(self.subjects)
            batches = list(self._of_whole_epoch(epoch))
            yield from batches[max(0, self.start_step - begins // self.batch_size) :]

    def _of_whole_epoch(self, epoch: int) -> Iterator[list[tuple[int, int]]]:
        """Yield the epoch's batches, from that which takes what the epoch before left."""
        order, left = self._shuffle(epoch), self._left(epoch)
        order = order[~np.isin(order, left)]
        if before := -epoch * len(self.subjects) % self.batch_size:
            waiting = self._left(epoch - 1)
            # Of other subjects first; those that come after them are chosen if there are too few.
            order = order[np.argsort(self._is_among(order, waiting), kind="stable")]
            filling, order = _distinct_first(order, self.subjects, before)
            yield [*_draws(epoch - 1, waiting), *_draws(epoch, filling)]
        for batch in self._deal(order, epoch):
            yield _draws(epoch, batch)

    def _left(self, epoch: int) -> Int[np.ndarray, "left"]:
        """Return the cases that the epoch leaves to the next: a function of its shuffle alone."""
        number = (epoch + 1) * len(self.subjects) % self.batch_size
        return _distinct_first(self._shuffle(epoch), self.subjects, number)[0]

    def _is_among(
        self, rows: Int[np.ndarray, "case"], others: Int[np.ndarray, "other"]
    ) -> Bool[np.ndarray, "case"]:
        return np.isin(self.subjects[rows], self.subjects[others])

    def _of_several_epochs(self) -> Iterator[list[tuple[int, int]]]:
        for step in count(self.start_step):
            draws = range(step * self.batch_size, (step + 1) * self.batch_size)
            places = [divmod(draw, len(self.subjects)) for draw in draws]
            orders = {epoch: self._shuffle(epoch).tolist() for epoch in {e for e, _ in places}}
            yield [(epoch, orders[epoch][place]) for epoch, place in places]

    def _shuffle(self, epoch: int) -> Int[np.ndarray, "case"]:
        generator = stream(self.seed, epoch, "order")
        return torch.randperm(len(self.subjects), generator=generator).numpy()

    def _deal(self, rows: Int[np.ndarray, "case"], epoch: int) -> Int[np.ndarray, "batch draw"]:
        """Deal shuffled cases, subject after subject, one to each batch in turn."""
        num_batches = len(rows) // self.batch_size
        # Subjects in the order in which the shuffle first shows them.
        _, first, inverse = np.unique(self.subjects[rows], return_index=True, return_inverse=True)
        by_subject = rows[np.argsort(first[inverse], kind="stable")]
        order = torch.randperm(num_batches, generator=stream(self.seed, epoch, "batches"))
        return by_subject.reshape(self.batch_size, num_batches).T[order.numpy()]


def _draws(epoch: int, rows: Int[np.ndarray, "draw"]) -> list[tuple[int, int]]:
    return [(epoch, row) for row in rows.tolist()]


def _distinct_first(
    order: Int[np.ndarray, "case"], subjects: Int[np.ndarray, "every"], number: int
) -> tuple[Int[np.ndarray, "chosen"], Int[np.ndarray, "other"]]:
    """Choose the first cases, of a subject again only where the subjects do not suffice."""
    _, firsts = np.unique(subjects[order], return_index=True)
    again = np.ones(len(order), bool)
    again[firsts] = False
    chosen = np.sort(np.argsort(again, kind="stable")[:number])
    return order[chosen], np.delete(order, chosen)
