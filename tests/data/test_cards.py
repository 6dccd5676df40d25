import hashlib
import re
from pathlib import Path

import pytest
import yaml

from medssl.data.cards import RemoteFile, folder_digest, is_inside, read_card
from medssl.errors import DataError

CARDS = sorted(Path("data_manifests").glob("*.yaml"))
GOOD = {
    "name": "some",
    "title": "A set",
    "licence": "CC0",
    "citation": "Nobody",
    "homepage": "https://example.org",
    "layout": "files",
    "mirror": "some",
}


def written(folder, **changes):
    path = folder / "some.yaml"
    path.write_text(yaml.safe_dump({**GOOD, **changes}))
    return path


def test_the_sets_that_were_promised_have_cards():
    assert {
        "msd_hippocampus",
        "msd_prostate",
        "lidc_idri",
        "acdc",
        "mm_whs",
        "camelyon16",
        "bccd_detection",
    } <= {path.stem for path in CARDS}


@pytest.mark.parametrize("path", CARDS, ids=lambda path: path.stem)
def test_every_card_is_one_and_says_how_to_come_by_the_files(path):
    card = read_card(path)
    for said in (card.title, card.licence, card.citation, card.layout, card.note):
        assert len(said) > 2
    # Whoever has no mirror is told what to do: an address with a digest, or a reason for none.
    for file in card.files:
        assert file.digest is not None or file.note
    assert card.files or card.note
    assert card.mirror_digest is None or re.fullmatch("[0-9a-f]{64}", card.mirror_digest)


@pytest.mark.mirror
def test_every_folder_of_the_mirror_has_a_card(mirror):
    folders = {path.name for path in mirror.iterdir() if path.is_dir()}
    assert folders <= {read_card(path).mirror for path in CARDS}


def test_files_are_read_with_their_digests(tmp_path):
    entry = {"url": "https://example.org/a/b.tar?download=1", "md5": "5" * 32, "unpack": "tar"}
    (file,) = read_card(written(tmp_path, files=[entry])).files
    assert (file.name, file.digest, file.unpack) == ("b.tar", f"md5:{'5' * 32}", "tar")
    assert RemoteFile(url="http://x/y", sha256="a", md5="b").digest == "sha256:a"
    assert RemoteFile(url="http://x/y").digest is None


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"license": "CC0"}, r"some\.yaml: unknown \['license'\]; expected some of .*'licence'"),
        ({"title": 3}, r"some\.yaml: title: expected .*str.*, got 3"),
        ({"name": "other"}, r"its name must be the file's, 'some', got 'other'"),
        ({"mirror": "../x"}, r"inside the mirror, got '\.\./x'"),
        ({"mirror": "/x"}, r"inside the mirror, got '/x'"),
        ({"files": [{"sha256": "a"}]}, r"files: \['url'\] must be said"),
        ({"files": ["http://x/y"]}, r"files: expected keys and values, got 'http://x/y'"),
        ({"files": [{"url": "ftp://x/y"}]}, r"expected an http\(s\) URL .*got 'ftp://x/y'"),
        ({"files": [{"url": "http://x/.."}]}, r"ends with a file's name, got 'http://x/\.\.'"),
        ({"files": [{"url": "http://x/y", "unpack": "rar"}]}, r"unpack must be one of .*'rar'"),
        ({"files": [{"url": "http://x/y", "size": "1"}]}, r"size: expected int .*got '1'"),
        ({"files": "http://x/y"}, r"files: expected"),
    ],
)
def test_a_mistake_in_a_card_is_named(tmp_path, changes, line):
    with pytest.raises(DataError, match=line):
        read_card(written(tmp_path, **changes))


def test_what_a_card_must_say_is_missed(tmp_path):
    path = tmp_path / "some.yaml"
    path.write_text("name: some\n")
    with pytest.raises(DataError, match=r"\['citation', 'homepage', .*\] must be said"):
        read_card(path)


def test_a_card_that_is_not_there_is_answered_with_those_that_are(tmp_path):
    written(tmp_path)
    with pytest.raises(DataError, match=r"no card .*other\.yaml; .* has \['some'\]"):
        read_card(tmp_path / "other.yaml")


def test_what_is_no_yaml_is_named(tmp_path):
    (tmp_path / "some.yaml").write_text("a: [1")
    with pytest.raises(DataError, match=r"some\.yaml is no YAML"):
        read_card(tmp_path / "some.yaml")


def test_the_folder_digest_is_that_of_the_sorted_listing():
    literal = hashlib.sha256(b"11  a/b\n22  c\n").hexdigest()
    assert folder_digest({"c": "22", "a/b": "11"}) == literal
    assert folder_digest({"c": "22", "a/B": "11"}) != literal


@pytest.mark.parametrize(
    ("path", "inside"),
    [
        ("a/b", True),
        ("a..b", True),
        ("../a", False),
        ("a/../../b", False),
        ("/a", False),
        ("a\\..\\..\\b", False),
        ("", False),
        (".", False),
    ],
)
def test_a_path_is_inside_or_not(path, inside):
    assert is_inside(path) == inside
