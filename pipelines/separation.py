"""Ask how well codes are kept apart: codes and attributes in, what either code tells of what out.

medssl separation configs/separation/digits.yaml

`table.json` and `table.parquet` hold a line an attribute, arm and level: the score from the common
and from the salient code, with what chance and shuffled labels reach; `deviation.json` how far an
arm is off a perfect separation; `predictions.parquet` what each probe said of each case;
`separation.png` and `codes_<arm>.png` show it.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from medssl.config.component import build
from medssl.config.load import dump
from medssl.config.stages.separation import Separation
from medssl.data.engine import map_bounded, open_pool
from medssl.data.manifest import Manifest, read_manifest
from medssl.errors import DataError
from medssl.evaluation.separation import Probed, probe
from pipelines._files import write_json, write_table
from pipelines._progress import track
from pipelines._questions import Question, questions
from pipelines._records import record_of
from pipelines._separated import Answer, deviations, lines_of, metrics, row_of, show
from pipelines._separation_figures import draw
from pipelines._spaces import Space, spaces

MOST_SENT_BYTES = 1 << 30  # codes that are with those who work


def run(cfg: Separation) -> None:
    """Read codes and attributes, probe, compare, keep the table."""
    # Data
    manifest = read_manifest(cfg.manifest)
    fitted, scored = (split_of(cfg, manifest, name) for name in (cfg.fitted_on, cfg.scored_on))
    asked = questions(cfg, fitted, scored)
    of_arms = spaces(cfg, fitted, scored)

    with build(cfg.tracker).run(f"separation {cfg.output.name}", config=dump(cfg)) as tracked:
        tracked.dataset(record_of(scored, cfg.manifest, context="separation"))

        # Probing
        answers = answer_all(cfg, asked, of_arms)
        lines = lines_of(cfg, answers)

        # Result
        rows = [row_of(line) for line in lines]
        told = pa.concat_tables(table_of(scored, one) for one in answers)
        write_table(told, cfg.output / "predictions.parquet")
        write_table(pa.Table.from_pylist(rows), cfg.output / "table.parquet")
        write_json({"lines": rows}, cfg.output / "table.json")
        write_json({"deviations": deviations(lines)}, cfg.output / "deviation.json")
        figures = draw(cfg, lines, asked, of_arms)
        tracked.metrics(0, metrics(lines))
        for name in ("table.parquet", "table.json", "deviation.json", *figures):
            tracked.artifact(cfg.output / name)
    show(cfg, lines)
    print(f"{len(answers)} probes on {len(cfg.descriptors)} sets of codes: {cfg.output}")


def split_of(cfg: Separation, manifest: Manifest, name: str) -> Manifest:
    """Return the cases of a split.

    Raises:
        DataError: If there is none.
    """
    cases = manifest.split(name)
    if not len(cases):
        known = sorted({str(split) for split in manifest.table["split"].to_pylist()})
        msg = f"{cfg.manifest} has no case of the split {name!r}: expected one of {known}"
        raise DataError(msg)
    return cases


@dataclass(frozen=True)
class Ask:
    """A probe, as it is sent to those who work."""

    num_permutations: int
    seed: int

    def __call__(self, unit: tuple[Question, Space]) -> Probed:
        """Return what a probe on a space says of the scored cases of a question."""
        question, space = unit
        return probe(
            question.kind,
            space.fitted,
            question.fitted.labels,
            question.fitted.subjects,
            space.scored,
            num_permutations=self.num_permutations,
            seed=self.seed,
        )


def answer_all(cfg: Separation, asked: list[Question], of_arms: list[Space]) -> list[Answer]:
    """Return what a probe on each space says to each question.

    Raises:
        DataError: If a question can not be asked of these cases; it is named.
    """
    units = [(question, space) for question in asked for space in of_arms]
    with open_pool(cfg.scheduler, cfg.jobs) as pool:
        found = map_bounded(
            Ask(cfg.num_permutations, cfg.seed),
            units,
            pool=pool,
            memory_bytes=MOST_SENT_BYTES,
            cost_bytes=lambda unit: unit[1].fitted.nbytes + unit[1].scored.nbytes,
            named=lambda unit: f"attribute {unit[0].name}, {unit[1].title}",
            sent=lambda unit: (unit[0], unit[1].of(unit[0])),
        )
        return [
            Answer(*unit, probed)
            for unit, probed in track(found, total=len(units), label="separation", unit="probes")
        ]


def table_of(cases: Manifest, answer: Answer) -> pa.Table:
    """Return what a probe said, case by case."""
    question, space = answer.question, answer.space
    rows = pa.array(question.scored.rows)
    columns = {
        "case_id": cases.table["case_id"].take(rows),
        "subject_id": cases.table["subject_id"].take(rows),
        "label": question.scored.labels.astype(np.float64),
        "predicted": answer.probed.predicted.astype(np.float64),
    }
    alike = {"attribute": question.name, **space.place}
    repeated = {name: pa.repeat(pa.scalar(text), len(rows)) for name, text in alike.items()}
    return pa.table(columns | repeated)
