"""No name, number, address or date that stands anywhere in an archive leaves it, by any stage.

The whole road is walked over an archive that has its patients' names in every element of DICOM,
in private and nested ones, in other formats' headers, in damaged files, in tables, and in the
names of folders and files. Then each byte that was written or printed is searched.
"""

import csv
import json
import os
import re
import runpy
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import pyarrow.parquet as pq
import pytest
import SimpleITK
import yaml
from nibabel.nifti1 import Nifti1Extension

from medssl.data.dicom.dates import date_of
from medssl.data.dicom.quiet import quietly
from medssl.data.manifest import read_manifest
from pipelines.__main__ import main

pytestmark = pytest.mark.long
SHAPE, SUBJECTS = (24, 26, 8), 7
UNET = {"name": "unet", "channels": [4, 8], "norm": "instance"}


@pytest.fixture(scope="module")
def planted():
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "planted.py")))


@pytest.fixture(scope="module")
def dicom():
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "dicom_series.py")))


def ball(seed):
    """A volume and its label: a bright ball somewhere."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1)
    label = np.linalg.norm((grid - rng.uniform(0.4, 0.6, 3) * SHAPE) * [1, 1, 2], axis=-1) < 7
    return (200 * label + rng.normal(0, 10, SHAPE)).astype(np.int16), label.astype(np.uint8)


class Archive:
    """Writes the archive, and the tables about it."""

    def __init__(self, root, planted, dicom):
        self.planted, self.dicom = planted, dicom
        self.word, self.number = planted.WORD, planted.DIGITS
        self.root = root / f"{self.word} Müller" / "St. Anne%C3%9F"
        self.labels = root / f"{self.word}_labels"

    def write(self):
        for subject in range(SUBJECTS):
            self.series(subject)
        self.second_visit()
        self.broken()
        self.other_formats(self.root.parent / "other formats")
        self.tables()
        return self

    def uid(self, *numbers):
        return f"1.2.826.0.1.{self.number}." + ".".join(map(str, numbers))

    def series(self, subject, *, visit=0, folder=None, **tags):
        voxels, label = ball(subject * 10 + visit)
        charset = list(self.planted.NAMES)[subject % 3]
        suspicious = frozenset() if subject == 1 else self.planted.SUSPICIOUS
        planter = self.planted.Planter(charset, self.planted.STRUCTURE | suspicious)
        folder = (
            folder or self.root / f"{self.word.upper()}^{subject} ö" / f"%20{self.word} {visit}"
        )
        affine = np.diag([-2.0, -2.0, 4.0, 1.0])
        for k in range(SHAPE[2]):
            found = self.dicom.slice_of(
                voxels,
                affine,
                k,
                PatientID=f"{self.word}-{self.number}-{subject}",
                StudyInstanceUID=self.uid(subject, visit),
                SeriesInstanceUID=self.uid(subject, visit, 1),
                SOPInstanceUID=self.uid(subject, visit, 1, k),
                StudyDate=self.planted.DATES[subject % 10 + 10 * visit],
                PatientAge="097Y",
                **tags,
            )
            self.save(planter.plant(found), folder / f"{self.word}%C3 {k:02d}.dcm")
        nifti(self.labels / f"{self.word}_{subject}_{visit}.nii.gz", label, affine)

    def save(self, found, path):
        meta = found.file_meta
        meta.SourceApplicationEntityTitle = meta.SendingApplicationEntityTitle = self.word
        meta.PrivateInformationCreatorUID = self.uid(9, 9)
        meta.PrivateInformation = self.word.encode() * 2
        found.preamble = (self.word.encode() * 22)[:128]
        self.dicom.save(found, path)
        return path

    def second_visit(self):
        self.series(2, visit=1)

    def broken(self):
        """Files that are refused: by what they hold, errors could repeat it."""
        folder = self.root / f"broken {self.word}"
        faults = {
            "photometric": {"PhotometricInterpretation": self.word.upper(), "SamplesPerPixel": 3},
            "spacing": {"PixelSpacing": None},
            "modality": {"Modality": self.word.upper()},
            "class": {"SOPClassUID": self.uid(7, 7)},
            "capture": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"},
            "report": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.11", "Modality": "SR"},
            "pdf": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.104.1", "Modality": "DOC"},
            "localizer": {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER", self.word.upper()]},
            "mosaic": {"ImageType": ["ORIGINAL", "PRIMARY", "M", "MOSAIC", self.word.upper()]},
            "single": {},
        }
        for number, (name, tags) in enumerate(faults.items()):
            tags = {"SeriesInstanceUID": self.uid(77, number), "PatientID": self.word, **tags}
            found = self.dicom.slice_of(self.dicom.VOXELS, self.dicom.AFFINE, 0, **tags)
            path = self.save(self.planted.Planter().plant(found), folder / f"{self.word} {name}")
            content = path.read_bytes()
            (folder / f"{self.word} {name} cut").write_bytes(content[: len(content) // 2])
        whole = (folder / f"{self.word} single").read_bytes()
        for old, new in (
            (b"1.2.840.10008.1.2.1\0", f"1.2.826.{self.number}.11"[:20].encode()),
            (b"(0.5".ljust(4), b""),
        ):
            (folder / f"{self.word} {new[:3]!r}").write_bytes(whole.replace(old, new))
        (folder / f"{self.word}.txt").write_text(f"{self.word} lives here")
        (folder / f"{self.word}\nline.dcm").write_bytes(self.word.encode() * 99)
        no_utf8 = os.fsdecode(self.word.encode() + b"\xff")
        (folder / no_utf8).write_bytes((folder / f"{self.word} capture").read_bytes())
        (folder / f"{self.word} dangling.nii.gz").symlink_to(f"{self.word} nowhere")
        (folder / f"{self.word}.nii").write_bytes(self.word.encode() * 99)
        (folder / f"{self.word}.nrrd").write_text(f"NRRD0004\ntype: {self.word}\n\n")
        (folder / f"{self.word}.mha").write_text(f"ObjectType = {self.word}\n")

    def other_formats(self, folder):
        self.others = folder
        for number in range(2):
            voxels, _ = ball(500 + number)
            image = nibabel.Nifti1Image(voxels, np.diag([2.0, 2, 4, 1]))
            for field in ("descrip", "aux_file", "intent_name", "db_name"):
                image.header[field] = self.word.encode()
            image.header.extensions.append(Nifti1Extension("comment", self.word.encode()))
            folder.mkdir(parents=True, exist_ok=True)
            nibabel.save(image, folder / f"{self.word}%20ä {number}.nii.gz")
        for suffix in ("nrrd", "mha"):
            image = SimpleITK.GetImageFromArray(ball(510 + len(suffix))[0].T)
            image.SetMetaData("Comment", self.word)
            image.SetMetaData(f"{self.word}Key", self.word)
            SimpleITK.WriteImage(image, folder / f"{self.word} ü.{suffix}")

    def tables(self):
        """Labels by series; further values, of which one column is kept."""
        visits = [(subject, 0) for subject in range(SUBJECTS)]
        names = {visit: f"{self.word}_{visit[0]}_{visit[1]}.nii.gz" for visit in visits}
        self.label_table = self.labels / f"{self.word}.csv"
        nifti(self.labels / f"{self.word} off.nii.gz", np.zeros((3, 3, 3), np.uint8), np.eye(4))
        names[2, 1] = f"{self.word} off.nii.gz"
        rows = [(self.uid(*v, 1), name, f"{self.word}, {v}") for v, name in names.items()]
        rows += [(self.uid(88), f"{self.word}_2_1.nii.gz", self.word)]
        write_csv(self.label_table, ("series_uid", "label", "patient"), rows)
        self.attribute_table = self.labels / f"{self.word} values.csv"
        rows = [(self.uid(*v, 1), "II", self.word) for v in visits]
        write_csv(self.attribute_table, ("series_uid", "grade", "patient"), rows)


def write_csv(path, columns, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])


def nifti(path, voxels, affine):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(voxels, affine), path)


def study(archive, out):
    """Every stage from the archive to new masks, small."""
    index = {
        "sources": [
            {
                "root": str(archive.root),
                "labels": {"csv": str(archive.label_table), "unpaired": "keep"},
                "attributes": {
                    "csv": str(archive.attribute_table),
                    "image": "{series_uid}",
                    "columns": ["grade"],
                },
            },
            {"root": str(archive.others), "include": f"{archive.word}*", "modality": "CT"},
        ],
        "split": {"test": 2, "val": 1},
        "deidentified": str(out.parent / "copies"),
    }
    (out.parent / "private").mkdir()
    config = out.parent / "private" / "index.yaml"
    config.write_text(yaml.safe_dump(index))
    crops = {"crop_vox": [16, 16, 8]}
    optim = {"optim.num_steps": 3, "optim.batch_size": 2, "fabric.precision": "32-true"}
    cached = "cache.output/manifest.parquet"
    steps = {
        "index": {"stage": "index", "config": str(config)},
        "again": {"stage": "index", "set": index | {"deidentified": None}},
        "cache": {"stage": "cache", "set": {"index": "index.output", "preprocessing": {}}},
        "embed": {
            "stage": "embed",
            "config": "configs/embed/dhash_volumes.yaml",
            "set": {"manifest": cached},
        },
        "select": {
            "stage": "select",
            "config": "configs/select/near_duplicate_volumes.yaml",
            "set": {"manifest": cached, "descriptors": "embed.output"},
        },
        "pretrain": {
            "stage": "pretrain",
            "config": "configs/pretrain/simclr.yaml",
            "set": {"manifest": "select.output/manifest.parquet", "encoder": UNET, **optim}
            | {"crops.crop_vox": crops["crop_vox"], "num_workers": 0},
        },
        "finetune": {
            "stage": "finetune",
            "config": "configs/finetune/segmentation.yaml",
            "set": {"manifest": "select.output/manifest.parquet", "classes": ["ball"], **optim}
            | {
                "crops.crop_vox": crops["crop_vox"],
                "init.export": "pretrain.output",
                "encoder": None,
            },
        },
        "evaluate": {
            "stage": "evaluate",
            "set": {
                "model": "finetune.output",
                "manifest": "select.output/manifest.parquet",
                "index": "index.output",
            },
        },
        "predict": {
            "stage": "predict",
            "set": {"model": "finetune.output", "source": str(archive.root)},
        },
    }
    tracker = {"name": "mlflow", "uri": f"sqlite:///{out}/mlflow.db"}
    tree = {"name": "road", "output": str(out / "road"), "steps": steps, "tracker": tracker}
    path = out.parent / "private" / "study.yaml"
    path.write_text(yaml.safe_dump(tree | {"all": {"device": "cpu"}}, sort_keys=False))
    return path


@pytest.fixture(scope="module")
def archive(tmp_path_factory, planted, dicom):
    with quietly():
        return Archive(tmp_path_factory.mktemp("archive"), planted, dicom).write()


@pytest.fixture(scope="module")
def walked(tmp_path_factory, archive):
    """The folder of results of the whole road, with what was printed on it."""
    out = tmp_path_factory.mktemp("road") / "out"
    out.mkdir()
    command = [sys.executable, "-m", "pipelines", "study", str(study(archive, out))]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return SimpleNamespace(root=out.parent, road=out / "road", printed=done.stdout + done.stderr)


def test_nothing_planted_is_in_any_byte_outside_private(walked, archive, planted):
    names = {path.name for path in walked.root.rglob("*")}
    assert {"mlflow.db", "copies.parquet", "weights.safetensors", "predictions.parquet"} <= names
    assert planted.leaks(walked.root) == {}
    assert planted.search(walked.printed) == []
    # or the search could not fail
    assert planted.leaks(walked.road / "index" / "private", but=())["files.parquet"]
    assert len(planted.leaks(archive.root)) > 60


def test_of_patients_age_days_and_what_scanners_say_is_kept(walked, archive, planted):
    cases = list(read_manifest(walked.road / "index" / "manifest.parquet"))
    series = [case for case in cases if case.series_id]
    assert {case.age_years for case in series} == {90.0}
    first, second = (date_of(planted.DATES[n]) for n in (2, 12))
    days = Counter(case.attributes["study_day"] for case in series)
    assert days == {"0": SUBJECTS, str((second - first).days): 1}
    assert Counter(case.attributes.get("grade") for case in series) == {"II": SUBJECTS, None: 1}
    assert all(re.fullmatch("[0-9A-F]{16} [0-9A-F]{16}", case.scanner) for case in series)
    assert {case.modality for case in series} == {"CT"}


def test_the_copy_makes_the_same_volumes_but_of_what_seems_written_on(walked, tmp_path):
    found = pq.read_table(walked.road / "index" / "copies.parquet").to_pylist()
    left = {row["case_id"]: row["reason"] for row in found if row["status"] == "left out"}
    assert Counter(reason.split(":")[0] for reason in left.values()) == {
        "it is no DICOM series": 4,
        "text in its pixels is suspected": 1,
    }
    private = walked.road / "index" / "private"
    config = tmp_path / "copy.yaml"
    sources = [{"root": str(walked.root / "copies")}]
    tree = {"sources": sources, "output": str(tmp_path / "out"), "key": str(private / "key")}
    config.write_text(yaml.safe_dump(tree))
    assert main(["index", str(config)]) == 0
    before = read_manifest(walked.road / "index" / "manifest.parquet")
    after = read_manifest(tmp_path / "out" / "manifest.parquet")
    assert sorted(grid(case) for case in before if case.case_id not in left) == sorted(
        grid(case) for case in after
    )


def grid(case):
    return case.digest, tuple(case.affine), tuple(case.shape), case.attributes["study_day"]


def wrong_table(archive, tmp_path, content):
    path = tmp_path / f"{archive.word}.csv"
    path.write_bytes(content)
    return str(path)


MISTAKES = {
    "no such root": lambda a, t: {"root": f"{t}/{a.word}"},
    "labels are not there": lambda a, t: {"labels": {"folder": f"{t}/{a.word}"}},
    "no such table": lambda a, t: {"labels": {"csv": f"{t}/{a.word}.csv"}},
    "a table without header": lambda a, t: {
        "labels": {"csv": wrong_table(a, t, f"{a.word},{a.word} 2\n".encode() * 2)}
    },
    "a table in another encoding": lambda a, t: {
        "subject": {"csv": wrong_table(a, t, f"image,subject\n{a.word} \xfc,x\n".encode("latin-1"))}
    },
    "a table that names an image twice": lambda a, t: {
        "subject": {"csv": wrong_table(a, t, f"image,subject\n{a.word},x\n{a.word},y\n".encode())}
    },
    "a table without a subject": lambda a, t: {
        "subject": {"csv": wrong_table(a, t, f"image,subject\n{a.word},{a.word}\n".encode())}
    },
    "a table that lacks a column": lambda a, t: {
        "attributes": {"csv": str(a.attribute_table), "image": "{series_uid}", "columns": ["x"]}
    },
    "no list": lambda a, t: {"labels": {"datalist": wrong_table(a, t, f"{a.word}: 1".encode())}},
    "a list of elsewhere": lambda a, t: {
        "labels": {
            "datalist": wrong_table(
                a, t, json.dumps({"training": [{"image": a.word, "label": a.word}]}).encode()
            )
        }
    },
    "no subject in names": lambda a, t: {"subject": {"regex": "(nothing like it)"}},
    "labels and images left over": lambda a, t: {"labels": {"csv": str(a.label_table)}},
}


@pytest.mark.parametrize("name", MISTAKES)
def test_an_error_of_index_names_keys_and_ids_alone(name, archive, planted, tmp_path, capfd):
    source = {"root": str(archive.root)} | MISTAKES[name](archive, tmp_path)
    config = tmp_path / "index.yaml"
    config.write_text(yaml.safe_dump({"sources": [source], "output": str(tmp_path / "out")}))
    assert main(["index", str(config)]) == 2
    printed = capfd.readouterr()
    (line,) = printed.err.splitlines()
    assert "sources.0" in line or "private/files.parquet" in line
    assert planted.search((printed.out + printed.err).encode()) == []
    assert planted.leaks(tmp_path / "out") == {}


@pytest.mark.parametrize("stage", ["cache", "evaluate", "predict", "index"])
def test_an_error_of_any_stage_names_no_file_of_the_archive(
    stage, walked, archive, planted, tmp_path, capfd
):
    """Files that are gone or changed since they were indexed, and folders that hold no image."""
    road = walked.road
    broken = next(archive.root.glob("broken*"))
    models = {"model": road / "finetune", "manifest": road / "select/manifest.parquet"}
    keys = {
        "cache": {"index": road / "index", "preprocessing": "{}"},
        "evaluate": {**models, "index": road / "index"},
        "predict": {"model": road / "finetune", "source": broken},
        "index": {"sources": f"[{{root: '{archive.root}'}}]", "deidentified": archive.root / "x"},
    }[stage] | {"output": tmp_path / "out"}
    flags = [word for key, value in keys.items() for word in ("--set", f"{key}={value}")]
    away = archive.root.parent.with_name("away")
    if stage in ("cache", "evaluate"):
        archive.root.parent.rename(away)
        archive.labels.rename(away.with_name("no labels"))
    try:
        assert main([stage, *flags]) == 2
    finally:
        if away.exists():
            away.rename(archive.root.parent)
            away.with_name("no labels").rename(archive.labels)
    printed = capfd.readouterr()
    assert printed.err.splitlines()[-1].startswith("medssl: ")
    assert planted.search((printed.out + printed.err).encode()) == []
    assert planted.leaks(tmp_path) == {}
