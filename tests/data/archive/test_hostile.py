"""Files that were damaged, or made to do harm: each gets a verdict, in bounded time and memory."""

from collections import Counter

import pytest

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


def read_mutations(folder, bases, hostile, seeds):
    """Write and read mutations of DICOM files and of volumes; names are base, family, seed."""
    names, paths = [], []
    for base in bases:
        is_volume = base.suffix != ".dcm"
        module = hostile.mutations_of_volumes if is_volume else hostile.mutations
        for family in module.FAMILIES:
            for seed in seeds:
                content = base.read_bytes()
                known = (family, base.name, content) if is_volume else (family, content)
                path = folder / f"{family}-{seed}-{base.name}"
                path.write_bytes(module.mutate(*known, seed))
                paths.append(path)
                names.append((base.name, family, seed))
    return names, hostile.watch.outcomes(paths)


def bases_of(folder, hostile, dicom):
    return [
        *hostile.bases.dicom_files(folder / "dicom", dicom),
        *hostile.bases.volume_files(folder / "volumes"),
    ]


def mutated(folder, hostile, bases, seeds):
    """Read mutations in a folder that holds what they may lead to."""
    folder.mkdir()
    for base in bases:
        for raw in base.parent.glob("*.raw"):
            (folder / raw.name).write_bytes(raw.read_bytes())
    (folder / "link.raw").symlink_to("/etc/passwd")
    (folder / "voxels.raw").symlink_to("/dev/zero")
    return read_mutations(folder, bases, hostile, seeds)


def test_mutated_files_get_a_verdict_within_bounds(tmp_path, hostile, dicom):
    names, found = mutated(tmp_path / "m", hostile, bases_of(tmp_path, hostile, dicom), [7])
    assert len(names) > 250
    check(names, found)
    codes = Counter(outcome["code"] for outcome in found)
    assert {"image", "truncated", "undecodable", "unreadable", "not_an_image"} <= codes.keys()


@pytest.mark.long
def test_five_thousand_mutated_files_get_a_verdict_within_bounds(tmp_path, hostile, dicom):
    bases = bases_of(tmp_path, hostile, dicom)
    names, found = mutated(tmp_path / "m", hostile, bases, range(100, 118))
    assert len(names) > 5000
    check(names, found)


@pytest.mark.long
@pytest.mark.mirror
def test_mutated_real_files_get_a_verdict_within_bounds(tmp_path, hostile, mirror):
    bases = hostile.bases.real_files(tmp_path / "real", mirror)
    check(*mutated(tmp_path / "m", hostile, bases, range(6)))


def harmless(folder, hostile, bases, seeds):
    """Read files as they are, and with changes that touch neither pixels nor geometry."""
    found = {}
    for base in bases:
        changed = {
            (base.name, family, seed): hostile.harmless.change(
                family, base.read_bytes(), seed, hostile.mutations
            )
            for family in hostile.harmless.FAMILIES
            for seed in seeds
        }
        for number, (name, content) in enumerate(changed.items()):
            path = folder / f"{base.stem}-{number}.dcm"
            path.write_bytes(content)
            found[name] = path
    read = hostile.watch.outcomes([*bases, *found.values()])
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


def test_a_change_of_neither_pixels_nor_geometry_is_accepted_with_equal_voxels(
    tmp_path, hostile, dicom
):
    bases = explicit(hostile.bases.dicom_files(tmp_path / "bases", dicom))
    harmless(tmp_path, hostile, bases, [1])


@pytest.mark.long
@pytest.mark.mirror
def test_harmless_changes_of_real_files_are_accepted_with_equal_voxels(
    tmp_path, hostile, dicom, mirror
):
    made = hostile.bases.dicom_files(tmp_path / "made", dicom)
    real = hostile.bases.real_files(tmp_path / "real", mirror)
    harmless(tmp_path, hostile, explicit([*made, *real]), range(10))


def test_a_mutation_is_the_same_bytes_again(hostile, tmp_path, dicom):
    content = hostile.bases.dicom_files(tmp_path, dicom)[0].read_bytes()
    for family in hostile.mutations.FAMILIES:
        one, two = (
            [hostile.mutations.mutate(family, content, seed) for seed in range(9)] for _ in "12"
        )
        assert one == two
        assert len({content, *one}) > 2
