"""What is shown of long work on a terminal, as text."""

import re
import runpy
import time
from pathlib import Path

import numpy as np
import pytest
from rich.text import Text

from pipelines.__main__ import main
from pipelines._progress import track


@pytest.fixture
def shown(monkeypatch, capsys):
    """Return a function that returns the lines of a terminal so far, as they were drawn."""
    monkeypatch.setenv("FORCE_COLOR", "1")  # which makes a terminal of any stream
    monkeypatch.setenv("COLUMNS", "160")

    def lines():
        drawn = Text.from_ansi(capsys.readouterr().err.replace("\r", "\n")).plain
        return [line.strip() for line in drawn.splitlines() if line.strip()]

    return lines


FRAME = re.compile(
    r"headers \S+ +(?P<done>\d+)/(?P<total>\d+) (?P<speed>[\d.]+) files/s (?P<megabytes>\d+) MB/s "
    r"(?P<hours>\d+):(?P<minutes>\d\d):(?P<seconds>\d\d)"
)


def test_files_and_megabytes_a_second_and_the_time_left_are_shown(shown):
    moments_s = []

    def slow():
        for _ in range(30):
            time.sleep(0.02)
            moments_s.append(time.monotonic())
            yield 3
            moments_s.append(time.monotonic())

    began_s = time.monotonic()
    work = track(
        slow(), total=9000, label="headers", unit="files", steps=int, size_bytes=lambda n: n * 10**7
    )
    assert sum(work) == 90
    ended_s = time.monotonic()
    frame = FRAME.fullmatch(shown()[-1])
    assert (frame["done"], frame["total"]) == ("90", "9000")
    # Whatever else the machine does, the bar's clock ran between ours: from the first item's end
    # on for files, and from the start for megabytes.
    speed, megabytes = float(frame["speed"]), int(frame["megabytes"])
    assert 87 / (ended_s - moments_s[0]) - 0.1 < speed < 87 / (moments_s[-2] - moments_s[1]) + 0.1
    assert 900 / (ended_s - began_s) - 1 < megabytes < 900 / (moments_s[-2] - moments_s[0]) + 1
    left_s = 3600 * int(frame["hours"]) + 60 * int(frame["minutes"]) + int(frame["seconds"])
    assert 0.5 < left_s * speed / (9000 - 90) < 2  # drawn twice a second, it may be of before


def test_an_index_shows_how_far_its_headers_and_its_volumes_are(shown, tmp_path):
    tree = runpy.run_path(str(Path(__file__).parents[1] / "dicom_series.py"))
    voxels = np.tile(tree["VOXELS"], (1, 1, 6))  # of more files than are looked at as one piece
    for series in "12":
        tree["write"](tmp_path / "in" / series, voxels, SeriesInstanceUID=f"1.{series}")
    given = {"sources": f"[{{root: {tmp_path / 'in'}}}]", "output": tmp_path / "out"}
    keys = [word for key, value in given.items() for word in ("--set", f"{key}={value}")]
    assert main(["index", *keys]) == 0
    frames = shown()
    for label in ("headers", "volumes"):
        last = [line for line in frames if line.startswith(label)][-1]
        assert re.fullmatch(rf"{label} \S+ 84/84 [\d.]+ files/s \d+ MB/s 0:00:00", last), last


def test_nothing_is_shown_where_there_is_no_terminal(capsys):
    assert list(track("ab", total=2, label="headers", unit="files")) == ["a", "b"]
    assert capsys.readouterr() == ("", "")
