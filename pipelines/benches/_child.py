"""One stage over one archive in a process of its own: `python -m ... PART ARCHIVE OUTPUT`.

It prints the seconds that the work took, on the clock and on the processors, and waits with
all of its memory until its input is closed: what it took is read from outside.
"""

import json
import resource
import sys
import time
from pathlib import Path

from pipelines.benches._road import headers, index_and_cache

JOBS = 2


def main(part: str, archive: Path, output: Path) -> None:
    """Do the work, say what it took, and wait."""
    start = time.perf_counter()
    if part == "headers":
        headers(archive, output, jobs=JOBS)
    else:
        index_and_cache([archive], output, jobs=JOBS)
    wall_s = time.perf_counter() - start
    print(json.dumps({"wall_s": wall_s, "cpu_s": _cpu_s()}), flush=True)
    sys.stdin.read()


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
