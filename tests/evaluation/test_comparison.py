from dataclasses import replace

import numpy as np
import pytest

from medssl.errors import DataError
from medssl.evaluation.bootstrap import interval
from medssl.evaluation.comparison import Comparison, Score
from medssl.evaluation.significance import holm, sign_flip_p

COMPARE = Comparison(
    arm="arm", reference="scratch", draws=("draw",), confidence=0.9, num_resamples=500, seed=3
)


def scores(tables, **axes):
    """Return a score for each (draw, subject) of each arm's table, of one class `a`."""
    return [
        Score(
            cell={"arm": arm, "draw": str(d), **axes},
            subject_id=f"s{s}",
            class_name="a",
            value=table[d, s],
        )
        for arm, table in tables.items()
        for d in range(table.shape[0])
        for s in range(table.shape[1])
    ]


@pytest.fixture
def tables():
    scratch = np.random.default_rng(0).normal(size=(3, 7))
    return {"scratch": scratch, "pretrained": scratch + 0.5 + 0.1 * np.sin(scratch)}


def settings(**more):
    return {"confidence": 0.9, "num_resamples": 500, "seed": 3} | more


def test_differences_are_paired_by_draw_and_subject(tables):
    first, second = (scores({arm: table}, labels="2") for arm, table in tables.items())
    shuffled = [second[n] for n in np.random.default_rng(1).permutation(len(second))]
    lines = {(line.arm, line.class_name): line for line in COMPARE(first + shuffled)}
    pretrained, scratch = lines["pretrained", "a"], lines["scratch", "a"]
    assert scratch.score == interval(tables["scratch"], **settings())
    assert scratch.difference is None
    difference = tables["pretrained"] - tables["scratch"]
    assert pretrained.difference == interval(difference, **settings())
    assert (pretrained.num_draws, pretrained.num_subjects) == (3, 7)
    assert pretrained.setting == (("labels", "2"),)
    # Paired, the interval is narrower than either arm's own.
    width = pretrained.difference.high - pretrained.difference.low
    assert width < (scratch.score.high - scratch.score.low) / 3


def test_what_subjects_are_called_can_not_be_seen(tables):
    given = scores(tables)
    renamed = [replace(score, subject_id=f"t{9 - int(score.subject_id[1])}") for score in given]
    assert COMPARE(given) == COMPARE(renamed)


def test_settings_are_compared_apart_and_classes_averaged_by_subject(tables):
    both = scores(tables, labels="1") + scores(tables, labels="8")
    second = [
        Score(cell=s.cell, subject_id=s.subject_id, class_name="b", value=s.value + 2) for s in both
    ]
    lines = COMPARE(both + second)
    assert len(lines) == 2 * 2 * 3  # settings, arms; classes a, b and their mean
    means = {line.class_name: line.score.mean for line in lines if line.arm == "scratch"}
    assert means["mean"] == pytest.approx((means["a"] + means["b"]) / 2)


def test_p_is_that_of_the_paired_differences_and_adjusted_for_all_of_its_class(tables):
    third = tables | {"third": tables["scratch"] + np.linspace(-0.3, 0.5, 7)}
    lines = COMPARE(scores(third, labels="1") + scores(third, labels="8"))
    of_mean = [line for line in lines if line.class_name == "mean"]
    assert [line.p is None for line in of_mean] == [True, False, False] * 2
    tested = [line for line in of_mean if line.p is not None]
    for line in tested:
        differences = third[line.arm] - third["scratch"]
        assert line.p == sign_flip_p(differences, num_resamples=500, seed=3)
    assert [line.p_holm for line in tested] == holm([line.p for line in tested])
    assert tested[0].p < tested[0].p_holm < 1


def test_several_axes_of_draws_are_resampled_together(tables):
    given = scores(tables)
    apart = [
        replace(s, cell={"arm": s.cell["arm"], "subset": d, "seed": d})
        for s in given
        if (d := s.cell["draw"])
    ]
    by_two = replace(COMPARE, draws=("subset", "seed"))
    assert by_two(apart) == COMPARE(given)
    assert by_two(apart)[0].num_draws == 3


def test_a_subjects_cases_are_averaged_first():
    many = [
        Score(cell={"arm": "scratch"}, subject_id=subject, class_name="a", value=value)
        for subject, value in [("x", 0.0), ("x", 1.0), ("x", 0.5), ("y", 1.0), ("y", float("nan"))]
    ]
    (line, _) = COMPARE(many)
    assert line.score.mean == pytest.approx(0.75)
    assert (line.num_subjects, line.num_draws) == (2, 1)


def test_what_can_not_be_paired_is_refused(tables):
    with pytest.raises(DataError, match=r"expected the reference 'scratch' .* \['pretrained'\]"):
        COMPARE(scores({"pretrained": tables["pretrained"]}))
    given = scores(tables)
    fewer_draws = [s for s in given if s.cell != {"arm": "pretrained", "draw": "2"}]
    with pytest.raises(DataError, match=r"'pretrained' has no score of subject s0 in draw '2'"):
        COMPARE(fewer_draws)
    others = [
        replace(s, subject_id="s8") if s.cell["arm"] == "scratch" and s.subject_id == "s3" else s
        for s in given
    ]
    with pytest.raises(DataError, match="'scratch' has no score of subject s3 in draw '0'"):
        COMPARE(others)
