"""Run a study: all its steps in order, under one parent run, each step only if it has to.

medssl study configs/study/demo.yaml --set all.device=cuda

One cell of each step runs first: a step that fails is known early, and how long the others will
take is told from measured seconds. A cell whose config, inputs and package version are those of
its last finished run is skipped; one that was interrupted goes on where it stopped; one whose
config changed runs anew, and what it wrote before is kept once under `replaced/`.
"""

import importlib
import json
import resource
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from medssl.config.component import Component, build
from medssl.config.load import dump
from medssl.config.stages.study import Study
from medssl.errors import MedsslError
from medssl.tracking import Run
from pipelines._cells import Cell, cell_name, lay_out
from pipelines._files import write_json
from pipelines._hidden import overlay_without_paths
from pipelines._pace import Pace, one_of_each_first

RECORDS = ".records"
OF_ARCHIVES = ("index", "predict")  # stages that are told where an archive is


def run(cfg: Study) -> None:
    """Lay the study out, run what is not done, and say where to look."""
    cells = lay_out(cfg)
    cfg.output.mkdir(parents=True, exist_ok=True)
    parent = cfg.output / RECORDS / "parent.json"
    tracker = build(_with(cfg.tracker, experiment=cfg.name))
    resume = json.loads(parent.read_text())["run_id"] if parent.is_file() else None

    with tracker.run(cfg.name, config=dump(_shown(cfg)), resume=resume) as tracked:
        write_json({"run_id": tracked.run_id}, parent)
        _run_all(cfg, cells, tracked)
        opened_by = tracked.opened_by

    print(f"study {cfg.name} is complete: {cfg.output}")
    if opened_by:
        print(f"look at it with:\n  {opened_by}")


def _run_all(cfg: Study, cells: list[Cell], tracked: Run) -> None:
    """Run one cell of each step, tell from it how long the others take, and run them."""
    first, rest = one_of_each_first(cells)
    pace = Pace()
    for number, cell in enumerate([*first, *rest], start=1):
        if number == len(first) + 1:
            print(pace.table(cells, [other for other in rest if not _is_done(cfg, other)]))
        place = f"[{number}/{len(cells)}] {cell.title}"
        if _is_done(cfg, cell):
            pace.add(cell, _known(cfg, cell)["elapsed_s"])
            print(f"{place}: unchanged, skipped", flush=True)
            continue
        print(place, flush=True)
        elapsed_s = _run_one(cfg, cell, tracked)
        pace.add(cell, elapsed_s)
        peak_gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        tracked.metrics(0, {f"time_s/{cell.title}": elapsed_s, f"peak_gib/{cell.title}": peak_gib})
        print(f"{place}: {elapsed_s:.1f} s, peak memory {peak_gib:.2f} GiB", flush=True)


def _run_one(cfg: Study, cell: Cell, tracked: Run) -> float:
    """Run one cell, note that it is done, and return how long it took."""
    if _known(cfg, cell).get("fingerprint") != cell.fingerprint:
        _set_aside(cell.output, cfg.output / "replaced" / cell.step)
    known = {"fingerprint": cell.fingerprint, "finished": False}
    write_json(known, _record(cfg, cell))
    elapsed_s = _call(cfg, cell, tracked)
    write_json(known | {"finished": True, "elapsed_s": elapsed_s}, _record(cfg, cell))
    return elapsed_s


def _is_done(cfg: Study, cell: Cell) -> bool:
    known = _known(cfg, cell)
    return known.get("fingerprint") == cell.fingerprint and known["finished"]


def _known(cfg: Study, cell: Cell) -> dict[str, Any]:
    """Return what the record of a cell says, nothing if there is none."""
    record = _record(cfg, cell)
    return json.loads(record.read_text()) if record.is_file() else {}


def _record(cfg: Study, cell: Cell) -> Path:
    return cfg.output / RECORDS / cell.step / f"{cell_name(cell.values) or 'only'}.json"


def _call(cfg: Study, cell: Cell, tracked: Run) -> float:
    """Run the cell's stage as a child of the study; return how long it took."""
    config = cell.config
    if hasattr(config, "tracker"):
        own = {"experiment": cfg.name, "parent": tracked.run_id, "title": cell.title}
        config = replace(config, tracker=_with(cfg.tracker, **own))
    began = time.monotonic()
    try:
        importlib.import_module(f"pipelines.{cell.stage}").run(config)
    except MedsslError as error:
        msg = f"step {cell.title}: {error}"
        raise type(error)(msg) from error
    return time.monotonic() - began


def _with(tracker: Component, **own: Any) -> Component:
    """Return the tracker with those arguments that it takes."""
    return replace(
        tracker,
        params={key: own.get(key, value) for key, value in tracker.params.items()},
    )


def _shown(cfg: Study) -> Study:
    """Return the study as its record keeps it: without the paths of an archive."""
    steps = {
        name: step
        if step.stage not in OF_ARCHIVES
        else replace(
            step,
            set=overlay_without_paths(step.set),
            matrix=overlay_without_paths(step.matrix),
        )
        for name, step in cfg.steps.items()
    }
    return replace(cfg, steps=steps)


def _set_aside(output: Path, folder: Path) -> None:
    """Keep what another config wrote once, and its resumable state not at all."""
    state = output.with_name(f"{output.name}.state")
    if state.exists():
        shutil.rmtree(state)
    if output.exists():
        kept = folder / output.name
        shutil.rmtree(kept, ignore_errors=True)
        kept.parent.mkdir(parents=True, exist_ok=True)
        output.rename(kept)
