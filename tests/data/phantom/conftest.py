from dataclasses import replace

import pytest
import SimpleITK as sitk  # noqa: N813 its own documentation's name

from medssl.data.phantom.anatomy import load_template
from medssl.data.phantom.archive import write_item, write_truth
from medssl.data.phantom.cohort import Recipe, cohort

COARSE = Recipe(
    num_subjects=24,
    two_series=0.25,
    spacing_mm=(8.0, 9.0),
    labels="all",
    deformation_mm=3.0,
    snr=(20.0, 40.0),
    exact_duplicates=2,
    near_duplicates=3,
    truncated=1,
    missing_slices=1,
    secondary_captures=1,
    text_files=1,
    seed=7,
)


def write(folder, template, recipe):
    truths = [write_item(folder / "private", template, recipe, item) for item in cohort(recipe)]
    write_truth(folder, recipe, truths)
    return truths


class Written:
    """An archive on disk, its truth, and its series as SimpleITK finds them."""

    def __init__(self, folder, truths):
        self.folder, self.truths = folder, truths
        self.root = folder / "private" / "archive"
        self._files = {}
        for path in (path for path in self.root.glob("*/*/*") if path.is_dir()):
            for uid in sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(path)):
                found = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(path), uid)
                self._files[uid] = list(found)

    def of(self, *roles):
        return [truth for truth in self.truths if truth.role in roles]

    def files(self, truth):
        """Return the series' files, sorted by position by GDCM."""
        return self._files[truth.series_uid]

    def image(self, truth):
        return sitk.ReadImage(self.files(truth))

    def label(self, truth):
        return sitk.ReadImage(str(self.folder / f"private/labels/{truth.series_uid}.nii.gz"))


@pytest.fixture(scope="session")
def recipe():
    """A recipe of 24 coarse subjects; `changed` lays keys over it."""
    return COARSE


@pytest.fixture(scope="session")
def template():
    return load_template(2.0)


@pytest.fixture(scope="session")
def archive(tmp_path_factory, template):
    folder = tmp_path_factory.mktemp("phantom")
    return Written(folder, write(folder, template, COARSE))


@pytest.fixture(scope="session")
def fine(tmp_path_factory, template):
    """Two series of one subject at 3 mm."""
    folder = tmp_path_factory.mktemp("fine")
    nothing = dict.fromkeys(
        ("exact_duplicates", "near_duplicates", "truncated", "missing_slices"), 0
    ) | dict.fromkeys(("secondary_captures", "text_files"), 0)
    recipe = replace(COARSE, num_subjects=1, two_series=1.0, spacing_mm=(2.7, 3.3), **nothing)
    return Written(folder, write(folder, template, recipe))


@pytest.fixture
def write_archive(template):
    return lambda folder, recipe: Written(folder, write(folder, template, recipe))
