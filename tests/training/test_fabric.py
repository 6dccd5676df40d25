import pytest
import torch

from medssl.errors import ConfigError
from medssl.training.fabric import place, start

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


@pytest.mark.parametrize(("precision", "is_last"), [("32-true", True), ("bf16-mixed", False)])
def test_in_float32_convolutions_of_volumes_lie_channels_last_and_compute_the_same(
    precision, is_last
):
    torch.manual_seed(0)
    layer, image = torch.nn.Conv3d(3, 4, 3), torch.randn(2, 3, 5, 5, 5)
    before = layer(image)
    place(layer, start(device="cpu", **ONE | {"precision": precision}))
    assert layer.weight.is_contiguous(memory_format=torch.channels_last_3d) == is_last
    torch.testing.assert_close(layer(image), before)
