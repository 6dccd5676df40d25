import torch

from medssl.data.crops import LabeledCrops
from medssl.data.workers import Failure, join, last_note, last_place
from medssl.errors import ConfigError


def crops(value):
    image = torch.full((1, 1, 2, 2), float(value))
    return LabeledCrops(
        image, torch.zeros(1, 2, 2, dtype=torch.int64), torch.tensor([value]), torch.tensor([False])
    )


def test_cases_are_stacked_in_their_order():
    assert join([crops(3), crops(1)]).seed.tolist() == [3, 1]


def test_the_first_failure_stands_for_its_batch():
    first, second = (Failure(ConfigError, text, "line 7") for text in ("one", "two"))
    assert join([crops(0), first, second]) is first


def test_a_failure_is_raised_as_what_it_was():
    error = Failure(ConfigError, "case a: no", "Traceback: line 7").error()
    assert type(error) is ConfigError
    assert str(error) == "case a: no"
    assert error.__notes__ == ["Where it was read:\nTraceback: line 7"]


def test_a_worker_that_wrote_nothing_has_left_nothing(tmp_path):
    assert last_note(tmp_path, 0) is None
    assert last_place(tmp_path, 0) == ""
