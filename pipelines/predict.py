"""Predict on new images: a model and a folder in, masks or codes on the images' own grids out.

medssl predict configs/predict/segmentation.yaml --set source=path/to/dicom

With a model of a task there is a mask `<case_id>.nii.gz` for each volume, in the axes and the
affine of its files; `classes.json` says which number is which class, `predictions.parquet` the
volume of each class. With one of contrastive analysis there is a map `<case_id>.nii.gz` of the
salient score, and `codes.parquet` holds both codes. Beside these are `verdicts.parquet` (what
became of each file), `figures/<case_id>.png`, and `private/` (0700), whose table alone says which
files an id stands for. A run that is started again goes on with the volumes that are missing.
"""

import json
from pathlib import Path
from typing import Any, ClassVar, Protocol

import pyarrow as pa

from medssl.config.component import build
from medssl.config.load import dump
from medssl.config.stages.predict import Predict
from medssl.data.archive.ledger import Ledger
from medssl.data.archive.private import KEY, open_private, write_files
from medssl.data.archive.pseudonyms import Pseudonyms, make_key, read_key
from medssl.data.archive.read import volumes_of
from medssl.data.manifest import Case, Manifest
from medssl.data.volume import Volume
from medssl.errors import ConfigError, DataError
from medssl.models.export import read_card
from medssl.training.checkpoint import differing
from pipelines._codes import PART
from pipelines._files import write_json, write_table
from pipelines._hidden import place_of, without_paths
from pipelines._masks import load_masks
from pipelines._output import check_outside
from pipelines._records import record_of
from pipelines._runs import identify
from pipelines._salience import load_salience


class Predictor(Protocol):
    """What a model says of a volume.

    Attributes:
        table: The file of what it says of all of them.
        schema: Of that table; None where it depends on the model.
        files: What `begin` writes.
    """

    table: ClassVar[str]
    schema: ClassVar[pa.Schema | None]
    files: ClassVar[tuple[str, ...]]

    def begin(self, output: Path) -> None:
        """Write what does not depend on the volumes."""
        ...

    def predict(self, image: Volume, case: Case, output: Path) -> list[dict[str, Any]]:
        """Write what lies on an image's grid, if it is not there, and return rows of the table."""
        ...


def run(cfg: Predict) -> None:
    """Read each volume that the source holds, and write what the model says of it."""
    # Data
    check_outside(cfg.output, {"source": cfg.source})
    private = open_private(cfg.output)
    claim(cfg, private)
    hidden = Pseudonyms(make_key(private / KEY) if cfg.key is None else read_key(cfg.key))
    layouts = {} if cfg.layout is None else {0: build(cfg.layout)}
    ledger = Ledger(hidden, layouts=layouts)
    volumes = volumes_of(place_of(cfg.source, "source"), ledger, modality=cfg.modality)

    # Model
    predictor = load_predictor(cfg)
    predictor.begin(cfg.output)

    shown = dump(without_paths(cfg, hidden))
    with build(cfg.tracker).run(f"predict {cfg.output.name}", config=shown) as tracked:
        # Volumes
        cases: list[Case] = []
        rows: list[dict[str, Any]] = []
        for case, image in volumes:
            rows += predictor.predict(image, case, cfg.output)
            print(f"{case.case_id}: {image.voxels.shape[1:]} voxels predicted")
            cases.append(case)

        # Result
        write_files(ledger.files(), private)
        write_table(ledger.verdicts(), cfg.output / "verdicts.parquet")
        if not cases:
            raise DataError(nothing_found(cfg, ledger))
        write_table(pa.Table.from_pylist(rows, predictor.schema), cfg.output / predictor.table)
        tracked.dataset(record_of(Manifest.of(cases), cfg.output, context="predict"))
        tracked.metrics(0, {"predict/cases": float(len(cases))})
        for name in (predictor.table, "verdicts.parquet", *predictor.files, "figures"):
            tracked.artifact(cfg.output / name)
    print_summary(cfg, len(cases), ledger)


def load_predictor(cfg: Predict) -> Predictor:
    """Return what the model says: codes where it has them, else masks."""
    card = cfg.model / "card.json"
    has_codes = card.is_file() and PART in read_card(cfg.model)["parts"]
    return load_salience(cfg) if has_codes else load_masks(cfg)


def claim(cfg: Predict, private: Path) -> None:
    """Make the output this run's, or find that it is.

    Raises:
        ConfigError: If there are masks of another model or another source.
    """
    identity = identify(cfg, model=cfg.model / "weights.safetensors")
    note = private / "run.json"
    if not note.is_file():
        write_json(identity, note)
    elif different := differing(json.loads(note.read_text()), identity):
        msg = (
            f"{cfg.output} holds predictions of a run with another {', '.join(different)}; "
            "choose another output, or delete that folder"
        )
        raise ConfigError(msg)


def nothing_found(cfg: Predict, ledger: Ledger) -> str:
    """Return why there is nothing to predict on."""
    refused = ", ".join(f"{count} {code}" for (_, code), count in sorted(ledger.counts().items()))
    return (
        f"the source holds no volume among its {len(ledger.entries)} files ({refused}); "
        f"see {cfg.output}/verdicts.parquet for why each was refused"
    )


def print_summary(cfg: Predict, num_cases: int, ledger: Ledger) -> None:
    """Print what became of the files, and where the masks are."""
    for (is_accepted, code), count in sorted(ledger.counts().items(), reverse=True):
        print(f"{'accepted' if is_accepted else 'refused'}: {code}  {count} files")
    print(f"{num_cases} volumes predicted: {cfg.output}")
