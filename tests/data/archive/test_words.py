import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medssl.data.archive.pseudonyms import Pseudonyms
from medssl.data.archive.words import WORDS, is_showable, shown, shown_words

HIDDEN = Pseudonyms(b"0" * 32)


@pytest.mark.parametrize(
    "text",
    [
        "GE MEDICAL SYSTEMS", "Philips Medical Systems, Inc.", "TOSHIBA_MEC",
        "Siemens HealthCare GmbH", "DISCOVERY MR750", "Prisma_fit", "Sensation 16",
        "Biograph40_mCT 4R", "Eclipse 1.5T", "CX50", "SOMATOM Definition AS+", "Aquilion ONE",
        "Achieva dStream", "SIGNA Premier", "MX8000", "BRAIN", "CSPINE", "WHOLE BODY",
        "HEAD_NECK", "*tfl3d1_16ns", "ep_b1000#15", "B70f", "STD+", "STANDARD", "Br38f", "FC51",
        "BQML", "CT", "MONOCHROME2", "CT_SOM5 SPI", "LOCALIZER",
    ],
)  # fmt: skip
def test_what_scanners_say_is_shown(text):
    assert shown(text, HIDDEN) == text


@pytest.mark.parametrize(
    "text",
    [
        "Zephyrowska", "O'Neil", "Müller", "HEAD of Quilla", "ANNA", "SIEMENSANNA", "19481103",
        "1948-11-03", "03.11.48", "P-12345", "12345678", "4051 Basel", "山田", "A\\B", "a\nb",
    ],
)  # fmt: skip
def test_names_numbers_and_dates_are_not(text):
    assert not is_showable(text)
    assert re.fullmatch("[0-9A-F]{16}", shown(text, HIDDEN))


@given(st.text(alphabet="abcdefghij", min_size=4, max_size=12))
def test_no_unknown_word_of_four_letters_is_shown_within_anything(word):
    if word not in WORDS:
        for text in (word, f"{word} 3", f"head {word}", f"{word.upper()}_1", f"b1000{word}"):
            assert not is_showable(text)


def test_unlike_values_stay_apart_and_like_ones_together_under_one_key():
    assert shown("Anna", HIDDEN) == shown("Anna", HIDDEN) != shown("Anne", HIDDEN)
    assert shown("Anna", HIDDEN) != shown("Anna", Pseudonyms(b"1" * 32))


def test_of_a_text_the_known_words_are_kept():
    maker, model = shown_words("SIEMENS Zephyr", HIDDEN).split()
    assert maker == "SIEMENS"
    assert model == shown("Zephyr", HIDDEN)
    assert shown_words("", HIDDEN) is shown_words(None, HIDDEN) is None
