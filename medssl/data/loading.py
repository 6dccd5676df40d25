"""Who reads the cases: processes that hand over the batches that `Epochs` draws."""

import multiprocessing
from collections.abc import Iterator, Sequence
from multiprocessing.connection import wait
from multiprocessing.context import BaseContext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import torch
from torch.utils.data import DataLoader, Dataset

from medssl.data.balanced import Balanced
from medssl.data.crops import Pieces
from medssl.data.deaths import Dead, out_of_memory_kills, report
from medssl.data.sampling import Epochs
from medssl.data.workers import CaseSource, Failure, Reader, join, start

# Workers are forked from a server that has only imported: a fork of this process would copy its
# threads' locks as they happen to be (of torch, blosc2, CUDA, the tracker), and a worker might
# wait for one for ever. A process of its own for each, as `spawn` starts it, is as safe, but
# has a copy of all that importing torch makes: seen with torch 2.14 for CUDA, 0.4 GiB each.
# Nor is a worker this process's own child, whose death torch would raise in the midst of a step.
METHOD = "forkserver"
_DEATH_S = 1.0  # from a signal or a broken connection until a process is seen to have ended


class Loader:
    """Batches as an iterable whose length is the number of steps that are left.

    What it yields does not depend on the number of workers or on how they are started, and
    drawing from it does not touch torch's global generator.

    Args:
        source: What is read.
        epochs: Which draws.
        num_workers: Processes that read; 0 reads in this one.
    """

    def __init__(self, source: CaseSource, epochs: Epochs | Balanced, *, num_workers: int) -> None:
        self.source, self.epochs, self.num_workers = source, epochs, num_workers

    def __len__(self) -> int:
        return len(self.epochs)

    def __iter__(self) -> Iterator[Any]:
        """Yield the batches, of what the source is of.

        Raises:
            MedsslError: As the source raised it, with the case.
            WorkerError: If a worker died.
        """
        kills = out_of_memory_kills()
        with TemporaryDirectory(prefix="medssl-loader-") as folder:
            batches: Any = iter(self._batches(Path(folder)))
            workers = batches._workers if self.num_workers else []  # noqa: SLF001  nowhere else
            try:
                for batch in batches:
                    if isinstance(batch, Failure):
                        raise batch.error()
                    yield batch
            except (RuntimeError, OSError, EOFError) as error:
                if (dead := _dead(workers)) is None:
                    raise
                manifest = self.source.manifest
                raise report(dead, Path(folder), manifest, kills_before=kills) from error
            finally:
                # Now, rather than when nobody holds the error any more.
                for worker in workers:
                    worker.terminate()
                for worker in workers:
                    worker.join(_DEATH_S)

    def _batches(self, folder: Path) -> DataLoader[Pieces | Failure]:
        return DataLoader(
            cast(Dataset[Any], Reader(self.source, folder)),
            batch_sampler=self.epochs,
            collate_fn=join,
            num_workers=self.num_workers,
            worker_init_fn=start,
            multiprocessing_context=self._context() if self.num_workers else None,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),
        )

    def _context(self) -> BaseContext:
        context = multiprocessing.get_context(METHOD)
        if METHOD == "forkserver":
            context.set_forkserver_preload([__name__, type(self.source).__module__])
        return context


def _dead(workers: Sequence[Any]) -> Dead | None:
    """Return a worker that has died, if one has."""
    died = wait([worker.sentinel for worker in workers], _DEATH_S)
    for number, worker in enumerate(workers):
        if worker.sentinel in died:
            worker.join()
            return Dead(number, worker.pid, worker.exitcode)
    return None
