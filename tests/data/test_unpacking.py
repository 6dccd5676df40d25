import io
import tarfile
import zipfile

import pytest

from medssl.data import unpacking
from medssl.data.unpacking import copy_files, listed, sha256, unpack
from medssl.errors import DataError

FILES = {"set/a.txt": b"one", "set/deep/b.txt": b"two"}


def zipped(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def tarred(path, files, links=()):
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for name, target in links:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
    return path


def content(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize(("kind", "make"), [("tar", tarred), ("zip", zipped)])
def test_an_archive_gives_its_files_and_nothing_else(tmp_path, kind, make):
    paths = unpack(make(tmp_path / "archive", FILES), tmp_path / "data", kind=kind)
    assert paths == sorted(FILES)
    assert content(tmp_path / "data") == FILES


@pytest.mark.parametrize(("kind", "make"), [("tar", tarred), ("zip", zipped)])
def test_a_path_that_leads_out_is_refused_whole(tmp_path, kind, make):
    archive = make(tmp_path / "archive", {**FILES, "../out.txt": b"bad"})
    with pytest.raises(DataError, match=r"archive: expected a .* archive of files that stay"):
        unpack(archive, tmp_path / "data", kind=kind)
    assert content(tmp_path / "data") == {}
    assert not (tmp_path / "out.txt").exists()


def test_a_link_that_leads_out_is_refused(tmp_path):
    archive = tarred(tmp_path / "archive", FILES, links=[("set/link", "../../../etc")])
    with pytest.raises(DataError, match="archive of files that stay inside it"):
        unpack(archive, tmp_path / "data", kind="tar")


def test_a_link_in_a_zip_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "archive", "w") as archive:
        info = zipfile.ZipInfo("link")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(DataError, match="'link' leads out of the folder"):
        unpack(tmp_path / "archive", tmp_path / "data", kind="zip")


@pytest.mark.parametrize(("kind", "make"), [("tar", tarred), ("zip", zipped)])
def test_a_broken_archive_is_named(tmp_path, kind, make):
    archive = make(tmp_path / "archive", {"a": bytes(5000)})
    archive.write_bytes(archive.read_bytes()[:300])
    with pytest.raises(DataError, match=f"archive: expected a {kind} archive"):
        unpack(archive, tmp_path / "data", kind=kind)


def test_unpacking_again_changes_nothing(tmp_path):
    archive = zipped(tmp_path / "archive", FILES)
    unpack(archive, tmp_path / "data", kind="zip")
    (tmp_path / "data/.archive.unpacked").mkdir()  # as a killed run leaves it
    unpack(archive, tmp_path / "data", kind="zip")
    assert content(tmp_path / "data") == FILES


@pytest.fixture
def source(tmp_path):
    for name, data in FILES.items():
        (tmp_path / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "source" / name).write_bytes(data)
    return tmp_path / "source"


def test_copies_are_equal_and_come_with_their_digests(source, tmp_path):
    digests = dict(copy_files(source, tmp_path / "copy", listed(source)))
    assert content(tmp_path / "copy") == FILES
    assert digests == {path: sha256(source / path) for path in FILES}


def test_what_is_there_and_equal_is_not_copied_again(source, tmp_path):
    copy = tmp_path / "copy"
    list(copy_files(source, copy, listed(source)))
    before = (copy / "set/a.txt").stat().st_mtime_ns
    (copy / "set/deep/b.txt").write_bytes(b"twO")  # the same size, another content
    list(copy_files(source, copy, listed(source)))
    assert (copy / "set/a.txt").stat().st_mtime_ns == before
    assert content(copy) == FILES


def test_a_copy_that_differs_is_refused_and_removed(source, tmp_path, monkeypatch):
    def spoils(original, copy):
        copy.write_bytes(b"spoiled")

    monkeypatch.setattr(unpacking.shutil, "copyfile", spoils)
    with pytest.raises(DataError, match=r"a\.txt: the copy differs from .*source/set/a\.txt"):
        list(copy_files(source, tmp_path / "copy", listed(source)))
    assert content(tmp_path / "copy") == {}


def test_links_inside_are_files_and_links_out_are_refused(source, tmp_path):
    (source / "inside").symlink_to(source / "set/a.txt")
    assert listed(source) == ["inside", *sorted(FILES)]
    (tmp_path / "secret").write_text("x")
    (source / "out").symlink_to(tmp_path / "secret")
    with pytest.raises(DataError, match=r"source/out: expected a file, or a link to one, inside"):
        listed(source)
