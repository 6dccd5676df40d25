"""Segment new images: a task model and a folder in, masks on the images' own grids out.

medssl predict configs/predict/segmentation.yaml --set source=path/to/dicom

Written below the output folder: a mask `<case_id>.nii.gz` for each volume, in the axes and the
affine of its files; `classes.json` (which number is which class); `predictions.parquet` (the
volume of each class); `verdicts.parquet` (what became of each file); `figures/<case_id>.png`;
and `private/` (0700), whose table alone says which files an id stands for. A run that is
started again goes on with the masks that are missing.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import nibabel
import numpy as np
import pyarrow as pa
import torch
from jaxtyping import UInt8
from pydantic import TypeAdapter

from medssl.config.component import build
from medssl.config.load import dump
from medssl.config.stages.predict import Predict
from medssl.data.archive.ledger import Ledger
from medssl.data.archive.private import KEY, open_private, write_files
from medssl.data.archive.pseudonyms import Pseudonyms, make_key, read_key
from medssl.data.archive.read import volumes_of
from medssl.data.manifest import Case, Manifest
from medssl.data.preprocessing import Preprocessing, intensity, prepare
from medssl.data.preprocessing.space import to_ras
from medssl.data.volume import Volume
from medssl.errors import ConfigError, DataError
from medssl.geometry import spacing_mm
from medssl.inference.sliding_window import SlidingWindow
from medssl.inference.source_grid import to_source_grid
from medssl.models.network import DenseNetwork
from medssl.training.checkpoint import differing
from medssl.training.fabric import place, start
from pipelines._files import write_json, write_table
from pipelines._hidden import place_of, without_paths
from pipelines._mask_figures import draw_planes, three_planes
from pipelines._network import restore, window_of
from pipelines._output import check_outside
from pipelines._records import record_of
from pipelines._runs import identify

PREDICTIONS = pa.schema(
    {
        "case_id": pa.string(),
        "class_name": pa.string(),
        "voxels": pa.int64(),
        "volume_ml": pa.float64(),
    }
)
DESCRIPTION_BYTES = 79  # NIfTI's field has 80, the last of which ends it


def run(cfg: Predict) -> None:
    """Read each volume that the source holds, segment it, write its mask."""
    # Data
    check_outside(cfg.output, {"source": cfg.source})
    private = open_private(cfg.output)
    claim(cfg, private)
    hidden = Pseudonyms(make_key(private / KEY) if cfg.key is None else read_key(cfg.key))
    layouts = {} if cfg.layout is None else {0: build(cfg.layout)}
    ledger = Ledger(hidden, layouts=layouts)
    volumes = volumes_of(place_of(cfg.source, "source"), ledger, modality=cfg.modality)

    # Model
    task = load_task(cfg)
    write_json(task.legend, cfg.output / "classes.json")

    shown = dump(without_paths(cfg, hidden))
    with build(cfg.tracker).run(f"predict {cfg.output.name}", config=shown) as tracked:
        # Masks
        cases: list[Case] = []
        rows: list[dict[str, Any]] = []
        for case, image in volumes:
            mask = read_mask(cfg.output, case)
            if mask is None:
                mask = task.segment(image, case.modality)
                draw(mask, image, case, task.classes, cfg.output)
                write_mask(mask, image, case, task.classes, cfg.output)
            print(f"{case.case_id}: {image.voxels.shape[1:]} voxels segmented")
            cases.append(case)
            rows += measure(mask, image, case, task.classes)

        # Result
        write_files(ledger.files(), private)
        write_table(ledger.verdicts(), cfg.output / "verdicts.parquet")
        if not cases:
            raise DataError(nothing_found(cfg, ledger))
        write_table(pa.Table.from_pylist(rows, PREDICTIONS), cfg.output / "predictions.parquet")
        tracked.dataset(record_of(Manifest.of(cases), cfg.output, context="predict"))
        tracked.metrics(0, {"predict/cases": float(len(cases))})
        for name in ("predictions.parquet", "verdicts.parquet", "classes.json", "figures"):
            tracked.artifact(cfg.output / name)
    print_summary(cfg, len(cases), ledger)


@dataclass(frozen=True)
class Task:
    """A network with what it takes to feed it and to read it."""

    network: DenseNetwork
    window: SlidingWindow
    contract: Preprocessing
    classes: tuple[str, ...]
    fabric: Any

    @property
    def legend(self) -> dict[str, str]:
        """Which number is which class."""
        return {str(number): name for number, name in enumerate(("background", *self.classes))}

    def segment(self, image: Volume, modality: str | None) -> UInt8[np.ndarray, "i j k"]:
        """Return the class of each voxel of an image, on the image's own grid."""
        prepared = prepare(image, self.contract, modality)
        mapped = intensity(prepared, modality, self.contract)(prepared.voxels)
        with self.fabric.autocast():
            probabilities = self.window(
                self.network,
                self.fabric.to_device(torch.from_numpy(mapped)),
                len(self.classes) + 1,
            )
        return to_source_grid(
            probabilities.cpu().numpy(), prepared.affine, image.affine, image.voxels.shape[1:]
        )


