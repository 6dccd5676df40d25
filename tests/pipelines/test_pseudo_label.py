"""Pseudo-labels, whole, on small balls in boxes: who labels what, and what is learned of it."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from cohorts import config, write_cohort

from medssl.config.load import load
from medssl.config.stages.pseudo_label import PseudoLabel
from medssl.data.cache import open_cached
from medssl.data.manifest import is_pseudo, read_manifest
from medssl.errors import DataError
from pipelines import finetune
from pipelines.pseudo_label import run


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """A cohort, and a model that learned from one of its labeled cases."""
    cohort = write_cohort(tmp_path_factory.mktemp("taught") / "cache")
    finetune.run(config(cohort, "labels.count=1", "optim.num_steps=40", "optim.optimizer.lr=0.01"))
    return cohort


def label(cohort, output, *overrides):
    tree = {
        "model": cohort.parent / "model",
        "manifest": cohort / "manifest.parquet",
        "output": output,
        "device": "cpu",
    }
    cfg = load(PseudoLabel, None, [*(f"{k}={v}" for k, v in tree.items()), *overrides])
    run(cfg)
    return read_manifest(output / "manifest.parquet")


def learned_from(cohort):
    card = json.loads((cohort.parent / "model" / "card.json").read_text())
    return card["provenance"]["case_ids"]


def test_all_but_what_the_model_learned_from_is_labeled_by_it(taught, tmp_path, capsys):
    found = {case.case_id: case for case in label(taught, tmp_path / "pseudo")}
    before = {case.case_id: case for case in read_manifest(taught / "manifest.parquet")}
    (own,) = learned_from(taught)
    assert found.keys() == before.keys()
    for case_id, case in found.items():
        by_network = case.split == "train" and case_id != own
        assert is_pseudo(case) == by_network
        image = open_cached(tmp_path / "pseudo" / case.image_uri)
        assert image.path.samefile(taught / before[case_id].image_uri)
        if by_network:
            given = open_cached(tmp_path / "pseudo" / case.label_uri)
            assert given.path.is_relative_to(tmp_path / "pseudo/labels")
            assert given.shape == image.shape
            np.testing.assert_array_equal(given.affine, image.affine)
            assert set(np.unique(given.raw())) <= {0, 1, 2}
        elif case.label_uri:
            original = taught / before[case_id].label_uri
            assert (tmp_path / "pseudo" / case.label_uri).resolve() == original.resolve()
    # the case without any label, and the three whose labels a study does not allow itself
    assert sum(map(is_pseudo, found.values())) == 4
    assert "labeled 4 cases by" in capsys.readouterr().out
    assert len(list((tmp_path / "pseudo/figures").glob("*.png"))) == 3


def test_labels_that_are_there_are_not_drawn_again(taught, tmp_path, monkeypatch):
    first = label(taught, tmp_path / "pseudo")
    monkeypatch.setattr("medssl.inference.sliding_window.SlidingWindow.__call__", None)
    assert label(taught, tmp_path / "pseudo").digest() == first.digest()
    # a half-written file is none
    path = next((tmp_path / "pseudo/labels").glob("*.b2nd"))
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(TypeError, match="not callable"):
        label(taught, tmp_path / "pseudo")


def test_nothing_of_val_and_test_is_opened(taught, tmp_path, monkeypatch):
    opened = []

    def watched(path):
        opened.append(path.resolve())
        return open_cached(path)

    monkeypatch.setattr("pipelines.pseudo_label.open_cached", watched)
    label(taught, tmp_path / "pseudo", "num_figures=0")
    held_out = [c for c in read_manifest(taught / "manifest.parquet") if c.split != "train"]
    assert opened
    assert not {(taught / case.image_uri).resolve() for case in held_out} & set(opened)
    assert not (tmp_path / "pseudo/figures").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "method",
    [
        "{name: segmentation, objective: {name: dice_cross_entropy}}",
        "{name: pseudo_label_contrast, objective: {name: dice_cross_entropy}, "
        "dense_objective: {name: class_contrast}}",
    ],
)
def test_a_model_learns_from_both_kinds_of_labels_and_its_labels_can_be_drawn_anew(
    taught, tmp_path, method
):
    label(taught, tmp_path / "round_1")
    cohort = tmp_path / "round_1"
    finetune.run(
        config(
            cohort, f"method={method}", f"init.export={taught.parent / 'model'}", "encoder=null",
            output="student",
        )
    )  # fmt: skip
    card = json.loads((tmp_path / "student" / "card.json").read_text())["provenance"]
    assert card["case_ids"] == learned_from(taught)
    assert len(card["pseudo_case_ids"]) == 4
    seen = pq.read_table(tmp_path / "student" / "subjects.parquet")
    assert len(seen) == 5
    # of the original manifest: a person's label is kept where one was learned from
    again = label(taught, tmp_path / "round_2", f"model={tmp_path / 'student'}")
    assert sum(map(is_pseudo, again)) == 4
    first = {c.case_id: c.label_uri for c in read_manifest(cohort / "manifest.parquet")}
    renewed = [c for c in again if is_pseudo(c)]
    assert all(c.label_uri != first[c.case_id] for c in renewed)


def test_a_manifest_that_the_model_does_not_know_is_refused(taught, tmp_path):
    other = write_cohort(tmp_path / "other", splits=["test"] * 4 + ["train"])
    with pytest.raises(
        DataError, match=r"lacks 1 of 1 labeled cases of split 'train' that .*model"
    ):
        label(taught, tmp_path / "pseudo", f"manifest={other / 'manifest.parquet'}")


def test_a_model_that_learned_from_everything_has_nothing_to_label(tmp_path):
    cohort = write_cohort(tmp_path / "cache", unlabeled=0)
    finetune.run(config(cohort))
    with pytest.raises(DataError, match=r"learned from all 4 cases of split 'train'"):
        label(cohort, tmp_path / "pseudo")
