"""The work on the pieces of one image in which something is planted or not."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from medssl.data.cache import Cached, holds, open_cached, write_cached
from medssl.data.manifest import Case
from medssl.data.planting import FOREGROUND_ML, Planting, Scene
from medssl.data.preprocessing import Intensity
from medssl.data.volume import Volume, digest
from medssl.errors import DataError
from medssl.geometry import spacing_mm
from pipelines._files import write_json

GROUPS = ("background", "target")
# Raise it when the same case comes out of the same config as other voxels than before.
CODE_VERSION = 1
# What the work on one image holds at its peak, a voxel: the image as stored and as float32, its
# brightest channel, a copy with something in it, and masks and distances to find a place for that.
BYTES_A_VOXEL = 40


class Piece(NamedTuple):
    """One of the pieces of a case.

    Args:
        case: What it is made of.
        number: Which of the case's.
        is_target: Whether something is planted.
        seed: Of what is drawn for it.
    """

    case: Case
    number: int
    is_target: bool
    seed: int

    @property
    def case_id(self) -> str:
        """What it is called as a case of its own."""
        return piece_id(self.case, self.number)

    @property
    def is_held_out(self) -> bool:
        """Whether it must show what no piece shows that a model learns from."""
        return self.case.split == "test"


def piece_id(case: Case, number: int) -> str:
    """Return what a piece is called as a case of its own."""
    return f"{case.case_id}-{number}"


@dataclass(frozen=True)
class PlantWork:
    """The work on the pieces of one image.

    Args:
        root: The folder that the cases' paths start from.
        output: Where pieces go.
        planting: What is planted.
        described: The same as text.
    """

    root: Path
    output: Path
    planting: Planting
    described: str

    def sweep(self) -> None:
        """Remove what a killed run left half-written."""
        for part in self.output.glob("*/.*.part"):
            part.unlink()

    def plant(self, pieces: tuple[Piece, ...]) -> tuple[Case, ...]:
        """Return the rows of pieces of one image, after making what is not there yet."""
        image = open_cached(self.root / pieces[0].case.image_uri)
        # By path: copies of a case share their pieces.
        missing = {self.path(piece): piece for piece in pieces if not is_made(self.path(piece))}
        if missing:
            with of_case(pieces[0].case):
                scene = Scene.of(Volume(image.read(), image.affine))
            for path, piece in missing.items():
                self.make(piece, path, scene, image)
        return tuple(self.row(piece) for piece in pieces)

    def make(self, piece: Piece, path: Path, scene: Scene, source: Cached) -> None:
        """Write a piece, and then what is known of it."""
        rng = np.random.default_rng(piece.seed)
        with of_case(piece.case):
            planted = self.planting(
                scene, rng, is_target=piece.is_target, is_held_out=piece.is_held_out
            )
        voxels = planted.volume.voxels
        write_cached(
            path,
            planted.volume,
            intensity=Intensity(0.0, 1.0, float(voxels.min()), float(voxels.max())),
            source_affine=source.source_affine,
            source_shape=source.source_shape,
            key=path.stem,
        )
        known = {
            "digest": piece_digest(piece.case, planted.volume),
            "attributes": {FOREGROUND_ML: f"{scene.foreground_ml:.3f}"} | planted.attributes,
            "plane": planted.plane,
        }
        write_json(known, beside(path))

    def row(self, piece: Piece) -> Case:
        """Return the piece as the manifest lists it."""
        path = self.path(piece)
        cached, known = open_cached(path), facts(path)
        return replace(
            piece.case,
            case_id=piece.case_id,
            digest=known["digest"],
            image_uri=path.relative_to(self.output).as_posix(),
            label_uri=None,
            shape=list(cached.shape),
            spacing_mm=spacing_mm(cached.affine).tolist(),
            affine=cached.affine.ravel().tolist(),
            attributes=piece.case.attributes | known["attributes"],
            group=GROUPS[piece.is_target],
            bytes=int(cached.voxels.nbytes),
        )

    def path(self, piece: Piece) -> Path:
        """Return where a piece goes: named by all that its content is a function of."""
        source = Path(piece.case.image_uri).stem  # a key, of the image and how it was prepared
        parts = (
            CODE_VERSION, self.described, source, piece.seed, piece.is_target, piece.is_held_out
        )  # fmt: skip
        key = blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()
        return self.output / "volumes" / f"{key}.b2nd"


def piece_digest(case: Case, volume: Volume) -> str:
    """Return a digest that is equal for equal pieces of a case, and of copies of it.

    Of other cases it never is: two empty corners of images are no copies, and may be in two splits.
    """
    return blake2b(f"{case.digest} {digest(volume)}".encode(), digest_size=16).hexdigest()


def cost_bytes(pieces: tuple[Piece, ...]) -> int:
    """Return what the work takes at its peak, from the manifest."""
    return BYTES_A_VOXEL * int(np.prod(pieces[0].case.shape, dtype=np.int64))


def beside(path: Path) -> Path:
    """Return where that is written which a manifest says of a piece."""
    return path.with_suffix(".json")


def facts(path: Path) -> dict[str, Any]:
    """Return what is known of a piece that was made."""
    found: dict[str, Any] = json.loads(beside(path).read_text())
    return found


def is_made(path: Path) -> bool:
    """Return whether a piece is there and whole, with what is known of it."""
    return beside(path).is_file() and holds(path)


@contextmanager
def of_case(case: Case) -> Iterator[None]:
    """Say in which case nothing can be planted."""
    try:
        yield
    except DataError as error:
        msg = f"case {case.case_id}: {error}"
        raise DataError(msg) from error
