"""Reads the files whose paths come in, one a line, and says of each in JSON what became of it.

A process of its own, since it is given no more memory than the bound that is tested.
"""

import json
import re
import resource
import sys
import time
import traceback
import warnings
from pathlib import Path

from medssl.data.archive.ledger import Ledger
from medssl.data.archive.pseudonyms import Pseudonyms
from medssl.data.archive.read import volumes_of
from medssl.data.manifest import Manifest
from medssl.data.volume import digest

MOST_BYTES = 1 << 30


def in_memory(name):
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) << 10


def read(path):
    ledger = Ledger(Pseudonyms(b"some secret of 16 bytes"))
    read = list(volumes_of(path, ledger))
    Manifest.of([case for case, _ in read])
    ledger.files()
    (row,) = ledger.verdicts().to_pylist()
    digests = [digest(volume) for _, volume in read]
    return {key: row[key] for key in ("status", "code", "sentence")} | {"digests": digests}


def look(path):
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    start_s = time.monotonic()
    try:
        found = read(path)
    except BaseException:
        found = {"crash": traceback.format_exc()}
    found |= {"seconds": time.monotonic() - start_s, "bytes": in_memory("VmHWM")}
    return found


if __name__ == "__main__":
    warnings.simplefilter("error")
    here = in_memory("VmSize")
    resource.setrlimit(resource.RLIMIT_AS, (here + MOST_BYTES, here + MOST_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for line in sys.stdin:
        print(json.dumps(look(Path(line.rstrip("\n")))), flush=True)
