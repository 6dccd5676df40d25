"""Has files read by another process, and says so where it dies or does not come back."""

import json
import selectors
import subprocess
import sys
from pathlib import Path

READER = Path(__file__).with_name("reader.py")
START_S, FILE_S = 60, 15  # above the bound, so that a slow file is told from one without end


def outcomes(files):
    """Return what became of each file: its verdict, or how the reader ended."""
    found = []
    while len(found) < len(files):
        found += _of_one_process(files[len(found) :])
    return found


def _of_one_process(files):
    found, patience_s = [], START_S
    command = [sys.executable, str(READER)]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # where libraries of C write what they think of a file
        text=True,
    ) as process:
        ready = selectors.DefaultSelector()
        ready.register(process.stdout, selectors.EVENT_READ)
        for file in files:
            process.stdin.write(f"{file}\n")
            process.stdin.flush()
            line = process.stdout.readline() if ready.select(patience_s) else None
            if not line:
                process.kill()
                said = "it does not come back" if line is None else "it ended the process"
                return [*found, {"crash": f"{said} (status {process.wait()})"}]
            found.append(json.loads(line))
            patience_s = FILE_S
        process.stdin.close()
    return found
