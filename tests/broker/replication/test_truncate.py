from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from broker.replication.truncate import decide_truncation


class Epochs:
    """A log as the list of the epochs of its records."""

    def __init__(self, records: list[int]) -> None:
        self.records = records

    @property
    def latest(self) -> int:
        return self.records[-1] if self.records else -1

    def end_offset_for_epoch(self, epoch: int) -> tuple[int, int]:
        known = sorted(set(self.records))
        if not known:
            return -1, -1
        if epoch < known[0]:
            return epoch, 0
        found = max(e for e in known if e <= epoch)
        return found, max(i for i, e in enumerate(self.records) if e <= epoch) + 1


def reconciled(follower: list[int], leader: list[int]) -> tuple[int, int]:
    """Run the dialogue. Returns: where the follower's log ends, and how many questions it took."""
    own, theirs = Epochs(list(follower)), Epochs(leader)
    asked, questions = own.latest, 0
    while True:
        questions += 1
        decision = decide_truncation(
            leader_answer=theirs.end_offset_for_epoch(asked),
            log_end_offset=len(own.records),
            latest_epoch=asked,
            end_offset_for_epoch=own.end_offset_for_epoch,
        )
        assert decision is not None
        del own.records[decision.end_offset :]
        if decision.complete:
            return len(own.records), questions
        asked = decision.next_epoch


def test_a_log_that_is_a_prefix_of_the_leaders_is_kept_whole():
    assert reconciled([1, 1, 2], [1, 1, 2, 2, 3])[0] == 3


def test_what_the_leader_never_had_is_cut():
    assert reconciled([1, 1, 2, 2, 2], [1, 1, 2, 3])[0] == 3


def test_an_epoch_that_the_leader_never_saw_is_cut_and_the_next_older_one_asked_about():
    assert reconciled([1, 1, 3, 3], [1, 1, 2, 2, 4]) == (2, 2)


def test_a_log_with_only_epochs_that_the_leader_never_saw_is_cut_to_nothing():
    assert reconciled([5, 5], [3, 3, 7])[0] == 0


def test_nothing_is_cut_where_the_leader_knows_of_no_epoch():
    decision = decide_truncation(
        leader_answer=(-1, -1),
        log_end_offset=9,
        latest_epoch=3,
        end_offset_for_epoch=Epochs([3] * 9).end_offset_for_epoch,
    )

    assert decision is None


@st.composite
def histories(draw):
    """Logs as replication makes them: one leader after another, each a fork of some prefix."""
    logs = [[]]
    for epoch in range(1, draw(st.integers(2, 6))):
        base = draw(st.sampled_from(logs))
        kept = base[: draw(st.integers(0, len(base)))]
        logs.append(kept + [epoch] * draw(st.integers(1, 4)))
    return logs


@given(histories(), st.data())
def test_after_reconciling_the_follower_holds_a_prefix_of_the_leaders_log(logs, data):
    leader = logs[-1]
    follower = data.draw(st.sampled_from([log for log in logs if log]))

    end, questions = reconciled(follower, leader)

    assert follower[:end] == leader[:end]
    assert questions <= len(set(follower)) + 1
    common = 0
    for ours, theirs in zip(follower, leader, strict=False):
        if ours != theirs:
            break
        common += 1
    assert end == common
