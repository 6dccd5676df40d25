import pytest

from medssl.data.mirror import resolve
from medssl.errors import ConfigError


def test_the_prefix_is_the_mirrors_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDSSL_MIRROR", str(tmp_path))
    assert resolve("mirror:a/b") == tmp_path / "a" / "b"
    assert str(resolve("a/b")) == "a/b"


def test_a_mirror_that_is_not_there_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDSSL_MIRROR", str(tmp_path / "gone"))
    with pytest.raises(ConfigError, match=r"mirror:a: .* MEDSSL_MIRROR names '.*gone', which is"):
        resolve("mirror:a")
    monkeypatch.delenv("MEDSSL_MIRROR")
    with pytest.raises(ConfigError, match="mirror:a needs the environment variable MEDSSL_MIRROR"):
        resolve("mirror:a")
