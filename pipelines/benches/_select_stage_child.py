"""The stage `select` in a process of its own, to see what it takes.

`python -m ... KEY=VALUE ...`; the last line that it prints has the seconds, and the most memory
that the process has had.
"""

import json
import sys
import time

from medssl.config.load import load
from medssl.config.stages.select import Select
from pipelines.benches._measuring import peak_bytes
from pipelines.select import run


def main(overrides: list[str]) -> None:
    """Run the stage and say what it took."""
    cfg = load(Select, None, overrides)
    start = time.perf_counter()
    run(cfg)
    taken_s = time.perf_counter() - start
    print(json.dumps({"taken_s": taken_s, "peak_bytes": peak_bytes()}))


if __name__ == "__main__":
    main(sys.argv[1:])
