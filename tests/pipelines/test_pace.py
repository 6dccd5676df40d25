"""How long a study takes, told from one cell of each step."""

from pathlib import Path

import pytest

from pipelines._cells import Cell
from pipelines._pace import Pace, in_words, one_of_each_first


def cell(step, value, *inputs):
    return Cell(step, "make", {"draw": value}, Path(step) / value, None, inputs)


BASE = cell("base", "0")
ARMS = [cell("arm", draw, BASE) for draw in "012"]
SCORES = [cell("score", str(draw), arm) for draw, arm in enumerate(ARMS)]
WHOLE = cell("whole", "0", *SCORES)
CELLS = [BASE, *ARMS, *SCORES, WHOLE]


def test_one_cell_of_each_step_runs_before_the_others_unless_it_needs_them():
    first, rest = one_of_each_first(CELLS)
    assert first == [BASE, ARMS[0], SCORES[0]]
    assert rest == [*ARMS[1:], *SCORES[1:], WHOLE]


def test_the_first_cell_of_a_step_is_one_whose_inputs_are_first_ones():
    turned = [cell("score", "a", ARMS[2]), cell("score", "b", ARMS[0])]
    first, rest = one_of_each_first([BASE, *ARMS, *turned])
    assert first == [BASE, ARMS[0], turned[1]]
    assert rest == [*ARMS[1:], turned[0]]


def test_the_table_tells_what_was_measured_and_what_is_unknown():
    pace = Pace()
    for done, elapsed_s in ((BASE, 4.0), (ARMS[0], 50.0), (ARMS[1], 70.0), (SCORES[0], 1.5)):
        pace.add(done, elapsed_s)
    assert pace.table(CELLS, [ARMS[2], *SCORES[1:], WHOLE]).splitlines() == [
        "step   cells  s a cell  left",
        "base       1       4.0  0 s",
        "arm        3      60.0  60 s",
        "score      3       1.5  3 s",
        "whole      1   unknown  unknown",
        "about 63 s left, beside whole",
    ]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (89, "89 s"), (91, "2 min"), (5399, "90 min"), (9000, "2.5 h")],
)
def test_a_time_is_told_as_people_say_it(seconds, said):
    assert in_words(seconds) == said
