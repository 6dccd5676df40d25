import signal

import pytest

from medssl.data import deaths
from medssl.data.deaths import Dead, out_of_memory_kills, report
from medssl.data.manifest import Case, Manifest


@pytest.fixture
def manifest():
    return Manifest.of(
        Case(
            case_id=name,
            digest=name,
            subject_id=name,
            image_uri=name,
            shape=[1, 1, 1],
            spacing_mm=[1.0, 1.0, 1.0],
            split="train",
        )
        for name in ("a", "b")
    )


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """What the kernel tells, as files."""
    counters, memory = tmp_path / "vmstat", tmp_path / "meminfo"
    counters.write_text("pgfault 123\noom_kill 7\n")
    memory.write_text("MemTotal:       16777216 kB\nMemAvailable:    2097152 kB\nHugePages: 0\n")
    monkeypatch.setattr(deaths, "_COUNTERS", counters)
    monkeypatch.setattr(deaths, "_MEMORY", memory)
    return tmp_path


def note(folder, *numbers):
    (folder / "3.note").write_bytes(b"".join(number.to_bytes(8, "little") for number in numbers))


def said(folder, manifest, exitcode, kills_before=7):
    return str(report(Dead(3, 99, exitcode), folder, manifest, kills_before=kills_before))


def test_all_that_is_known_is_said(machine, manifest):
    note(machine, 5, 1, 3 * 2**29, 1)
    assert said(machine, manifest, -signal.SIGKILL, kills_before=6) == (
        "loader worker 3 (process 99) was killed by SIGKILL while it read case b (row 1, epoch 5), "
        "with 1.50 GiB of memory at most; 2.0 of the machine's 16.0 GiB are free now; the system "
        "had run out of memory: set num_workers, optim.batch_size or crop_vox lower"
    )


def test_a_worker_that_had_done_its_work_is_not_said_to_read(machine, manifest):
    note(machine, 0, 0, 2**30, 0)
    assert "after it had read case a (row 0, epoch 0), with 1.00 GiB" in said(machine, manifest, 1)


def test_a_worker_that_had_no_work_yet_holds_no_case(machine, manifest):
    assert "status 1 before it read a case; 2.0 of" in said(machine, manifest, 1)
    assert "it could not start, and said why above" in said(machine, manifest, 1)
    note(machine, 0, 0, 0, 0)
    assert "status 1 before it read a case; 2.0 of" in said(machine, manifest, 1)


@pytest.mark.parametrize(
    ("exitcode", "advice"),
    [
        (-signal.SIGKILL, "the system counts no kill for memory since loading began"),
        (-signal.SIGBUS, "shared memory may be full: set num_workers=0"),
        (-signal.SIGSEGV, "delete it and run `medssl cache` again"),
        (-signal.SIGTERM, "run again, a run goes on where it last saved"),
        (1, "delete it and run `medssl cache` again"),
    ],
)
def test_what_to_do_depends_on_the_end(machine, manifest, exitcode, advice):
    note(machine, 5, 1, 2**30, 1)
    assert advice in said(machine, manifest, exitcode)


def test_where_a_library_crashed_is_a_note(machine, manifest):
    (machine / "3.crash").write_text("Fatal Python error: Segmentation fault\n")
    error = report(Dead(3, 99, -signal.SIGSEGV), machine, manifest, kills_before=0)
    assert error.__notes__ == ["Where it was:\nFatal Python error: Segmentation fault"]


def test_a_system_that_counts_nothing_has_counted_none(machine, manifest, monkeypatch):
    monkeypatch.setattr(deaths, "_COUNTERS", machine / "none")
    monkeypatch.setattr(deaths, "_MEMORY", machine / "none")
    assert out_of_memory_kills() == 0
    assert "before it read a case; it could not start" in said(machine, manifest, 1)
