from functools import cache
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipelines import phantom
from pipelines.__main__ import main

SMALL = ["num_subjects=2", "spacing_mm=[20.0,22.0]", "two_series=0.5"]


load_template = cache(phantom.load_template)


@pytest.fixture(autouse=True)
def _template(monkeypatch):
    """Read the template once for all tests."""
    monkeypatch.setattr(phantom, "load_template", load_template)


def medssl_phantom(output, *overrides):
    words = [f"output={output}", *SMALL, *overrides]
    return main(["phantom", *(part for word in words for part in ("--set", word))])


def times(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_it_writes_the_archive_and_says_so(tmp_path, capsys):
    assert medssl_phantom(tmp_path / "p") == 0
    assert sorted(path.name for path in (tmp_path / "p").iterdir()) == [
        "phantom.yaml",
        "private",
        "truth.parquet",
    ]
    assert (tmp_path / "p/private").stat().st_mode & 0o777 == 0o700
    roles = pq.read_table(tmp_path / "p/truth.parquet")["role"].to_pylist()
    assert roles.count("original") == 3
    out = capsys.readouterr().out
    assert "3 subjects" in out
    assert out.endswith(f"phantom: {tmp_path / 'p'}\n")
    assert "PLANTED" not in out


def test_a_finished_phantom_is_left_alone(tmp_path, capsys):
    medssl_phantom(tmp_path / "p")
    before = times(tmp_path / "p")
    assert medssl_phantom(tmp_path / "p") == 0
    assert times(tmp_path / "p") == before
    assert "already there" in capsys.readouterr().out


def test_another_seed_replaces_it(tmp_path):
    medssl_phantom(tmp_path / "p")
    before = (tmp_path / "p/private/key").read_bytes()
    assert medssl_phantom(tmp_path / "p", "seed=1") == 0
    assert (tmp_path / "p/private/key").read_bytes() != before


@pytest.mark.parametrize("calls", [0, 3])
def test_what_was_interrupted_is_done_again_from_the_start(tmp_path, monkeypatch, calls):
    medssl_phantom(tmp_path / "whole")
    real, left = phantom.write_item, [calls]

    def dies(*args):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return real(*args)

    monkeypatch.setattr(phantom, "write_item", dies)
    assert medssl_phantom(tmp_path / "p") == 130
    assert not (tmp_path / "p/phantom.yaml").exists()
    monkeypatch.setattr(phantom, "write_item", real)
    assert medssl_phantom(tmp_path / "p") == 0
    assert _content(tmp_path / "p") == _content(tmp_path / "whole")


@pytest.mark.parametrize("moves", [0, 1, 2])
def test_it_is_not_done_before_its_last_file_is_in_place(tmp_path, monkeypatch, moves):
    medssl_phantom(tmp_path / "whole")
    real, left = Path.replace, [moves]

    def dies(path, target):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return real(path, target)

    monkeypatch.setattr(Path, "replace", dies)
    assert medssl_phantom(tmp_path / "p") == 130
    assert not (tmp_path / "p/phantom.yaml").exists()
    monkeypatch.setattr(Path, "replace", real)
    assert medssl_phantom(tmp_path / "p") == 0
    assert _content(tmp_path / "p") == _content(tmp_path / "whole")


def test_a_private_folder_of_somebody_else_is_not_touched(tmp_path, capsys):
    (tmp_path / "p/private").mkdir(parents=True)
    (tmp_path / "p/private/key").write_text("of an index")
    assert medssl_phantom(tmp_path / "p") == 2
    assert "private/ folder that no phantom wrote" in capsys.readouterr().err
    assert (tmp_path / "p/private/key").read_text() == "of an index"


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("spacing_mm=[3.0,2.0]", "spacing_mm: .*lower limit comes first, got [3.0, 2.0]"),
        ("deformation_mm=9", "deformation_mm: "),
        ("labels=some", "labels: "),
    ],
)
def test_a_mistake_is_named(tmp_path, capsys, override, line):
    assert medssl_phantom(tmp_path / "p", override) == 2
    assert line.split(".*")[0] in capsys.readouterr().err


def _content(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
