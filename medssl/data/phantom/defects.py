"""Defects: what an archive holds besides whole series of images."""

from pathlib import Path

import numpy as np
from pydicom import dcmread, dcmwrite, uid

from medssl.data.phantom.dicom import Header, common, unique_id
from medssl.data.phantom.identity import Person


def cut_short(path: Path) -> None:
    """Leave the first part of a file whose pixels come last: the header and half of them."""
    content = path.read_bytes()
    path.write_bytes(content[: -(len(dcmread(path).PixelData) // 2)])


def drop_inner(paths: list[Path]) -> list[Path]:
    """Delete the slice in the middle of the paths, which are in order; return the others."""
    middle = len(paths) // 2
    paths[middle].unlink()
    return paths[:middle] + paths[middle + 1 :]


def write_screenshot(path: Path, header: Header, rng: np.random.Generator) -> None:
    """Write a secondary capture: a small color picture without a place in the patient."""
    dataset = common(header, uid.SecondaryCaptureImageStorage, unique_id(header.series_uid, 0))
    dataset.Modality, dataset.ConversionType = "OT", "WSD"
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    dataset.InstanceNumber = 1
    pixels = rng.integers(0, 256, size=(48, 64, 3), dtype=np.uint8)
    dataset.set_pixel_data(pixels, "RGB", 8, generate_instance_uid=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    dcmwrite(path, dataset, enforce_file_format=True)


def write_note(path: Path, person: Person) -> None:
    """Write a text about a patient."""
    path.write_text(f"{person.given} {person.surname} asked for a copy. {person.note}\n")
