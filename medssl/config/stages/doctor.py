"""What the stage `doctor` may be told."""

from pathlib import Path
from typing import Literal

from medssl.config.schema import config

__all__ = ["Doctor"]


@config
class Doctor:
    """What this machine can do, and what a training run would take on it.

    Args:
        folder: Where outputs will go.
        store: Where runs will be written down.
        config: A training config to try for a few steps on synthetic images.
        stage: Whose config that is.
    """

    folder: Path = Path()
    store: str = "sqlite:///mlflow.db"
    config: Path | None = None
    stage: Literal["pretrain", "finetune"] = "pretrain"
