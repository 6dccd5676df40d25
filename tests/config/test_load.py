from pathlib import Path

import pytest

from medssl.config.component import build
from medssl.config.load import load
from medssl.config.stages.cache import Cache
from medssl.config.stages.index import Index
from medssl.config.stages.pretrain import Pretrain
from medssl.errors import ConfigError

VICREG = Path("configs/pretrain/vicreg.yaml")


@pytest.mark.parametrize(
    ("override", "line"),
    [
        (
            "optimm.lr=1",
            r"vicreg\.yaml is no pretrain config: optimm: unknown key; did you mean 'optim'\?",
        ),
        ("colour=1", r"colour: unknown key; --show prints those there are"),
        ("optim.num_steps=-1", r"optim\.num_steps: .*greater than 0, got -1"),
        ("optim.optimizer.lr=-1", r"optim\.optimizer: .*lr must be positive, got -1"),
        (
            "method.width=1",
            r"method: joint_embedding takes .*'objective'.*, got unknown \['width'\]",
        ),
        ("method.hidden_dim=x", r"method: hidden_dim: .*valid integer.*, got 'x'"),
        ("method.objective.lamda=1", r"method: objective: vicreg takes .* got unknown \['lamda'\]"),
        ("method.objective.name=vicregg", r"method: objective: no 'vicregg' .* mean 'vicreg'\?"),
        ("method.objective=3", r"method: objective: .* got 3"),
        ("method.objective.name=json:Nothing", r"objective: no class 'Nothing' in 'json'"),
        ("method.objective.name=torch.nn:CTCLoss", r"CTCLoss takes \['log_probs', .* only \['z_a'"),
    ],
)
def test_a_mistake_is_named_with_its_place(override, line):
    with pytest.raises(ConfigError, match=line):
        load(Pretrain, VICREG, [override])


def test_several_mistakes_come_a_line_each():
    with pytest.raises(ConfigError, match=r"config:\n  .*: .*\n  .*: ") as caught:
        load(Pretrain, VICREG, ["optimm=1", "optim.num_steps=0"])
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize("split", ["many", 1.5])
def test_where_two_types_are_allowed_a_mistake_is_one_line_that_names_both(split):
    with pytest.raises(ConfigError) as caught:
        load(Index, Path("configs/index/hippocampus.yaml"), [f"split.test={split}"])
    (line,) = str(caught.value).splitlines()
    assert "config: split.test: " in line
    assert " integer" in line
    assert " or " in line


@pytest.mark.parametrize("scheduler", ["dask", "tcp://", "threads2", ""])
def test_who_is_to_work_is_one_of_three(scheduler):
    with pytest.raises(ConfigError, match="scheduler: expected threads, processes or tcp://host"):
        load(Cache, None, [f"scheduler='{scheduler}'", "index=i", "output=o", "preprocessing={}"])


def test_a_mistake_in_a_list_does_not_repeat_the_list():
    with pytest.raises(ConfigError) as caught:
        load(Index, None, ["sources=[{rot: secret}]", "output=o"])
    said = str(caught.value)
    assert "sources.0.rot: unknown key; did you mean 'root'?" in said
    assert "secret" not in said


def test_a_key_that_stands_elsewhere_is_not_suggested_in_its_own_place():
    with pytest.raises(ConfigError, match=r"pacs\.modality: unknown .*; --show prints"):
        load(Index, None, ["sources=[{pacs: {modality: CT, query: {modality: CT}}}]", "output=o"])


def test_a_mistake_of_the_whole_has_no_place():
    with pytest.raises(ConfigError, match=r"cache config: preprocessing, plan: expected exactly"):
        load(Cache, None, ["index=a", "output=b"])


def test_defaults_of_a_component_are_written_down():
    assert load(Pretrain, VICREG).method.params["objective"].params["eps"] == 1e-4


def test_components_are_built_inside_out():
    cfg = load(Pretrain, VICREG, ["method.objective.variance=7", "method.projection_dim=5"])
    method = build(cfg.method, build(cfg.encoder))
    assert method.objective.variance == 7
    assert method.projector[-1].out_features == 5


def test_a_renamed_component_sheds_the_old_ones_arguments():
    method = load(Pretrain, VICREG, ["method.objective.name=ntxent"]).method
    assert method.params["objective"].params == {"temperature": 0.1}


def test_a_base_on_a_base_is_refused(tmp_path):
    (tmp_path / "a.yaml").write_text("seed: 1\n")
    (tmp_path / "b.yaml").write_text("base: a.yaml\n")
    (tmp_path / "c.yaml").write_text("base: b.yaml\n")
    with pytest.raises(ConfigError, match=r"c\.yaml: its base b\.yaml has a base"):
        load(Pretrain, tmp_path / "c.yaml")


def test_a_config_that_is_not_there_is_named():
    with pytest.raises(ConfigError, match=r"there is no config nowhere\.yaml; give configs/"):
        load(Pretrain, Path("nowhere.yaml"))


def test_a_config_with_a_slip_in_its_name_is_guessed():
    with pytest.raises(ConfigError, match=r"did you mean configs/study/demo\.yaml\?"):
        load(Pretrain, Path("configs/study/demoo.yaml"))
