"""What every layout is, found by its file alone: a new one is tested unasked."""

import dataclasses

import pytest

from medssl import lookup
from medssl.data.formats import LAID_OUT, reader_of
from medssl.data.layouts import Layout

FAMILY = "medssl.data.layouts"


@pytest.fixture(params=lookup.names(FAMILY))
def layout(request):
    return lookup.find(FAMILY, request.param)


def test_it_is_a_layout(layout):
    missing = {name for name in vars(Layout) if not name.startswith("_")} - set(dir(layout))
    assert not missing


def test_its_settings_are_data(layout):
    # They decide whether a file is looked at again, and travel to other processes.
    assert dataclasses.is_dataclass(layout)
    assert layout.__dataclass_params__.frozen


def test_its_files_are_known_to_need_a_layout(layout):
    assert set(layout.suffixes) <= set(LAID_OUT)
    assert not any(reader_of(f"x{suffix}") for suffix in layout.suffixes)
