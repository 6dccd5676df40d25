"""SimCore against its definition, turn by turn, and the specification's example."""

import numpy as np
import pytest
from sklearn.cluster import KMeans

from medssl.errors import DataError
from medssl.selection import DescriptorTable, simcore
from medssl.selection.simcore import SimCore, Turns

# Of six rows with two centroids.
ALIKE = np.array(
    [[0.99, 0.10], [0.98, 0.97], [0.95, 0.96], [0.60, 0.94], [0.50, 0.40], [0.20, 0.30]], np.float32
)


def turns(alike, most_of_group=None, group=None, order=None):
    rows = np.arange(len(alike))
    own = rows if group is None else np.array(group)
    return Turns(alike.T.copy(), rows if order is None else order, own, most_of_group)


def vectors(rows, seed=0, dim=5):
    return np.random.default_rng(seed).normal(size=(rows, dim)).astype(np.float32)


def table(values, target, group=None, order=None):
    rows = np.arange(len(values))
    return DescriptorTable(
        values, rows if group is None else group, rows if order is None else order, target
    )


def test_the_turns_of_the_specification():
    each = turns(ALIKE)
    for picks, alike in (([0, 1], 0.98), ([2], 0.955), ([3], 0.77)):
        found = each.next()
        assert found[0].tolist() == picks
        assert found[1] == pytest.approx(alike)


@pytest.mark.parametrize(
    ("keys", "taken"),
    [
        ({"patience": 1, "stop_ratio": 0.95, "budget": 6}, [0, 1, 2]),
        ({"stop_ratio": None, "budget": 4}, [0, 1, 2, 3]),
    ],
)
def test_the_coresets_of_the_specification(keys, taken):
    found, _ = SimCore(**keys)._take(turns(ALIKE), keys["budget"])
    assert sorted(found.tolist()) == taken


def slowly(alike, budget, patience, ratio, seed, group=None, most=None):
    """The algorithm as it is told: every centroid's whole queue, sorted."""
    queues = [np.argsort(-column, kind="stable").tolist() for column in alike.T]
    group, most = range(len(alike)) if group is None else group, most or len(alike)
    taken, utility = [], []

    def is_open(row, others):
        return row not in others and [group[r] for r in others].count(group[row]) < most

    while len(taken) < budget:
        picks = [next((row for row in queue if is_open(row, taken)), None) for queue in queues]
        pairs = [(row, c) for c, row in enumerate(picks) if row is not None]
        if not pairs:
            break
        mean = np.mean([alike[row, c] for row, c in pairs], dtype=np.float64)
        if len(utility) >= patience and mean < ratio * utility[patience - 1]:
            break
        utility.append(mean)
        new = []
        for row, _ in sorted(pairs, key=lambda pair: -alike[pair]):
            new += [row] * is_open(row, taken + new)
        new.sort()
        if len(taken) + len(new) > budget:
            rng = np.random.default_rng(seed)
            new = rng.choice(new, size=budget - len(taken), replace=False).tolist()
        taken += new
    return taken, utility


@pytest.mark.parametrize(("budget", "ratio"), [(30, 0.0), (200, 0.0), (120, 0.9), (60, 0.99)])
@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_algorithm(monkeypatch, budget, ratio, seed):
    monkeypatch.setattr(simcore, "QUEUE_ROWS", 2)
    alike = np.random.default_rng(seed).uniform(0.2, 1, size=(200, 7)).astype(np.float32)
    selector = SimCore(patience=3, stop_ratio=ratio or None, budget=budget, seed=seed)
    taken, utility = selector._take(turns(alike), budget)
    expected = slowly(alike, budget, 3, ratio, seed)
    assert sorted(taken.tolist()) == sorted(expected[0])
    np.testing.assert_allclose(utility, expected[1], rtol=1e-6)


@pytest.mark.parametrize("most", [1, 2, 5])
@pytest.mark.parametrize("seed", range(3))
def test_with_a_limit_to_each_group_it_is_the_algorithm(monkeypatch, most, seed):
    monkeypatch.setattr(simcore, "QUEUE_ROWS", 1)
    rng = np.random.default_rng(seed)
    alike, group = rng.uniform(0.2, 1, size=(120, 6)).astype(np.float32), rng.integers(15, size=120)
    for budget in (20, 120):
        selector = SimCore(stop_ratio=None, seed=seed)
        taken, utility = selector._take(turns(alike, most, group), budget)
        expected = slowly(alike, budget, 1, 0, seed, group, most)
        assert sorted(taken.tolist()) == sorted(expected[0])
        np.testing.assert_allclose(utility, expected[1], rtol=1e-6)


