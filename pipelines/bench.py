"""Measure something that has a goal: a bench config in, figures and a verdict out.

medssl bench configs/bench/index_throughput.yaml

Written below the output folder: `bench.json` (what was measured, on which machine, by which
code) and the bench's pictures. The last lines that are printed are `NAME: VALUE UNIT (goal ...)`,
the one that matters most at the end; the status is 1 if any goal is missed.
"""

from dataclasses import asdict
from typing import Any

import yaml

from medssl.config.component import build
from medssl.config.load import dump
from medssl.config.stages.bench import Bench
from medssl.errors import ShortfallError
from pipelines._commit import commit
from pipelines._files import write_json
from pipelines.benches import Measured, Result
from pipelines.benches._measuring import setting

RECORD = "bench.json"


def run(cfg: Bench) -> None:
    """Measure, write down, print, and judge."""
    # Measurement, before anything else takes time or memory in this process
    cfg.output.mkdir(parents=True, exist_ok=True)
    found: Result = build(cfg.bench)(cfg.output)

    # Result
    record = {
        "config": yaml.safe_load(dump(cfg))["bench"],
        "machine": setting(),
        "commit": commit(),
        "measured": [_row(one) for one in found.measured],
        "details": dict(found.details),
    }
    write_json(record, cfg.output / RECORD)
    with build(cfg.tracker).run(f"bench {cfg.output.name}", config=dump(cfg)) as tracked:
        numbers = {f"{cfg.bench.name}/{one.name}": one.value for one in found.measured}
        tracked.metrics(0, numbers)
        for name in (RECORD, *found.figures):
            tracked.artifact(cfg.output / name)
    for one in found.measured:
        print(f"{cfg.bench.name}.{one.line}")
    if short := [one.name for one in found.measured if one.is_short]:
        msg = f"{len(short)} of {len(found.measured)} goals missed: {', '.join(short)}"
        raise ShortfallError(msg)


def _row(one: Measured) -> dict[str, Any]:
    return asdict(one) | {"is_short": one.is_short}
