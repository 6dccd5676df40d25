import os
from pathlib import Path

import pytest

from medssl.data.archive.private import path_of, text_of


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (b"/a/plain name.dcm", "/a/plain name.dcm"),
        ("/a/Jörg".encode(), "/a/Jörg"),
        ("/a/Jörg".encode("latin-1"), "file:///a/J%F6rg"),
        (b"/a/100%F6", "/a/100%F6"),
        (b"/a/\n\xff\x80", "file:///a/%0A%FF%80"),
    ],
)
def test_every_path_can_be_written_down(name, text):
    assert text_of(name) == text
    assert path_of(text.encode().decode()) == Path(os.fsdecode(name))
