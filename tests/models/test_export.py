import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

from medssl.errors import DataError
from medssl.models.export import (
    check_unseen,
    coverage_table,
    load_part,
    read_card,
    seen_cases,
    write_export,
)


def network(seed, width=4):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, width), nn.Linear(width, 2))


def cases(*pairs, **more):
    subjects, digests = zip(*pairs, strict=True) if pairs else ((), ())
    columns = {"subject_id": subjects, "digest": digests} | more
    return pa.table({key: pa.array(value, pa.string()) for key, value in columns.items()})


SEEN = cases(("s1", "d1"), ("s1", "d2"), ("s2", "d3"))


def write(folder, parts, card=None, **more):
    write_export(folder, parts, card or {}, **{"subjects": SEEN} | more)


def test_a_part_is_read_back_to_the_bit(tmp_path):
    parts = {"encoder": network(0), "encoder2": network(1)}
    write(tmp_path / "export", parts, {"default": "encoder"})
    restored = network(2)
    coverage = load_part(tmp_path / "export", "encoder", restored)
    assert all(map(torch.equal, restored.parameters(), parts["encoder"].parameters()))
    assert coverage == (("0.bias", "0.weight", "1.bias", "1.weight"), (), (), (), 1.0)


def test_the_folder_holds_weights_card_and_subjects_and_nothing_else(tmp_path):
    for seed in (0, 1):
        write(tmp_path / "export", {"encoder": network(seed)}, {"default": "encoder"})
    held = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*"))
    assert held == [
        "export", "export/card.json", "export/subjects.parquet", "export/weights.safetensors"
    ]  # fmt: skip
    card = json.loads((tmp_path / "export" / "card.json").read_text())
    assert card == {"format": 1, "parts": ["encoder"], "default": "encoder"}
    assert read_card(tmp_path / "export") == card
    restored = network(2)
    load_part(tmp_path / "export", "encoder", restored)
    assert torch.equal(restored[0].weight, network(1)[0].weight)


def test_the_same_export_is_the_same_bytes(tmp_path):
    history = pa.table({"step": [0, 1], "name": ["a", "a"], "value": [0.5, 0.25]})
    for name in ("a", "b"):
        write(tmp_path / name, {"encoder": network(0)}, history=history)
    for path in sorted((tmp_path / "a").iterdir()):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    assert pq.read_table(tmp_path / "a" / "history.parquet").equals(history)


def test_half_an_export_of_before_is_cleared_away(tmp_path):
    leftover = tmp_path / ".export.part"
    leftover.mkdir()
    (leftover / "stale.txt").write_text("half")
    write(tmp_path / "export", {"encoder": network(0)})
    assert not leftover.exists()
    assert not (tmp_path / "export" / "stale.txt").exists()


def test_a_folder_that_is_no_export_is_not_deleted(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter_1.txt").write_text("precious")
    with pytest.raises(DataError, match=r"thesis is there and is no export .* another output"):
        write(tmp_path / "thesis", {"encoder": network(0)})
    assert (tmp_path / "thesis" / "chapter_1.txt").read_text() == "precious"


def test_what_did_not_fit_is_reported(tmp_path):
    write(tmp_path / "export", {"encoder": network(0).append(nn.Linear(2, 1))})
    other = network(1, width=5).append(nn.Identity()).append(nn.Linear(1, 1))
    coverage = load_part(tmp_path / "export", "encoder", other, min_coverage=0.0)
    assert coverage.loaded == ("1.bias",)
    assert coverage.reshaped == ("0.bias", "0.weight", "1.weight")
    assert coverage.missing == ("3.bias", "3.weight")
    assert coverage.unused == ("2.bias", "2.weight")
    assert coverage.filled == pytest.approx(2 / (5 + 15 + 10 + 2 + 1 + 1))
    assert torch.equal(other[1].bias, network(0)[1].bias)
    lines = [line.split() for line in coverage_table(coverage).splitlines()]
    assert lines == [
        ["module", "loaded", "reshaped", "missing", "unused"],
        ["1", "1", "1", "0", "0"],
        ["0", "0", "2", "0", "0"],
        ["3", "0", "0", "2", "0"],
        ["2", "0", "0", "0", "2"],
    ]


def test_too_little_coverage_is_refused_with_the_table_and_changes_nothing(tmp_path):
    write(tmp_path / "export", {"encoder": network(0)})
    wider = network(1, width=5)
    before = [parameter.clone() for parameter in wider.parameters()]
    with pytest.raises(
        DataError, match=r"fills 6\.2% of Sequential, expected at least 100\.0%(?s:.*)reshaped"
    ):
        load_part(tmp_path / "export", "encoder", wider)
    assert all(map(torch.equal, wider.parameters(), before))
    load_part(tmp_path / "export", "encoder", wider, min_coverage=2 / 32)
    assert torch.equal(wider[1].bias, network(0)[1].bias)


def test_a_part_that_is_not_there_or_does_not_fit_at_all_is_refused(tmp_path):
    write(tmp_path / "export", {"encoder": network(0)})
    with pytest.raises(DataError, match=r"no part 'decoder': expected one of \['encoder'\]"):
        load_part(tmp_path / "export", "decoder", network(0))
    with pytest.raises(DataError, match=r"'encoder' in .* fills 0\.0% of Conv2d"):
        load_part(tmp_path / "export", "encoder", nn.Conv2d(1, 1, 1), min_coverage=0.0)


def test_what_is_no_export_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nothing is no export: expected a folder with card"):
        read_card(tmp_path / "nothing")
    write(tmp_path / "export", {"encoder": network(0)})
    (tmp_path / "export" / "card.json").write_text('{"format": 9}')
    with pytest.raises(DataError, match=r"expected format 1, got 9"):
        load_part(tmp_path / "export", "encoder", network(0))


def test_an_evaluation_subject_or_a_copy_of_its_image_must_be_unseen(tmp_path):
    write(tmp_path / "export", {"encoder": network(0)})
    check_unseen(tmp_path / "export", cases(("s3", "d4"), ("s4", "d5")))
    check_unseen(tmp_path / "export", cases())
    seen_subject = cases(("s3", "d4"), ("s2", "d5"), ("s1", "d6"), ("s1", "d7"))
    with pytest.raises(DataError, match=r"3 of 4 cases .* a subject_id that .* as s1, s2; "):
        check_unseen(tmp_path / "export", seen_subject)
    with pytest.raises(DataError, match=r"1 of 2 cases .* a digest that .* such as d3; "):
        check_unseen(tmp_path / "export", cases(("s8", "d3"), ("s9", "d9")))


def test_what_an_earlier_export_saw_is_seen_once(tmp_path):
    write(tmp_path / "export", {"encoder": network(0)})
    now = cases(("s2", "d3"), ("s0", "d9"), ("s0", "d9"), case_id=["a", "b", "c"])
    assert seen_cases(now).to_pylist() == [
        {"subject_id": "s0", "digest": "d9", "dhash": None},
        {"subject_id": "s2", "digest": "d3", "dhash": None},
    ]
    rows = seen_cases(now, [tmp_path / "export"]).to_pylist()
    assert [(row["subject_id"], row["digest"]) for row in rows] == [
        ("s0", "d9"), ("s1", "d1"), ("s1", "d2"), ("s2", "d3")
    ]  # fmt: skip
