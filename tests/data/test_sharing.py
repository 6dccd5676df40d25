import pickle

import pyarrow as pa

from medssl.data.manifest import Case, Manifest
from medssl.data.sharing import packed, unpacked


def manifest(num_cases):
    return Manifest.of(
        Case(
            case_id=f"{number:016x}",
            digest=f"{number:032x}",
            subject_id=f"{number % 7}",
            image_uri=f"{number}.b2nd",
            shape=[4, 5, 6],
            spacing_mm=[1.0, 2.0, 0.5],
            slices=[number] if number % 2 else None,
            attributes={"study_day": str(number)},
            split="train",
        )
        for number in range(num_cases)
    )


def test_an_object_comes_out_as_it_went_in(tmp_path):
    cases = manifest(5)
    found, name = unpacked(packed((cases, "name"), tmp_path), tmp_path)
    assert name == "name"
    assert list(found) == list(cases)
    assert found.table.schema.equals(cases.table.schema, check_metadata=True)


def test_rows_travel_once_and_not_in_the_bytes(tmp_path):
    few, many = manifest(2), manifest(2000)
    assert len(packed(many, tmp_path)) == len(packed(few, tmp_path)) < 1000
    assert len(pickle.dumps(many)) > 100_000
    packed(many, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_table_takes_no_memory_of_arrows_where_it_comes_out(tmp_path):
    content = packed(manifest(2000), tmp_path)
    before = pa.total_allocated_bytes()
    found = unpacked(content, tmp_path)
    assert found.table.nbytes > 100_000
    assert pa.total_allocated_bytes() - before < 10_000
    for path in tmp_path.iterdir():
        path.unlink()
    assert found[1999].case_id == f"{1999:016x}"
