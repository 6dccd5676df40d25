"""Where the local mirror of public data is: `mirror:` at the head of a configured path.

Configs name no folder of a machine; they say `mirror:msd_hippocampus/images`, and the
environment variable MEDSSL_MIRROR says where the mirror stands.
"""

import os
from pathlib import Path

from medssl.errors import ConfigError

PREFIX = "mirror:"
VARIABLE = "MEDSSL_MIRROR"


def resolve(path: str) -> Path:
    """Return the path, with `mirror:` replaced by the mirror's folder.

    Raises:
        ConfigError: If the mirror is asked for and there is none.
    """
    if not path.startswith(PREFIX):
        return Path(path)
    folder = os.environ.get(VARIABLE)
    if not folder:
        msg = f"{path} needs the environment variable {VARIABLE} to name the mirror's folder"
        raise ConfigError(msg)
    if not Path(folder).is_dir():
        msg = f"{path}: the environment variable {VARIABLE} names {folder!r}, which is no folder"
        raise ConfigError(msg)
    return Path(folder) / path.removeprefix(PREFIX)
