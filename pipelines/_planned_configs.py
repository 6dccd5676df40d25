"""Configs of training as a plan has them: a template with the plan laid over it."""

from pathlib import Path
from typing import Any

from medssl.config.load import dump, resolve
from medssl.config.schema import schema
from medssl.config.stages.plan import Planned

# What a step of a stage holds of a case at once: pretraining compares two views of it.
VIEWS = {"pretrain": 2, "finetune": 1}
_FEWEST_CASES = {"pretrain": 2, "finetune": 1}


def config_of(stage: str, template: Path, planned: Planned) -> str:
    """Return the whole config of a stage as YAML, checked as that stage checks it.

    Args:
        stage: `pretrain` or `finetune`.
        template: Its config otherwise.
        planned: Decides crop, batch, and the encoder's channels and axes.

    Raises:
        ConfigError: If the template is no config of the stage or its encoder takes no channels.
    """
    cases = max(planned.batch_size // VIEWS[stage], _FEWEST_CASES[stage])
    overlay: dict[str, Any] = {
        "crops.crop_vox": list(planned.crop_vox),
        "optim.batch_size": cases,
        "encoder.channels": list(planned.channels),
        "encoder.spatial_dims": planned.spatial_dims,
    }
    return dump(resolve(schema(stage), template, [overlay]))
