"""Who reads the cases: the loader, which hands over the batches that `Epochs` draws."""

from typing import Any, cast

import torch
from torch.utils.data import DataLoader, Dataset

from medssl.data.balanced import Balanced
from medssl.data.crops import Crops, CropSource, LabeledCrops, stack
from medssl.data.sampling import Epochs


def loader(
    source: CropSource, epochs: Epochs | Balanced, *, num_workers: int
) -> DataLoader[Crops | LabeledCrops]:
    """Return the batches as an iterable whose length is the number of steps that are left.

    What it yields does not depend on the number of workers or on how they are started, and
    drawing from it does not touch torch's global generator.
    """
    return DataLoader(
        cast(Dataset[Any], source),
        batch_sampler=epochs,
        collate_fn=stack,
        num_workers=num_workers,
        worker_init_fn=_use_one_thread,
        persistent_workers=num_workers > 0,
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator(),
    )


def _use_one_thread(worker: int) -> None:
    torch.set_num_threads(1)