def load_task(cfg: Predict) -> Task:
    """Return the task that an export was trained for, on the device."""
    fabric = start(
        device=cfg.device, devices=1, num_nodes=1, strategy="auto", precision=cfg.precision
    )
    network, card = restore(cfg.model)
    window = window_of(card, overlap=cfg.window_overlap, batch_vox=cfg.batch_vox)
    contract = TypeAdapter(Preprocessing).validate_python(card["preprocessing"])
    place(network, fabric)
    return Task(network, window, contract, tuple(card["classes"]), fabric)


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


def read_mask(output: Path, case: Case) -> UInt8[np.ndarray, "i j k"] | None:
    """Return the mask that an earlier start of this run has written, if it has."""
    path = mask_path(output, case)
    if not path.is_file():
        return None
    return np.asarray(cast(nibabel.Nifti1Image, nibabel.load(path)).dataobj)


def write_mask(
    mask: UInt8[np.ndarray, "i j k"],
    image: Volume,
    case: Case,
    classes: Sequence[str],
    output: Path,
) -> None:
    """Write a mask in the axes and the affine of its image, whole or not at all."""
    written: Any = cast(Any, nibabel).Nifti1Image(mask, image.affine)
    written.set_sform(image.affine, code="scanner")
    written.set_qform(image.affine, code="scanner")
    written.header.set_xyzt_units("mm")
    legend = ", ".join(f"{number} {name}" for number, name in enumerate(classes, start=1))
    written.header["descrip"] = legend.encode("ascii", "replace")[:DESCRIPTION_BYTES]
    path = mask_path(output, case)
    temporary = path.with_name(f".part.{path.name}")
    nibabel.save(written, temporary)
    temporary.replace(path)


def mask_path(output: Path, case: Case) -> Path:
    """Return where the mask of a case goes."""
    return output / f"{case.case_id}.nii.gz"


def measure(
    mask: UInt8[np.ndarray, "i j k"], image: Volume, case: Case, classes: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the volume of each class."""
    voxel_ml = abs(np.linalg.det(image.affine[:3, :3])) / 1000
    counts = np.bincount(mask.ravel(), minlength=len(classes) + 1).tolist()
    return [
        {
            "case_id": case.case_id,
            "class_name": name,
            "voxels": counts[number],
            "volume_ml": counts[number] * voxel_ml,
        }
        for number, name in enumerate(classes, start=1)
    ]


def draw(
    mask: UInt8[np.ndarray, "i j k"],
    image: Volume,
    case: Case,
    classes: Sequence[str],
    output: Path,
) -> None:
    """Draw the mask's outlines on three planes of its image, for people to check."""
    shown = to_ras(image)
    labels = to_ras(Volume(mask[None], image.affine)).voxels[0]
    planes = three_planes(
        shown.voxels[0].astype(np.float32), (labels,), spacing_mm(shown.affine).tolist()
    )
    path = output / "figures" / f"{case.case_id}.png"
    draw_planes([planes], path, class_names=classes, title=case.case_id)


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
    print(f"{num_cases} volumes segmented: {cfg.output}")
