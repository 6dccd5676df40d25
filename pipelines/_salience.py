"""Codes of new images and where they are salient: `predict` with both codes of an export."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float, Float32
from pydantic import TypeAdapter
from torch import Tensor

from medssl.config.stages.predict import Predict
from medssl.data.manifest import Case
from medssl.data.preprocessing import Preprocessing, intensity, prepare
from medssl.data.preprocessing.space import to_ras
from medssl.data.volume import Volume
from medssl.descriptors.encoder import Encoder
from medssl.geometry import spacing_mm
from medssl.inference.sliding_window import SlidingWindow
from medssl.inference.source_grid import values_on_source_grid
from medssl.models.codes import Codes
from medssl.models.export import read_card
from medssl.training.fabric import place, start
from pipelines._codes import restore_codes
from pipelines._files import write_json
from pipelines._heat_figures import draw_heat
from pipelines._network import window_of
from pipelines._stacks import stacked
from pipelines._volumes import write_volume

DESCRIPTION = "salient score: distance from the background's code, by gradient"


@dataclass(frozen=True)
class Salience:
    """Both codes with what it takes to feed them.

    Args:
        codes: The networks, on the device.
        window: What of a volume they see at once: as large as the crops they learned from.
        describe: Makes the codes of a volume, as `embed` does, from the means of its windows.
        contract: How images are prepared.
        fabric: Where to compute.
    """

    table: ClassVar[str] = "codes.parquet"
    files: ClassVar[tuple[str, ...]] = ()
    schema: ClassVar[pa.Schema | None] = None  # a column a number of either code

    codes: Codes
    window: SlidingWindow
    describe: Encoder
    contract: Preprocessing
    fabric: Any

    def begin(self, output: Path) -> None:
        """Write nothing: columns of the table say what they are."""

    def predict(self, image: Volume, case: Case, output: Path) -> list[dict[str, Any]]:
        """Write the map of an image, if none is there, and return its codes."""
        known = output / "codes" / f"{case.case_id}.json"
        path = output / f"{case.case_id}.nii.gz"
        if not (known.is_file() and path.is_file()):
            prepared = prepare(image, self.contract, case.modality)
            mapped = intensity(prepared, case.modality, self.contract)(prepared.voxels)
            values = self.map(mapped)
            on_source = values_on_source_grid(
                values, prepared.affine, image.affine, image.voxels.shape[1:]
            )
            draw(on_source, image, case, output)
            write_json({"case_id": case.case_id, **self.row(mapped)}, known)
            write_volume(on_source, image.affine, path, description=DESCRIPTION)
        row: dict[str, Any] = json.loads(known.read_text())
        return [row]

    def row(self, mapped: Float32[np.ndarray, "channel i j k"]) -> dict[str, float]:
        """Return the codes of a volume and how far the salient one is from the background's."""
        vector = self.describe.volume(stacked(mapped, self.window.thickness))
        own = [name.startswith("salient_projection.") for name in self.codes.columns]
        score = float(np.linalg.norm(vector[own] - self.codes.constant))
        named = zip(self.codes.columns, vector.tolist(), strict=True)
        return {"salient_score": score, **dict(named)}

    def map(self, mapped: Float32[np.ndarray, "channel i j k"]) -> Float32[np.ndarray, "i j k"]:
        """Return each window's salient score, shared out over its voxels by the gradient's size."""
        image = self.fabric.to_device(torch.from_numpy(mapped))
        found: np.ndarray = self.window.averaged(self.shares, image).cpu().numpy()
        return found

    def shares(
        self, window: Float[Tensor, "window channel *spatial"]
    ) -> Float[Tensor, "window 1 *spatial"]:
        """Return maps whose means are the windows' scores."""
        with torch.enable_grad():
            leaf = window.detach().requires_grad_()
            score = self.codes.salience(leaf)
            (gradient,) = torch.autograd.grad(score.sum(), leaf)
        size = gradient.abs().sum(dim=1, keepdim=True)
        axes = tuple(range(1, size.ndim))
        mean = size.mean(dim=axes, keepdim=True)
        even = torch.where(mean > 0, size / mean, 1.0)  # a flat score is everybody's
        return even * score.detach().view(-1, *(1,) * (size.ndim - 1))


def load_salience(cfg: Predict) -> Salience:
    """Return the codes of an export, on the device."""
    fabric = start(
        device=cfg.device, devices=1, num_nodes=1, strategy="auto", precision=cfg.precision
    )
    card = read_card(cfg.model)
    codes = restore_codes(cfg.model)
    codes.requires_grad_(requires_grad=False)
    place(codes, fabric)
    window = window_of(card, overlap=cfg.window_overlap, batch_vox=cfg.batch_vox)
    contract = TypeAdapter(Preprocessing).validate_python(card["preprocessing"])
    return Salience(codes, window, describing(codes, card), contract, fabric)


def describing(codes: Codes, card: Mapping[str, Any]) -> Encoder:
    """Return what makes the codes of a volume, of pieces as large as the crops."""
    stride = codes.strides[-1]
    pieces = tuple(-(-side // stride) * stride for side in card["crop_vox"])
    return Encoder(codes, crop_vox=pieces)


def draw(values: Float[np.ndarray, "i j k"], image: Volume, case: Case, output: Path) -> None:
    """Draw the map over three planes of its image, where it is largest."""
    shown = to_ras(image)
    heat = to_ras(Volume(values[None], image.affine)).voxels[0]
    path = output / "figures" / f"{case.case_id}.png"
    draw_heat(
        shown.voxels[0].astype(np.float32),
        heat,
        spacing_mm(shown.affine).tolist(),
        path,
        title=case.case_id,
    )
