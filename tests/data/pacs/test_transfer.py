"""Each missing instance is asked for, and no other."""

from medssl.data.pacs import Outcome, Series
from medssl.data.pacs.received import Received
from medssl.data.pacs.transfer import NOT_ASKED, bring, failures


class Sending:
    """A PACS that sends what it is asked for, but for some series."""

    address = "SENDING"

    def __init__(self, dead=()):
        self.dead, self.asked = dead, []

    def search(self, level, keys):
        raise NotImplementedError

    def retrieve(self, series, missing, received):
        self.asked.append((series.series_uid, list(missing)))
        for uid in missing:
            if series.series_uid not in self.dead:
                received.write(uid, b"")
            yield Outcome(uid, "dead" if series.series_uid in self.dead else None)


def some(number):
    return [Series("1", f"1.{n}", (f"1.{n}.1", f"1.{n}.2")) for n in range(number)]


def test_what_is_here_is_not_asked_for(tmp_path):
    received = Received(tmp_path)
    for uid in ("1.0.1", "1.0.2", "1.1.2"):
        received.write(uid, b"")
    pacs = Sending()
    outcomes = list(bring(pacs, some(3), received))
    assert pacs.asked == [("1.1", ["1.1.1"]), ("1.2", ["1.2.1", "1.2.2"])]
    assert [outcome.uid for outcome in outcomes] == ["1.1.1", "1.2.1", "1.2.2"]
    assert not failures(outcomes)
    assert not list(bring(pacs, some(3), received))


def test_three_series_in_a_row_of_which_nothing_comes_end_the_asking(tmp_path):
    pacs = Sending(dead=("1.0", "1.1", "1.3", "1.4", "1.5"))
    outcomes = list(bring(pacs, some(8), Received(tmp_path)))
    assert [series for series, _ in pacs.asked] == [f"1.{n}" for n in range(6)]
    assert failures(outcomes) == {"dead": 10, NOT_ASKED: 4}
    assert len(outcomes) == 16
