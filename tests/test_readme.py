"""What the README tells a reader to type is understood, and what it points at is there."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

from pipelines.__main__ import main

TEXT = Path("README.md").read_text()
BLOCKS = re.findall(r"^```\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
COMMANDS = [
    shlex.split(line, comments=True)[1:]
    for block in BLOCKS
    for line in block.splitlines()
    if line.startswith("medssl ")
]
PATHS = sorted(
    set(re.findall(r"[`(]((?:configs|data_manifests|medssl|pipelines|tests)/[\w./]*)[`)]", TEXT))
)


def test_there_are_commands_and_paths_to_look_at():
    assert len(COMMANDS) > 1
    assert len(PATHS) > 5


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_command_of_the_readme_is_understood(words, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("MEDSSL_MIRROR", str(tmp_path))
    assert main([*words, "--show"]) == 0
    assert "output: " in capsys.readouterr().out


def test_the_studys_steps_can_be_told_to_read_what_fetch_brings():
    card, index = (
        yaml.safe_load(Path(f"configs/{name}.yaml").read_text())
        for name in ("fetch/hippocampus", "index/hippocampus_msd")
    )
    brought = f"{card['output']}/data/Task04_Hippocampus"
    (source,) = index["sources"]
    assert source["root"] == f"{brought}/imagesTr"
    assert source["labels"]["folder"] == f"{brought}/labelsTr"


@pytest.mark.parametrize("path", PATHS)
def test_a_path_of_the_readme_is_there(path):
    assert Path(path).exists()


@pytest.mark.parametrize("target", re.findall(r"^make (\w+)", TEXT, re.MULTILINE))
def test_a_make_target_of_the_readme_is_there(target):
    assert f"\n{target}:" in Path("Makefile").read_text()
