"""What records keep of a config: everything but where the archive is."""

import pytest
import yaml

from medssl.config.load import dump, load
from medssl.config.stages.index import Index
from medssl.config.stages.predict import Predict
from medssl.data.archive.pseudonyms import Pseudonyms
from medssl.errors import DataError
from pipelines._hidden import overlay_without_paths, place_of, without_paths

HIDDEN = Pseudonyms(b"0" * 32)
NAME = "Zephyrowska"


def test_every_path_of_an_index_is_hidden_and_nothing_else():
    tree = {
        "sources": [
            {
                "root": f"/data/{NAME}",
                "include": f"{NAME}/*.nii.gz",
                "modality": "CT",
                "subject": {"csv": f"{NAME}.csv"},
                "labels": {"folder": f"labels/{NAME}", "unpaired": "keep"},
                "attributes": {"csv": f"{NAME}2.csv", "columns": ["grade"]},
            },
            {"root": "mirror:set/images", "include": "*.nii.gz", "labels": {"csv": NAME}},
            {"root": NAME, "labels": {"datalist": f"{NAME}.json"}, "subject": {"regex": "(s..)_"}},
        ],
        "output": "outputs/index",
        "key": f"/keys/{NAME}",
        "deidentified": f"/copies/{NAME}",
    }
    flags = [f"{key}={yaml.safe_dump(value, width=9999)}" for key, value in tree.items()]
    cfg = load(Index, None, flags)
    text = dump(without_paths(cfg, HIDDEN))
    assert NAME not in text
    shown = yaml.safe_load(text)
    before = yaml.safe_load(dump(cfg))
    assert shown["sources"][0]["root"] == HIDDEN("source", f"/data/{NAME}")
    assert shown["sources"][1]["root"] == "mirror:set/images"
    assert shown["sources"][1]["include"] == "*.nii.gz"
    for tree in (shown, before):
        for source in tree["sources"]:
            source["root"] = source["include"] = None
            for part in ("subject", "labels", "attributes"):
                for key in ("csv", "folder", "datalist"):
                    if source[part]:
                        source[part].pop(key, None)
        del tree["key"], tree["deidentified"]
    assert shown == before


def test_the_source_of_a_prediction_is_hidden():
    cfg = load(Predict, None, ["model=m", f"source={NAME}", "output=o"])
    shown = without_paths(cfg, HIDDEN)
    assert shown.source == HIDDEN("source", NAME)
    assert str(shown.model) == "m"


def test_what_a_study_lays_over_a_config_loses_its_paths():
    overlay = {
        "sources": [{"root": NAME, "labels": {"csv": NAME}, "group": "target"}],
        "source": NAME,
        "sources.0.root": NAME,
        "split.test": 3,
        "modality": "CT",
    }
    assert overlay_without_paths(overlay) == {
        "sources": [{"root": "(hidden)", "labels": {"csv": "(hidden)"}, "group": "target"}],
        "source": "(hidden)",
        "sources.0.root": "(hidden)",
        "split.test": 3,
        "modality": "CT",
    }


def test_an_error_about_a_path_names_its_key(tmp_path):
    with pytest.raises(DataError, match=r"^sources\.3\.root: there is no such file") as raised:
        place_of(str(tmp_path / NAME), "sources.3.root")
    assert NAME not in str(raised.value)
