"""Patients' names, numbers, addresses and dates for every element of DICOM, and a search for them.

Every planted word holds one marker and every planted number another: what holds neither, in any
of the spellings below, holds none of them. Dates and times are searched for themselves.
"""

import base64
import gzip
import sqlite3
import struct
from contextlib import closing
from functools import cache, cached_property
from itertools import count

import blosc2
import numpy as np
import pyarrow.parquet as pq
from PIL import Image
from pydicom.datadict import DicomDictionary
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

WORD, DIGITS, CLOCK = "Qzxvkj", "48719382", "134501.487193"
DATES = [f"19{21 + n}{1 + n % 12:02d}{1 + n % 28:02d}" for n in range(30)]
NAMES = {  # by character set: its encoding in Python, and a name of three groups
    "ISO_IR 100": ("latin-1", f"{WORD}ö^Gänßbühl"),
    "ISO_IR 192": ("utf-8", f"{WORD}^Żółćgęśl={WORD}山田花子^偉={WORD}^ф"),
    "ISO 2022 IR 87": ("iso2022_jp", f"{WORD}^Tarou={WORD}^山田花子={WORD}^やまだはなこ"),
}
FOREIGN = ("gänßbühl", "ółćgęśl", "山田花子", "やまだはなこ")
SHORTEST = 6  # bytes that do not occur by chance
BINARY = (
    "OB",
    "OD",
    "OF",
    "OL",
    "OV",
    "OW",
    "UN",
    "AT",
    "FD",
    "FL",
    "SL",
    "SS",
    "SV",
    "UL",
    "US",
    "UV",
)
SIZES = {"AT": 4, "FD": 8, "FL": 4, "SL": 4, "SS": 2, "SV": 8, "UL": 4, "US": 2, "UV": 8}
# What a volume is made of; planting there would leave none.
STRUCTURE = frozenset([
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "PatientID",
    "Modality", "PatientAge", "InstanceNumber", "Rows", "Columns", "NumberOfFrames",
    "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "BitsAllocated",
    "BitsStored", "HighBit", "PixelRepresentation", "PixelData", "FloatPixelData",
    "DoubleFloatPixelData", "PixelSpacing", "ImageOrientationPatient", "RescaleSlope",
    "ImagePositionPatient", "SpacingBetweenSlices", "RescaleIntercept", "ModalityLUTSequence",
    "SpecificCharacterSet", "ImageType", "StudyDate",
])  # fmt: skip
# With these a series is suspected to show text, and not copied.
SUSPICIOUS = frozenset(
    ["SecondaryCaptureDeviceManufacturer", "SecondaryCaptureDeviceManufacturerModelName"]
)


class Planter:
    """Gives the data sets of one series words, numbers and dates, no word to two elements.

    Args:
        charset: DICOM's name of the character set of names.
        skip: Keywords of elements to leave as they are.
    """

    def __init__(self, charset="ISO_IR 100", skip=STRUCTURE):
        self.charset, self.skip = charset, skip
        self.numbers = count(1)

    def plant(self, found):
        """Give a data set every element of the standard that it lacks, nested and private ones."""
        found.SpecificCharacterSet = self._charsets()
        for tag in self.all.keys() - found.keys():
            found._dict[tag] = self.all._dict[tag]
        return found

    @cached_property
    def all(self):
        """Every element of the standard, overlays, private blocks."""
        made = Dataset()
        for tag, (representation, _, _, _, keyword) in DicomDictionary.items():
            if keyword and keyword not in self.skip and tag >> 16 not in (0, 2, 4, 0xFFFE):
                deep = tag == EXAMPLES["SQ"]
                self._put(made, tag, representation.split(" or ")[0], 3 if deep else 1)
        for element, representation in ((0x3000, "OW"), (0x0022, "LO"), (0x1500, "LO")):
            self._put(made, 0x60000000 + element, representation, 0)
        for group in (0x0009, 0x0019, 0x0029):
            self._put(made, group << 16 | 0x10, "LO", 0)
            for place, representation in enumerate(EXAMPLES):
                self._put(made, group << 16 | 0x1000 | place, representation, 2)
        return made

    def text(self):
        """Return a word."""
        return f"{WORD}{next(self.numbers):05d}"

    def value(self, representation):
        """Return the bytes of a value, of even length."""
        word, number = self.text(), next(self.numbers)
        day = DATES[number % len(DATES)]
        encoding, name = NAMES[self.charset]
        text = {
            "DA": day,
            "TM": CLOCK,
            "DT": f"{day}{CLOCK}+0200",
            "DS": f"{DIGITS}.{number % 1000}",
            "IS": f"{DIGITS}{number % 10}",
            "AS": "097Y",
            "UI": f"1.2.826.0.1.{DIGITS}.{number}",
            "CS": word.upper(),
            "UR": f"http://{word}.org/{word}",
            **dict.fromkeys(("LT", "ST", "UT"), f"{word}\r\n{word} Street 12, 4051 {WORD}"),
        }.get(representation, word)
        content = name.encode(encoding) if representation == "PN" else text.encode()
        if representation in BINARY:
            return content + b"\0" * (-len(content) % 8)
        return content + (b"\0" if representation == "UI" else b" ") * (len(content) % 2)

    def _charsets(self):
        return ["", self.charset] if "2022" in self.charset else self.charset

    def _put(self, found, tag, representation, depth):
        tag = Tag(tag)
        if representation == "SQ":
            if depth:
                found.add_new(tag, "SQ", Sequence([self._item(depth - 1)]))
            return
        value = self.value(representation)
        if representation in SIZES and (count := multiplicity(tag)):
            value = value.ljust(count * SIZES[representation], b"0")[
                : count * SIZES[representation]
            ]
        # As bytes, which pydicom writes as they are, whatever the standard says of them.
        found._dict[tag] = RawDataElement(
            tag, representation, len(value), value, 0, is_implicit_VR=False, is_little_endian=True
        )

    def _item(self, depth):
        """Return an item with private elements and, if it is to hold items, each representation."""
        item = Dataset()
        item.SpecificCharacterSet = self._charsets()
        for representation, tag in EXAMPLES.items():
            if depth or representation in ("PN", "LO", "DA", "UN"):
                self._put(item, tag, representation, depth)
        for element, representation in ((0x0010, "LO"), (0x1001, "SQ"), (0x1002, "UN")):
            self._put(item, 0x00110000 | element, representation, depth)
        return item


