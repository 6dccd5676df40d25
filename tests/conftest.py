import os
import runpy
from pathlib import Path
from types import SimpleNamespace

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


@pytest.fixture(scope="session")
def hostile():
    """What the files of `tests/hostile` define, by the file's name."""
    return SimpleNamespace(
        **{
            path.stem: SimpleNamespace(**runpy.run_path(str(path)))
            for path in (Path(__file__).parent / "hostile").glob("*.py")
            if path.stem != "reader"  # which is a process of its own
        }
    )
