"""Identity: invented patients whose every identifying word can be searched for.

Each word begins with `PLANTED` and stands in no dictionary, so that finding one of them
anywhere but in the archive is a leak, whatever reformatted it on its way.
"""

from dataclasses import dataclass

import numpy as np

WORDS = ("surname", "given", "patient_id", "other_id", "address", "physician", "operator", "note")
SCANNERS = (
    ("SIEMENS", "Prisma_fit", 3.0),
    ("GE MEDICAL SYSTEMS", "SIGNA Premier", 3.0),
    ("Philips Medical Systems", "Ingenia", 1.5),
)


@dataclass(frozen=True)
class Person:
    """Who was imaged, when, and on which scanner."""

    surname: str
    given: str
    patient_id: str
    other_id: str
    address: str
    physician: str
    operator: str
    note: str
    sex: str
    age_years: int
    birth_date: str
    study_date: str
    scanner: tuple[str, str, float]

    @property
    def name(self) -> str:
        """DICOM's PatientName."""
        return f"{self.surname}^{self.given}"

    @property
    def words(self) -> list[str]:
        """What must not be found outside of the archive."""
        return [getattr(self, word) for word in WORDS]


def person(seed: int, subject: int) -> Person:
    """Invent a subject; the second one is above 89, as archives of adults have some."""
    rng = np.random.default_rng([seed, 6, subject])
    words = {word: f"PLANTED{_syllables(rng)}{subject:04d}" for word in WORDS}
    age_years = 93 if subject == 1 else int(rng.integers(18, 89))
    year = int(rng.integers(2015, 2024))
    # The birthday is in January, the study later in the year: the age is the years' difference.
    return Person(
        **words,
        sex=str(rng.choice(["F", "M"])),
        age_years=age_years,
        birth_date=f"{year - age_years}01{rng.integers(1, 29):02d}",
        study_date=f"{year}{rng.integers(2, 13):02d}{rng.integers(1, 29):02d}",
        scanner=SCANNERS[int(rng.integers(len(SCANNERS)))],
    )


def _syllables(rng: np.random.Generator) -> str:
    # Two, so that with the prefix and four digits a word fits DICOM's shortest text, 16 characters.
    consonants, vowels = rng.choice(list("BDGKLMNRSTVZ"), size=2), rng.choice(list("AEIOU"), size=2)
    return "".join(c + v for c, v in zip(consonants, vowels, strict=True))
