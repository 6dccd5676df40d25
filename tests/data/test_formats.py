"""Which reader a name asks for, and what is left of it without its format."""

import pytest

from medssl.data.formats import READERS, is_laid_out, reader_of, without_suffix


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: type(reader).__name__)
def test_a_reader_is_found_by_each_of_its_suffixes(reader):
    for suffix in reader.suffixes:
        for end in (suffix, suffix.upper()):
            assert reader_of(f"folder/a.b{end}") is reader
            assert without_suffix(f"folder/a.b{end}") == "folder/a.b"


@pytest.mark.parametrize("name", ["", "a", "a.dcm", "nii", "a.nii.txt", "a.nii/b"])
def test_other_names_have_no_reader_and_stay_whole(name):
    assert reader_of(name) is None
    assert not is_laid_out(name)
    assert without_suffix(name) == name


def test_the_longest_suffix_is_the_format():
    assert without_suffix("a.nii.gz") == "a"


@pytest.mark.parametrize("name", ["a.h5", "a.HDF5", "a.npz"])
def test_a_file_of_arrays_is_left_to_its_layout(name):
    assert is_laid_out(name)
    assert reader_of(name) is None
    assert without_suffix(name) == "a"
