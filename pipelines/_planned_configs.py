"""Configs of training as a plan has them: a template with the plan laid over it."""

import math
from pathlib import Path
from typing import Any

from medssl.config.load import dump, resolve
from medssl.config.schema import schema
from medssl.config.stages.plan import Planned

# Contrast needs another case beside each.
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
    crops = resolve(schema(stage), template, []).crops.params
    # Local crops of a multi-crop are small beside its global ones.
    counts = ("num_views", "num_items", "num_parts", "num_global")
    of_a_case = math.prod(crops.get(name, 1) for name in counts)
    cases = max(planned.batch_size // of_a_case, _FEWEST_CASES[stage])
    overlay: dict[str, Any] = {
        "crops.crop_vox": list(planned.crop_vox),
        "optim.batch_size": cases,
        "encoder.channels": list(planned.channels),
        "encoder.spatial_dims": planned.spatial_dims,
    }
    return dump(resolve(schema(stage), template, [overlay]))
