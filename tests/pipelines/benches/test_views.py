"""The bench of views: peers do what we do, the fastest setting counts; all of it in small."""

import json
import sys
import warnings

import pytest
import torch
import yaml

from medssl.data.augment import augment
from medssl.errors import ConfigError
from pipelines.__main__ import main
from pipelines.benches._view_peers import Ranges, TwoViews, batches, monai_chain, torchio_chain
from pipelines.benches.views import ViewThroughput, our_operations, two_crops

STILL = Ranges(
    rotation_deg=0.0,
    scale=(1.0, 1.0),
    shift=0.0,
    flip=0.0,
    offset=(0.0, 0.0),
    contrast=(1.0, 1.0),
    exponent=(1.0, 1.0),
    sigma_vox=(0.01, 0.01),
    std=(0.0, 0.0),
)
SIDE = 16


def with_(**changed):
    return Ranges(**{**vars(STILL), **changed})


@pytest.fixture(autouse=True)
def _peers_warn():
    """Of what will change in them; it is not ours to mend."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.fixture
def image():
    """Smooth, from 0 to 1, where gamma has the same meaning for all; 0 at the border."""
    axis = torch.linspace(-1, 1, SIDE)
    i, j, k = torch.meshgrid(axis, axis, axis, indexing="ij")
    blob = torch.exp(-4 * ((i - 0.1) ** 2 + j**2 * 1.5 + (k + 0.2) ** 2))
    return ((blob - blob.min()) / (blob.max() - blob.min()))[None]


def chains(ranges):
    return {
        "monai": monai_chain(ranges, SIDE, lazy=False),
        "monai, lazy": monai_chain(ranges, SIDE, lazy=True),
        "torchio": torchio_chain(ranges, SIDE),
    }


@pytest.mark.parametrize(
    "ranges",
    [
        STILL,
        with_(scale=(1.25, 1.25)),
        with_(flip=1.0),
        with_(offset=(0.2, 0.2)),
        with_(contrast=(1.3, 1.3)),
        with_(exponent=(1.5, 1.5)),
    ],
    ids=["nothing", "scale", "flip", "offset", "contrast", "exponent"],
)
def test_where_nothing_is_left_to_chance_all_do_the_same(ranges, image):
    views = augment(two_crops(image[None], 0), our_operations(ranges)).images[0, 0]
    inside = (slice(None), *(slice(4, -4),) * 3)
    for name, chain in chains(ranges).items():
        found = torch.as_tensor(chain(image))
        torch.testing.assert_close(found[inside], views[inside], rtol=0, atol=0.01, msg=name)
    assert ranges == STILL or (views - image)[inside].abs().max() > 0.05


def test_all_blur_as_much(image):
    """MONAI's weights are whole voxels', which widens its Gaussian by a voxel's variance."""
    widths = {"monai": (1 + 1 / 12) ** 0.5, "monai, lazy": (1 + 1 / 12) ** 0.5, "torchio": 1.0}
    inside = (slice(None), *(slice(4, -4),) * 3)
    for name, chain in chains(with_(sigma_vox=(1.0, 1.0))).items():
        ours = our_operations(with_(sigma_vox=(widths[name],) * 2))
        expected = augment(two_crops(image[None], 0), ours).images[0, 0][inside]
        found = torch.as_tensor(chain(image))[inside]
        torch.testing.assert_close(found, expected, rtol=0, atol=0.01, msg=name)


@pytest.mark.long
def test_all_make_as_much_noise(image):
    ranges = with_(std=(0.0, 0.1))
    ours = [augment(two_crops(image[None], k), our_operations(ranges)).images for k in range(150)]
    stds = {"medssl": (torch.stack(ours) - image).flatten(1).std(1)}
    for name, chain in chains(ranges).items():
        stds[name] = torch.stack([(chain(image) - image).std() for _ in range(300)])
    for name, std in stds.items():
        assert std.max() < 0.11, name
        assert std.mean().item() == pytest.approx(0.05, abs=0.01), name


@pytest.mark.long
def test_peers_turn_and_shift_as_far_as_we_do(image):
    """By the second moments of the displaced blob's middle, over many draws."""
    ranges = with_(shift=0.1)
    axis = torch.arange(SIDE).float()

    def middle(view):
        return (view.sum((0, 2, 3)) * axis).sum() / view.sum()

    def spread(views):
        return torch.stack([middle(view) for view in views]).std().item()

    crops = [two_crops(image[None], k) for k in range(60)]
    ours = [view for one in crops for view in augment(one, our_operations(ranges)).images[:, 0]]
    expected = spread(ours)
    assert expected > 0.3
    for name, chain in chains(ranges).items():
        found = spread([chain(image) for _ in range(120)])
        assert found == pytest.approx(expected, rel=0.35), name


def test_a_peer_draws_anew_for_each_view_and_leaves_its_case_alone(image):
    for chain in chains(Ranges()).values():
        before = image.clone()
        (batch,) = batches(TwoViews(image[None], chain, 1), workers=0)
        assert batch.shape == (1, 2, 1, SIDE, SIDE, SIDE)
        assert not torch.equal(batch[0, 0], batch[0, 1])
        assert torch.equal(image, before)


def small(folder, **keys):
    bench = {
        "name": "views",
        "goals": {"monai": 1e-9, "torchio": 1e-9},
        "repetitions": 2,
        "num_cases": 2,
        "num_batches": 2,
        "side_vox": 16,
    }
    path = folder / "bench.yaml"
    path.write_text(yaml.safe_dump({"bench": bench | keys, "output": str(folder / "out")}))
    return str(path)


@pytest.mark.slow
def test_views_are_measured_against_each_peer_in_one_process_and_in_workers(tmp_path, capsys):
    assert main(["bench", small(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()[-4:]
    assert [line.split(":")[0].removeprefix("views.") for line in lines] == [
        "monai, in workers", "torchio, in workers",
        "monai, in this process", "torchio, in this process",
    ]  # fmt: skip
    assert ["no goal" in line for line in lines] == [True, True, False, False]
    details = json.loads((tmp_path / "out/bench.json").read_text())["details"]
    rates = details["cases_per_s"]
    assert len(rates) == 7
    assert {len(each) for each in rates.values()} == {2}
    assert {"torch", "monai", "torchio"} == details["packages"].keys()
    assert len(details["cases_per_s_of_an_operation_alone"]) == 5


def test_the_fastest_setting_of_a_place_counts():
    bench = ViewThroughput(goals={"monai": 3.0})
    rates = {
        "medssl": [8.0, 9.0],
        "monai, in this process": [4.0, 3.0],
        "monai, lazy, in this process": [1.0, 9.0],
        "monai, in workers": [10.0, 10.0],
    }
    found = bench._against(rates, "monai", "in this process")
    assert found.unit == "x the cases/s of monai, lazy, in this process"
    assert (found.low, found.high, found.goal.limit) == (1.0, 8.0, 3.0)
    assert bench._against(rates, "monai", "in workers").goal is None


def test_a_peer_that_is_not_installed_is_named(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchio", None)
    assert main(["bench", small(tmp_path)]) == 2
    assert "torchio is not installed; pip install -e '.[dev]'" in capsys.readouterr().err


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(ConfigError, match="expected counts of at least 1, got"):
        ViewThroughput(goals={}, repetitions=0)
    with pytest.raises(ConfigError, match=r"goals: \['kornia'\] are none of the peers"):
        ViewThroughput(goals={"kornia": 3.0})
