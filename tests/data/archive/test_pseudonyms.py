import hashlib
import hmac
import re
import uuid

import pytest

from medssl.data.archive.pseudonyms import Pseudonyms, make_key, read_key
from medssl.errors import DataError


def test_an_id_is_the_hmac_of_kind_and_name():
    expected = hmac.new(b"k" * 32, b"subject\0Zo\xc3\xab", hashlib.sha256).hexdigest()
    assert Pseudonyms(b"k" * 32)("subject", "Zoë") == expected[:16]


def test_a_uid_is_the_decimal_of_a_uuid_that_the_key_decides():
    made = Pseudonyms(b"k" * 32).uid("1.2.3")
    assert re.fullmatch(r"2\.25\.[1-9]\d*", made)
    assert len(made) <= 64
    assert uuid.UUID(int=int(made.removeprefix("2.25."))).version == 4
    assert made == Pseudonyms(b"k" * 32).uid("1.2.3")
    assert made != Pseudonyms(b"K" * 32).uid("1.2.3")
    assert made != Pseudonyms(b"k" * 32).uid("1.2.4")


def test_the_key_is_not_shown_where_the_object_is():
    assert "secret" not in repr(Pseudonyms(b"secret"))


def test_a_new_key_is_long_is_ours_alone_and_stays(tmp_path):
    key = make_key(tmp_path / "key")
    assert len(key) == 32
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert make_key(tmp_path / "key") == key
    assert make_key(tmp_path / "other") != key


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o602, 0o620, 0o610])
def test_a_key_that_anyone_else_can_touch_is_refused(tmp_path, mode):
    path = tmp_path / "key"
    path.write_bytes(b"0" * 32)
    path.chmod(mode)
    with pytest.raises(DataError, match=rf"others than its owner .*\(mode {mode:o}\)"):
        read_key(path)


def test_a_short_key_is_refused(tmp_path):
    path = tmp_path / "key"
    path.touch(0o600)
    path.write_bytes(b"0" * 15)
    with pytest.raises(DataError, match="at least 16 bytes, this one has 15"):
        read_key(path)
