"""Which code ran."""

import subprocess
from pathlib import Path

import medssl


def commit() -> str | None:
    """Return the commit of the code, if it runs from a checkout that tracks it."""
    code = Path(medssl.__file__)
    tracked = ["git", "-C", str(code.parent), "ls-files", "--error-unmatch", code.name]
    named = ["git", "-C", str(code.parent), "rev-parse", "HEAD"]
    try:
        subprocess.run(tracked, check=True, capture_output=True)
        return subprocess.run(named, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):  # no git, no checkout, or nothing committed
        return None
