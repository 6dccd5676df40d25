"""What a config may say of a PACS, and what it may not."""

from pathlib import Path

import pytest
import yaml

from medssl.config.load import dump, load
from medssl.config.stages.index import Index
from medssl.errors import ConfigError

DIMSE = {"host": "127.0.0.1", "called_ae": "ARCHIVE"}
WEB = {"url": "https://pacs.example/dicom-web/"}
CT = {"modality": "CT"}
TURNED = {"first": "2021-01-01", "last": "2020-01-01"}


def loaded(tmp_path, **source):
    path = tmp_path / "index.yaml"
    path.write_text(yaml.safe_dump({"output": "o", "sources": [source]}))
    return load(Index, path).sources[0]


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ({}, "source: expected exactly one of root, pacs; got none"),
        ({"root": "a", "pacs": {"dimse": DIMSE, "query": CT}}, "pacs; got root, pacs"),
        ({"pacs": {"query": CT}}, "pacs: expected exactly one of dimse, dicomweb"),
        ({"pacs": {"dimse": DIMSE, "dicomweb": WEB, "query": CT}}, "one of dimse, dicomweb"),
        ({"pacs": {"dimse": DIMSE}}, r"sources\.0\.pacs\.query: required"),
        ({"pacs": {"dimse": DIMSE, "query": {}}}, "the whole PACS would be brought here"),
        ({"pacs": {"dimse": DIMSE, "query": {"modality": "C*"}}}, r"query\.modality: .*pattern"),
        ({"pacs": {"dimse": DIMSE, "query": {"body_part": "chest"}}}, r"body_part: .*pattern"),
        (
            {
                "pacs": {
                    "dimse": DIMSE,
                    "query": {"dates": {"first": "2021-01-01", "last": "2020-01-01"}},
                }
            },
            "dates: expected first <= last, got 2021-01-01 and 2020-01-01",
        ),
        ({"pacs": {"dimse": DIMSE | {"port": 0}, "query": CT}}, r"dimse\.port: .*got 0"),
        (
            {"pacs": {"dimse": DIMSE | {"calling_ae": "M" * 17}, "query": CT}},
            r"calling_ae: .*pattern",
        ),
        (
            {"include": "*.dcm", "pacs": {"dimse": DIMSE, "query": CT}},
            r"\['include'\]: what comes from a PACS has no paths",
        ),
        (
            {"attributes": {"regex": "(a)"}, "pacs": {"dimse": DIMSE, "query": CT}},
            r"\['attributes.regex'\]: what comes from a PACS has no paths",
        ),
        (
            {"labels": {"folder": "l"}, "pacs": {"dimse": DIMSE, "query": CT}},
            r"\['labels'\]: what comes from a PACS has no paths",
        ),
    ],
)
def test_a_mistake_is_named(tmp_path, source, line):
    with pytest.raises(ConfigError, match=line):
        loaded(tmp_path, **source)


@pytest.mark.parametrize("url", ["http://user:kaxu@host/dicom-web", "http://host/?token=kaxu"])
def test_a_password_in_a_url_is_refused_and_not_repeated(tmp_path, url):
    with pytest.raises(ConfigError, match="`credentials` names the environment var") as caught:
        loaded(tmp_path, pacs={"dicomweb": {"url": url}, "query": CT})
    assert "kaxu" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_dates_survive_a_round_trip(tmp_path):
    query = {"dates": {"first": "2020-01-31"}}
    source = loaded(tmp_path, pacs={"dicomweb": WEB, "query": query})
    assert source.pacs.query.dates.first.isoformat() == "2020-01-31"
    assert source.pacs.dicomweb.url == "https://pacs.example/dicom-web"
    again = tmp_path / "again.yaml"
    again.write_text(dump(load(Index, tmp_path / "index.yaml")))
    assert load(Index, again).sources[0] == source


@pytest.mark.parametrize("name", ["pacs", "dicomweb"])
def test_the_examples_stay_on_this_machine(name):
    (source,) = load(Index, Path(f"configs/index/{name}.yaml")).sources
    told = source.pacs.dimse or source.pacs.dicomweb
    assert "127.0.0.1" in (getattr(told, "host", "") or told.url)