def multiplicity(tag):
    """Return how many values an element of the standard has, if that is fixed."""
    said = DicomDictionary.get(tag, ("", ""))[1]
    return int(said) if said.isdigit() else None


EXAMPLES = {}
for _tag, (_vr, _, _, _retired, _keyword) in DicomDictionary.items():
    _is_plain = _keyword and _keyword not in STRUCTURE and not _retired and " " not in _vr
    if _is_plain and _tag >> 16 not in (0, 2, 4, 0xFFFE):
        EXAMPLES.setdefault(_vr, _tag)


@cache
def spellings():
    """Return what to look for: in lower case where case may change, and what as it is."""
    words = [WORD.lower(), DIGITS, CLOCK, *FOREIGN]
    words += [
        f for d in DATES for f in (d, f"{d[:4]}-{d[4:6]}-{d[6:]}", f"{d[6:]}.{d[4:6]}.{d[:4]}")
    ]
    plain = {_bare(w, e) for w in words for e in ("utf-8", "utf-16-le", "utf-16-be", "latin-1")}
    plain |= {_bare(word, "iso2022_jp") for word in FOREIGN[2:]}
    cased = {struct.pack("<d", float(DIGITS)), struct.pack(">d", float(DIGITS))}
    for word in (WORD, WORD.upper(), WORD.lower(), DIGITS, *FOREIGN, *DATES):
        cased |= {word.encode().hex().encode(), word.encode("utf-16-le").hex().encode()}
        cased |= set(_in_base64(word.encode())) | set(_in_base64(word.encode("utf-16-le")))
    plain = {word.lower() for word in plain}  # which also the bytes of ISO 2022 are, in `search`
    return tuple({w for w in some if len(w) >= SHORTEST} for some in (plain, cased))


def _bare(word, encoding):
    content = word.encode(encoding, "ignore")
    # The escape sequences of ISO 2022 stand around characters, not in them.
    return content.removeprefix(b"\x1b$B").removesuffix(b"\x1b(B")


def _in_base64(content):
    """Yield the characters that do not depend on what stands before and behind."""
    for shift in range(3):
        coded = base64.b64encode(bytes(shift) + content + b"\0\0")
        yield coded[-(-8 * shift // 6) : 8 * (shift + len(content)) // 6]


def search(content):
    """Return which spellings of what was planted are in these bytes."""
    plain, cased = spellings()
    lower = content.lower()
    return [p for p in plain if p in lower] + [c for c in cased if c in content]


def opened(path):
    """Yield a file's bytes, and what is inside of them once they are unpacked."""
    content = path.read_bytes()
    yield content
    if content.startswith(b"PAR1"):
        table = pq.read_table(path)
        yield f"{table.schema.metadata} {table.to_pylist()}".encode()
    elif content.startswith(b"SQLite format 3"):
        with closing(sqlite3.connect(path)) as base:
            yield "\n".join(base.iterdump()).encode()
    elif content.startswith(b"\x1f\x8b"):
        yield gzip.decompress(content)
    elif content.startswith(b"\x89PNG"):
        with Image.open(path) as image:
            yield str(image.info).encode()
    elif path.suffix == ".b2nd":
        array = blosc2.open(str(path), mode="r")
        yield str(dict(array.schunk.vlmeta[:])).encode() + np.asarray(array[:]).tobytes()


def leaks(folder, *, but=("private",)):
    """Return the files below a folder that are named by, or hold, what was planted, and what."""
    found = {}
    for path in sorted(folder.rglob("*")):
        inner = path.relative_to(folder)
        if set(but) & set(inner.parts):
            continue
        hits = search(str(inner).encode("utf-8", "surrogateescape"))
        if path.is_file():
            hits += [hit for content in opened(path) for hit in search(content)]
        if hits:
            found[str(inner)] = sorted(set(hits))
    return found
