"""Files that were damaged, or made to do harm: each gets a verdict, in bounded time and memory."""

from collections import Counter

import pytest
from hostile import harmless, mutations, mutations_of_volumes
from hostile.bases import dicom_files, real_files, real_kinds, volume_files
from hostile.watch import outcomes

SECONDS, BYTES = 5, 1 << 30


def check(names, found):
    """Each file has a verdict within the bounds; what has none is named, to be made again."""
    wrong = {
        name: outcome.get("crash", outcome)
        for name, outcome in zip(names, found, strict=True)
        if "crash" in outcome or outcome["seconds"] > SECONDS or outcome["bytes"] > BYTES
    }
    assert not wrong, "\n".join(f"{name}: {said}" for name, said in list(wrong.items())[:10])
    assert {outcome["status"] for outcome in found} == {"accepted", "refused"}


def read_mutations(folder, bases, seeds):
    """Write and read mutations of DICOM files and of volumes; names are base, family, seed."""
    names, paths = [], []
    for base in bases:
        is_volume = base.suffix != ".dcm"
        module = mutations_of_volumes if is_volume else mutations
        for family in module.FAMILIES:
            for seed in seeds:
                content = base.read_bytes()
                known = (family, base.name, content) if is_volume else (family, content)
                path = folder / f"{family}-{seed}-{base.name}"
                path.write_bytes(module.mutate(*known, seed))
                paths.append(path)
                names.append((base.name, family, seed))
    return names, outcomes(paths)


def bases_of(folder, dicom):
    return [
        *dicom_files(folder / "dicom", dicom),
        *volume_files(folder / "volumes"),
    ]


def mutated(folder, bases, seeds):
    """Read mutations in a folder that holds what they may lead to."""
    folder.mkdir()
    for base in bases:
        for raw in base.parent.glob("*.raw"):
            (folder / raw.name).write_bytes(raw.read_bytes())
    (folder / "link.raw").symlink_to("/etc/passwd")
    (folder / "voxels.raw").symlink_to("/dev/zero")
    return read_mutations(folder, bases, seeds)


def test_mutated_files_get_a_verdict_within_bounds(tmp_path, dicom):
    names, found = mutated(tmp_path / "m", bases_of(tmp_path, dicom), [7])
    assert len(names) > 250
    check(names, found)
    codes = Counter(outcome["code"] for outcome in found)
    assert {"image", "truncated", "undecodable", "unreadable", "not_an_image"} <= codes.keys()


@pytest.mark.long
def test_five_thousand_mutated_files_get_a_verdict_within_bounds(tmp_path, dicom):
    bases = bases_of(tmp_path, dicom)
    names, found = mutated(tmp_path / "m", bases, range(100, 118))
    assert len(names) > 5000
    check(names, found)


@pytest.mark.long
@pytest.mark.mirror
def test_mutated_real_files_get_a_verdict_within_bounds(tmp_path, mirror):
    syntaxes = real_files(tmp_path / "syntaxes", mirror)
    kinds = real_kinds(tmp_path / "kinds", mirror)
    check(*mutated(tmp_path / "m", [*syntaxes, *kinds], range(3)))


def read_harmless(folder, bases, seeds):
    """Read files as they are, and with changes that touch neither pixels nor geometry."""
    found = {}
    for base in bases:
        changed = {
            (base.name, family, seed): harmless.change(family, base.read_bytes(), seed)
            for family in harmless.FAMILIES
            for seed in seeds
        }
        for number, (name, content) in enumerate(changed.items()):
            path = folder / f"{base.stem}-{number}.dcm"
            path.write_bytes(content)
            found[name] = path
    read = outcomes([*bases, *found.values()])
    intact = {base.name: outcome for base, outcome in zip(bases, read, strict=False)}
    assert {outcome.get("status") for outcome in intact.values()} == {"accepted"}
    wrong = {
        name: outcome
        for name, outcome in zip(found, read[len(bases) :], strict=True)
        if outcome.get("digests") != intact[name[0]]["digests"]
    }
    assert not wrong, "\n".join(f"{name}: {said}" for name, said in list(wrong.items())[:10])


def explicit(bases):
    """Those whose elements `harmless.py` knows."""
    return [base for base in bases if base.stem not in {"implicit", "deflated", "bigendian"}]


def test_a_change_of_neither_pixels_nor_geometry_is_accepted_with_equal_voxels(tmp_path, dicom):
    bases = explicit(dicom_files(tmp_path / "bases", dicom))
    read_harmless(tmp_path, bases, [1])


@pytest.mark.long
@pytest.mark.mirror
def test_harmless_changes_of_real_files_are_accepted_with_equal_voxels(tmp_path, dicom, mirror):
    made = dicom_files(tmp_path / "made", dicom)
    real = real_files(tmp_path / "real", mirror)
    read_harmless(tmp_path, explicit([*made, *real]), range(10))


def test_a_mutation_is_the_same_bytes_again(tmp_path, dicom):
    content = dicom_files(tmp_path, dicom)[0].read_bytes()
    for family in mutations.FAMILIES:
        one, two = ([mutations.mutate(family, content, seed) for seed in range(9)] for _ in "12")
        assert one == two
        assert len({content, *one}) > 2
