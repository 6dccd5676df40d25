"""What a run sees is a function of its seed, however it is loaded."""

import numpy as np
import pytest
import torch

from medssl.data.crops.labeled import Labeled
from medssl.data.crops.partition import Partition
from medssl.data.crops.random import Random
from medssl.data.loading import loader
from medssl.data.sampling import Epochs


def batches(cohort, source=Random, num_workers=0, context=None, start_step=0):
    subjects = cohort.manifest.codes("subject_id")
    epochs = Epochs(subjects, 5, 2, seed=3, start_step=start_step)
    made = source(cohort.manifest, cohort.root, 3, crop_vox=(4, 5, 3))
    found = loader(made, epochs, num_workers=num_workers)
    found.multiprocessing_context = context
    return found


def same(batches, others):
    pairs = zip(batches, others, strict=True)
    return all(torch.equal(a, b) for one, other in pairs for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(
    "context",
    [pytest.param("fork", marks=pytest.mark.slow), pytest.param("spawn", marks=pytest.mark.long)],
)
def test_the_workers_cannot_be_seen(cohort, context):
    helped = list(batches(cohort, num_workers=2, context=context))
    assert len(helped) == 5
    assert same(helped, batches(cohort))


@pytest.mark.parametrize("source", [Random, Partition, Labeled])
def test_a_run_goes_on_where_it_was_interrupted(cohort, source):
    whole = list(batches(cohort, source))
    later = batches(cohort, source, start_step=3)
    assert len(later) == 2
    assert same(later, whole[3:])


def test_loading_leaves_the_global_generator_alone(cohort):
    before = torch.random.get_rng_state()
    list(batches(cohort))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_batch_is_made_of_its_draws(cohort):
    subjects = cohort.manifest.codes("subject_id")
    draws = list(Epochs(subjects, 5, 2, seed=3))
    source = Random(cohort.manifest, cohort.root, 3, crop_vox=(4, 5, 3))
    for batch, ((epoch, row), (_, other)) in zip(batches(cohort), draws, strict=True):
        assert torch.equal(batch.image[0], source[epoch, row].image[0])
        assert batch.subject.tolist() == subjects[np.array([row, other])].tolist()
        assert batch.volume.tolist() == [0, 1]
