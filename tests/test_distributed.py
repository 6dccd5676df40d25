import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from medssl.distributed import gather, rank


def test_one_process_gathers_what_it_has():
    rows = torch.ones(2, 3, requires_grad=True)
    assert gather(rows) is rows
    assert gather(rows, dim=1) is rows
    assert rank() == 0


@pytest.mark.long
def test_two_ranks_take_the_step_of_one_process():
    done = subprocess.run(
        [sys.executable, "tests/two_ranks.py"],
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "rank 0 of 2 agrees" in done.stdout
    assert "the group was left: True" in done.stdout
