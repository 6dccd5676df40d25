import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def mirror():
    """The folder of real images that MEDSSL_MIRROR names; without it a test skips."""
    named = os.environ.get("MEDSSL_MIRROR")
    if not named:
        pytest.skip("MEDSSL_MIRROR names no folder of real images")
    if not Path(named).is_dir():
        pytest.fail(f"MEDSSL_MIRROR names {named}, which is no folder")
    return Path(named)
