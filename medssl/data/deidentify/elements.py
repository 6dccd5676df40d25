"""A data set built up from another by the whitelist.

Numbers are taken over byte by byte, so that a position keeps the digits it was written with; but
only if they are as many as the standard allows, in the encoding it gives them, and numbers.

Source: DICOM PS3.5 2024, 6.2 (value representations), 6.4 (multiplicity).
"""

import re
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pydicom
from pydicom.datadict import dictionary_has_tag, dictionary_VM, dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.uid import UID

from medssl.data.archive.cases import age_years
from medssl.data.archive.pseudonyms import Pseudonyms
from medssl.data.archive.words import shown
from medssl.data.deidentify.clock import Clock
from medssl.data.deidentify.whitelist import WHITELIST, Treatment
from medssl.data.dicom.elements import text

KINDS = {"US": "u2", "SS": "i2", "UL": "u4", "SL": "i4", "FL": "f4", "FD": "f8"}
# Digits before the point of a decimal: a date or a patient's number has more.
DECIMAL = rb" *[-+]?[0-9]{0,6}(\.[0-9]*)?([eE][-+]?[0-9]{1,3})? *"
# Of a number that is not zero: eight or four letters in its place make one outside of this.
SMALLEST, LARGEST = 1e-30, 1e5
DECIMALS = re.compile(DECIMAL + rb"(\\" + DECIMAL + rb")*\0?")
MOST_CODES = 16  # values of one element
OLD = "090Y"


@dataclass(frozen=True)
class Rules:
    """How elements are treated.

    Args:
        hidden: The keyed hashes.
        clock: The study's.
    """

    hidden: Pseudonyms
    clock: Clock

    def copy(self, found: pydicom.Dataset) -> pydicom.Dataset:
        """Return what a copy says of a data set, or of an item of a sequence."""
        made = pydicom.Dataset()
        tags = found.keys()  # not the elements, which would be decoded
        for tag in tags:
            treatment = WHITELIST.get(int(tag))
            if treatment is Treatment.NUMBER:
                _take_number(found, tag, made)
            elif treatment is Treatment.ITEMS:
                self._take_items(found, tag, made)
            elif treatment is not None:
                self._take_text(found, tag, treatment, made)
        for moment, value in self.clock.moments(found):
            made.add_new(moment, dictionary_VR(moment), value)
        return made

    def _take_items(self, found: pydicom.Dataset, tag: Any, made: pydicom.Dataset) -> None:
        if (element := found[tag]).VR == "SQ":
            items = [self.copy(item) for item in element.value or []]
            made.add_new(tag, "SQ", items)

    def _take_text(
        self, found: pydicom.Dataset, tag: Any, treatment: Treatment, made: pydicom.Dataset
    ) -> None:
        element = found[tag]
        if dictionary_VR(tag) != element.VR:
            return
        if treatment is Treatment.TAG:
            pointers = element.value if isinstance(element.value, list) else [element.value]
            if all(dictionary_has_tag(pointer or 0) for pointer in pointers):
                made.add(element)
            return
        values = text(element.value).split("\\")[:MOST_CODES]
        treated = [self._treated(value, treatment) for value in values]
        made.add_new(tag, element.VR, treated[0] if len(treated) == 1 else treated)

    def _treated(self, value: str, treatment: Treatment) -> str:
        match treatment:
            case Treatment.UID:
                return self.uid(value)
            case Treatment.AGE:
                years = age_years(value)
                return "" if years is None else OLD if years >= int(OLD[:3]) else value
            case _:
                return shown(value, self.hidden)

    def uid(self, value: str) -> str:
        """Return a UID of the standard as it is, and any other as a keyed hash."""
        is_standard = UID(value).name != value
        return value if not value or is_standard else self.hidden.uid(value)


def _take_number(found: pydicom.Dataset, tag: Any, made: pydicom.Dataset) -> None:
    element = found.get_item(tag)
    if element is None or (not element.value and element.value != 0):
        return
    if isinstance(element, RawDataElement):
        if _is_number(element):
            made[tag] = element
    elif element.VR in dictionary_VR(tag).split(" or ") and _is_decoded_number(element.value):
        made.add(element)


def _is_decoded_number(value: Any) -> bool:
    """Say whether what pydicom made of an element, if it was looked at, is numbers."""
    parts = [value] if isinstance(value, str | int | float) else list(value)
    written = [str(getattr(part, "original_string", part)).encode() for part in parts]
    return all(DECIMALS.fullmatch(part) for part in written)


def _is_number(element: RawDataElement) -> bool:
    """Say whether an element holds as many numbers as it may, and nothing else."""
    allowed = dictionary_VR(element.tag).split(" or ")
    representation, value = element.VR or allowed[0], element.value or b""
    if representation not in allowed:
        return False
    if representation in ("DS", "IS"):
        return DECIMALS.fullmatch(value) is not None and _fits(element.tag, value.count(b"\\") + 1)
    size = int(KINDS[representation][1])
    if len(value) % size or not _fits(element.tag, len(value) // size):
        return False
    numbers = np.frombuffer(value, np.dtype(KINDS[representation]).newbyteorder(_order(element)))
    magnitude = np.abs(numbers[numbers != 0].astype(np.float64))
    return bool(((magnitude > SMALLEST) & (magnitude < LARGEST)).all())


def _order(element: RawDataElement) -> Literal["<", ">"]:
    return "<" if element.is_little_endian else ">"


def _fits(tag: int, count: int) -> bool:
    """Say whether an element may have so many values; without end, those of a frame's indices."""
    most = dictionary_VM(tag).split("-")[-1]
    return count <= (int(most) if most.isdigit() else 64)
