import errno
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
def objects():
    """What `dicom_objects.py` defines: writes segmentations and structure sets over a series."""
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "dicom_objects.py")))


@pytest.fixture
def unlistable(monkeypatch):
    """Return a function after which a folder cannot be listed, by whomever: root may list all."""
    closed = set()
    scandir = os.scandir

    def refusing(path="."):
        if Path(os.fsdecode(path)) in closed:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return scandir(path)

    def close(folder, *, is_closed=True):
        (closed.add if is_closed else closed.remove)(folder)

    monkeypatch.setattr(os, "scandir", refusing)
    return close


@pytest.fixture
def environment_kept():
    """Undo what Dask's clusters set for all that is started later: a thread each."""
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)
