"""What a run sees is a function of its seed, however it is loaded."""

import numpy as np
import pytest
import torch
from crop_sources import FAMILY, crop_source

from medssl import lookup
from medssl.data import loading
from medssl.data.crops.random import Random
from medssl.data.loading import Loader
from medssl.data.sampling import Epochs


def batches(cohort, name="random", num_workers=0, start_step=0):
    crop_vox = (4, 5) if name == "slices" else (4, 5, 3)
    source = crop_source(cohort, name, crop_vox, seed=3)
    subjects = source.manifest.codes("subject_id")
    epochs = Epochs(subjects, 5, 2, seed=3, start_step=start_step)
    return Loader(source, epochs, num_workers=num_workers)


def same(ones, others):
    """Say whether tensors are equal, in however many tuples they lie."""
    if isinstance(ones, torch.Tensor):
        return torch.equal(ones, others)
    return all(same(one, other) for one, other in zip(ones, others, strict=True))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This DataLoader will create 4 worker processes:UserWarning")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize(
    ("method", "num_workers"),
    [
        ("forkserver", 2),
        pytest.param("forkserver", 4, marks=pytest.mark.long),
        pytest.param("forkserver", 1, marks=pytest.mark.long),
        pytest.param("fork", 1, marks=pytest.mark.long),
        pytest.param("fork", 4, marks=pytest.mark.long),
        pytest.param("spawn", 2, marks=pytest.mark.long),
    ],
)
def test_the_workers_cannot_be_seen(cohort, monkeypatch, method, num_workers):
    monkeypatch.setattr(loading, "METHOD", method)
    # Processes that begin with nothing take seconds each, whatever they are to read.
    for name in ["random"] if method == "spawn" else lookup.names(FAMILY):
        whole = list(batches(cohort, name))
        assert len(whole) == 5
        assert same(batches(cohort, name, num_workers), whole)
        assert same(batches(cohort, name, num_workers, start_step=3), whole[3:])


@pytest.mark.parametrize("name", lookup.names(FAMILY))
def test_a_run_goes_on_where_it_was_interrupted(cohort, name):
    whole = list(batches(cohort, name))
    later = batches(cohort, name, start_step=3)
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
