"""Masks of new images: what `predict` makes with a network of a segmentation task."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

import nibabel
import numpy as np
import pyarrow as pa
import torch
from jaxtyping import UInt8
from pydantic import TypeAdapter

from medssl.config.stages.predict import Predict
from medssl.data.manifest import Case
from medssl.data.preprocessing import Preprocessing, intensity, prepare
from medssl.data.preprocessing.space import to_ras
from medssl.data.volume import Volume
from medssl.geometry import spacing_mm
from medssl.inference.sliding_window import SlidingWindow
from medssl.inference.source_grid import to_source_grid
from medssl.models.network import DenseNetwork
from medssl.training.fabric import place, start
from pipelines._files import write_json
from pipelines._mask_figures import draw_planes, three_planes
from pipelines._network import restore, window_of
from pipelines._volumes import write_volume

PREDICTIONS = pa.schema(
    {
        "case_id": pa.string(),
        "class_name": pa.string(),
        "voxels": pa.int64(),
        "volume_ml": pa.float64(),
    }
)


@dataclass(frozen=True)
class Masks:
    """A network with what it takes to feed it and to read it."""

    table: ClassVar[str] = "predictions.parquet"
    files: ClassVar[tuple[str, ...]] = ("classes.json",)
    schema: ClassVar[pa.Schema] = PREDICTIONS

    network: DenseNetwork
    window: SlidingWindow
    contract: Preprocessing
    classes: tuple[str, ...]
    fabric: Any

    @property
    def legend(self) -> dict[str, str]:
        """Which number is which class."""
        return {str(number): name for number, name in enumerate(("background", *self.classes))}

    def begin(self, output: Path) -> None:
        """Write which number is which class."""
        write_json(self.legend, output / "classes.json")

    def predict(self, image: Volume, case: Case, output: Path) -> list[dict[str, Any]]:
        """Write the mask of an image, if none is there, and return the volume of each class."""
        mask = read_mask(output, case)
        if mask is None:
            mask = self.segment(image, case.modality)
            draw(mask, image, case, self.classes, output)
            legend = ", ".join(f"{n} {name}" for n, name in enumerate(self.classes, start=1))
            write_volume(mask, image.affine, mask_path(output, case), description=legend)
        return measure(mask, image, case, self.classes)

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


def load_masks(cfg: Predict) -> Masks:
    """Return the network of an export with a head, on the device."""
    fabric = start(
        device=cfg.device, devices=1, num_nodes=1, strategy="auto", precision=cfg.precision
    )
    network, card = restore(cfg.model)
    window = window_of(card, overlap=cfg.window_overlap, batch_vox=cfg.batch_vox)
    contract = TypeAdapter(Preprocessing).validate_python(card["preprocessing"])
    place(network, fabric)
    return Masks(network, window, contract, tuple(card["classes"]), fabric)


def read_mask(output: Path, case: Case) -> UInt8[np.ndarray, "i j k"] | None:
    """Return the mask that an earlier start of this run has written, if it has."""
    path = mask_path(output, case)
    if not path.is_file():
        return None
    return np.asarray(cast(nibabel.Nifti1Image, nibabel.load(path)).dataobj)


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
