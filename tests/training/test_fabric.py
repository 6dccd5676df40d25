import pytest
import torch

from medssl.errors import ConfigError
from medssl.training.fabric import start

ONE = {"devices": 1, "num_nodes": 1, "strategy": "auto", "precision": "32-true"}


def test_one_cpu_rank_is_up():
    fabric = start(device="cpu", **ONE)
    assert (fabric.global_rank, fabric.world_size, fabric.device.type) == (0, 1, "cpu")
    assert torch.backends.cudnn.deterministic


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has what is asked for")
def test_a_device_that_is_not_there_is_named_with_what_to_do():
    with pytest.raises(ConfigError, match=r"device is 'cuda', .* set device=cpu"):
        start(device="cuda", **ONE)


@pytest.mark.parametrize(("key", "value"), [("precision", "bf17-mixed"), ("strategy", "dpp")])
def test_words_that_fabric_does_not_know_are_quoted(key, value):
    with pytest.raises(ConfigError, match=rf"fabric\.{key}='{value}'"):
        start(device="cpu", **ONE | {key: value})
