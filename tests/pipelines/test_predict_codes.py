"""`predict` with both codes: what it writes is what the network says, where the image says it."""

import json

import nibabel
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from medssl.inference.sliding_window import SlidingWindow
from medssl.methods.contrastive_analysis import ContrastiveAnalysis
from medssl.models.encoders.small_conv import SmallConv
from medssl.models.export import write_export
from medssl.objectives.sep_clr import SepCLR
from pipelines.__main__ import main
from pipelines._codes import restore_codes
from pipelines._salience import Salience

AFFINE = np.array([[0, -2.0, 0, 90], [1.5, 0, 0, -60], [0, 0, -3.0, 40], [0, 0, 0, 1]])
SHAPE = (24, 16, 32)


@pytest.fixture
def model(tmp_path, seen):
    torch.manual_seed(0)
    method = ContrastiveAnalysis(
        SmallConv(spatial_dims=3, width=4), objective=SepCLR(), common_dim=3, salient_dim=2
    )
    card = {
        "default": "encoder",
        "encoder": {"name": "small_conv", "spatial_dims": 3, "width": 4},
        "method": {
            "name": "contrastive_analysis",
            "objective": {"name": "sep_clr"},
            "common_dim": 3,
            "salient_dim": 2,
        },
        "crop_vox": [16, 16, 16],
        "preprocessing": {"spacing_mm": None, "crop_to_foreground": False},
    }
    write_export(tmp_path / "model", method.exports(), card, subjects=seen)
    return tmp_path / "model"


@pytest.fixture
def seen():
    import pyarrow as pa

    return pa.table({"subject_id": ["s"], "digest": ["d"]})


def write_image(path, seed=0):
    voxels = np.random.default_rng(seed).normal(size=SHAPE).astype(np.float32)
    path.parent.mkdir(exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(voxels, AFFINE), path)


def run(root, model, *more):
    keys = {"model": model, "source": root / "new", "output": root / "out", "device": "cpu"}
    flags = [word for key, value in keys.items() for word in ("--set", f"{key}={value}")]
    return main(["predict", *flags, *more])


def test_codes_and_a_map_on_the_images_grid_are_written(tmp_path, model, capsys):
    write_image(tmp_path / "new" / "a.nii.gz")
    assert run(tmp_path, model) == 0
    (row,) = pq.read_table(tmp_path / "out/codes.parquet").to_pylist()
    (path,) = (tmp_path / "out").glob("*.nii.gz")
    assert path.name == f"{row['case_id']}.nii.gz"
    found = nibabel.load(path)
    assert found.shape == SHAPE
    np.testing.assert_allclose(found.affine, AFFINE, atol=1e-4)
    assert (tmp_path / "out" / "figures" / f"{row['case_id']}.png").is_file()
    columns = restore_codes(model).columns
    assert set(row) == {"case_id", "salient_score", *columns}
    projected = [row[name] for name in columns if name.startswith("salient_projection.")]
    assert row["salient_score"] == pytest.approx(np.linalg.norm(projected))
    assert "1 volumes predicted" in capsys.readouterr().out


def test_a_run_that_is_started_again_keeps_what_is_there(tmp_path, model):
    for name, seed in (("a", 0), ("b", 1)):
        write_image(tmp_path / "new" / f"{name}.nii.gz", seed)
    assert run(tmp_path, model) == 0
    before = pq.read_table(tmp_path / "out/codes.parquet")
    maps = sorted((tmp_path / "out").glob("*.nii.gz"))
    second = nibabel.load(maps[1]).get_fdata()
    maps[1].unlink()
    stamp = maps[0].stat().st_mtime_ns
    assert run(tmp_path, model) == 0
    assert maps[0].stat().st_mtime_ns == stamp
    assert pq.read_table(tmp_path / "out/codes.parquet").equals(before)
    np.testing.assert_array_equal(nibabel.load(maps[1]).get_fdata(), second)


class Corner(torch.nn.Module):
    """Codes whose salient score is how bright the first corner of a window is."""

    def salience(self, image):
        return 5 + image[:, 0, :4, :4, :4].mean(dim=(1, 2, 3))


def salience(network, window):
    return Salience(network, window, None, None, torch.device("cpu"))


def test_the_map_of_a_window_has_its_score_as_mean_and_lies_where_the_score_comes_from():
    window = SlidingWindow(window_vox=(16, 16, 16), batch_vox=2**20)
    image = torch.randn(3, 1, 16, 16, 16)
    maps = salience(Corner(), window).shares(image)
    assert maps.shape == image.shape
    torch.testing.assert_close(maps.mean(dim=(1, 2, 3, 4)), Corner().salience(image))
    outside = maps.clone()
    outside[:, :, :4, :4, :4] = 0
    assert not outside.any()


def test_a_score_that_depends_on_nothing_is_everybodys():
    class Flat(torch.nn.Module):
        def salience(self, image):
            return 2 + 0 * image.flatten(1).sum(dim=1)

    window = SlidingWindow(window_vox=(16, 16), batch_vox=2**20)
    maps = salience(Flat(), window).shares(torch.randn(2, 1, 16, 16))
    torch.testing.assert_close(maps, torch.full_like(maps, 2.0))


def test_an_export_without_codes_is_no_model_of_either_kind(tmp_path, seen, capsys):
    write_image(tmp_path / "new" / "a.nii.gz")
    encoder = SmallConv(spatial_dims=3, width=4)
    write_export(tmp_path / "plain", {"encoder": encoder}, {"encoder": {}}, subjects=seen)
    assert run(tmp_path, tmp_path / "plain") == 2
    assert "is no task model" in capsys.readouterr().err
    assert json.loads((tmp_path / "plain/card.json").read_text())["parts"] == ["encoder"]