@pytest.mark.parametrize("centroids", [None, 12, 5])
def test_cosines_are_with_the_targets_rows_or_with_their_means_as_directions(centroids):
    target, values = vectors(12, seed=1), 7 * vectors(60)
    found = SimCore(centroids=centroids, budget=60, stop_ratio=0.9, patience=2)(
        table(values, target)
    )

    def toward(rows):
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    centers = toward(target)
    if centroids == 5:
        centers = toward(KMeans(5, n_init=1, random_state=0).fit(centers).cluster_centers_)
    alike = toward(values) @ centers.T
    taken, utility = slowly(alike, 60, 2, 0.9, 0)
    assert 0 < len(taken) < 60
    assert found.kept.tolist() == sorted(taken)
    np.testing.assert_allclose(found.curves["utility"], utility, rtol=1e-5)
    assert found.numbers["turns"] == len(utility)
    assert found.numbers["utility"] == pytest.approx(alike[taken].max(axis=0).sum(), rel=1e-5)


def test_the_turn_that_is_the_measure_may_be_a_later_one():
    alike = np.array([[1.0], [0.6], [0.58], [0.5]], np.float32)
    for patience, kept in ((1, 1), (2, 3), (3, 3), (4, 4), (9, 4)):
        taken, _ = SimCore(patience=patience, stop_ratio=0.95)._take(turns(alike), 4)
        assert len(taken) == kept


def test_of_equally_alike_rows_the_first_in_order_is_taken(monkeypatch):
    monkeypatch.setattr(simcore, "QUEUE_ROWS", 1)
    alike = np.full((12, 1), 0.5, np.float32)
    order = np.random.default_rng(0).permutation(12)
    taken, _ = SimCore(stop_ratio=None)._take(turns(alike, order=order), 12)
    assert order[taken].tolist() == list(range(12))


def test_one_centroid_takes_what_is_most_like_it():
    target, values = vectors(4, seed=1), vectors(50)
    found = SimCore(centroids=1, budget=9, stop_ratio=None)(table(values, target))
    toward = target / np.linalg.norm(target, axis=1, keepdims=True)
    center = KMeans(1, n_init=1, random_state=0).fit(toward).cluster_centers_[0]
    alike = values @ center / np.linalg.norm(values, axis=1)
    assert found.kept.tolist() == sorted(np.argsort(-alike)[:9].tolist())


def test_length_and_place_of_rows_change_nothing():
    target, values = vectors(12, seed=1), vectors(80)
    selector = SimCore(centroids=4, budget=20, stop_ratio=None)
    kept = selector(table(values, target)).kept
    longer = values * 2.0 ** np.random.default_rng(0).integers(-2, 3, size=(80, 1))
    assert selector(table(longer.astype(np.float32), target)).kept.tolist() == kept.tolist()
    moved = np.random.default_rng(1).permutation(80)
    # With their order, by which the last turn's picks are drawn.
    for budget in (20, 21, 22, 23):
        selector = SimCore(centroids=4, budget=budget, stop_ratio=None)
        kept = selector(table(values, target)).kept
        there = selector(table(values[moved], target, order=moved)).kept
        assert len(there) == budget
        assert sorted(moved[there].tolist()) == kept.tolist()
    # And without, where whole turns are taken.
    whole = SimCore(centroids=4, budget=80, stop_ratio=0.8, patience=1)
    kept = whole(table(values, target)).kept
    assert 0 < len(kept) < 80
    there = whole(table(values[moved], target)).kept
    assert sorted(moved[there].tolist()) == kept.tolist()


def test_a_group_gives_no_more_than_it_may():
    target, values = vectors(6, seed=1), vectors(60)
    group = np.arange(60) // 10
    selector = SimCore(budget=60, stop_ratio=None, most_of_group=3)
    found = selector(table(values, target, group))
    assert np.bincount(group[found.kept]).tolist() == [3] * 6
    # Two centroids want both rows of a group that has room for one: the more alike gets in.
    each = turns(np.array([[0.9, 0.1], [0.1, 0.8], [0.0, 0.0]], np.float32), 1, [0, 0, 1])
    assert each.next()[0].tolist() == [0]
    assert each.next()[0].tolist() == [2]


def test_it_ends_when_there_is_no_more():
    found = SimCore(fraction=1.0, stop_ratio=None)(table(vectors(9), vectors(4, seed=1)))
    assert found.kept.tolist() == list(range(9))


def test_the_seed_chooses_what_the_budget_has_room_for():
    target, values = vectors(10, seed=1), vectors(80)
    kept = [
        SimCore(budget=5, stop_ratio=None, seed=seed)(table(values, target)).kept.tolist()
        for seed in (0, 0, 1)
    ]
    assert kept[0] == kept[1] != kept[2]
    assert len(kept[2]) == 5


def test_more_centroids_than_cases_are_refused():
    with pytest.raises(DataError, match="centroids is 7, but the target cohort has only 6 rows"):
        SimCore(centroids=7)(table(vectors(9), vectors(6)))


def test_a_table_without_a_target_is_refused():
    with pytest.raises(DataError, match="needs the vectors of a target cohort: set `target`"):
        SimCore()(table(vectors(9), None))


@pytest.mark.parametrize(
    "keys", [{"centroids": 0}, {"patience": 0}, {"most_of_group": 0}, {"stop_ratio": 1.5}]
)
def test_an_argument_out_of_range_is_refused(keys):
    with pytest.raises(ValueError, match=next(iter(keys))):
        SimCore(**keys)
