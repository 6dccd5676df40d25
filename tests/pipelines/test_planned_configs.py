from pathlib import Path

import pytest
import yaml

from medssl.config.stages.plan import Planned
from medssl.data.preprocessing import Preprocessing
from pipelines._planned_configs import config_of

CONFIGS = Path(__file__).parents[2] / "configs"
PLANNED = Planned(
    preprocessing=Preprocessing(),
    spatial_dims=3,
    crop_vox=(40, 40, 24),
    batch_size=32,
    channels=(8, 16, 32),
)


@pytest.mark.parametrize(
    ("stage", "template", "cases"),
    [
        ("pretrain", "simclr", 16),  # two views of each
        ("pretrain", "multi_crop", 16),  # two global crops
        ("pretrain", "global", 4),  # two views of four parts
        ("finetune", "segmentation", 32),
    ],
)
def test_a_planned_batch_counts_all_crops_of_a_case(stage, template, cases):
    text = config_of(stage, CONFIGS / stage / f"{template}.yaml", PLANNED)
    found = yaml.safe_load(text)
    assert found["optim"]["batch_size"] == cases
    assert found["crops"]["crop_vox"] == [40, 40, 24]
    assert found["encoder"]["channels"] == [8, 16, 32]
