"""After EXEC_LOOP has reached its target state, the enclave's activity is shown."""

import pytest

from enclave_sim.events import AnnihilationBegan, CycleBegan, CycleEnded, WakeScheduled, Woken
from enclave_sim.recording.activity import ACTIVITY_KINDS, activity
from machine.events import Event


@pytest.mark.parametrize(
    ("last", "shown"),
    [
        (CycleBegan(0, 5, 1), "running: cycle 1"),
        (CycleEnded(0, 5, 1), "cycle 1 ended"),
        (WakeScheduled(0, 5, 9), "asleep"),
        (Woken(0, 5, "timer", 9, 0), "woken: timer"),
        (AnnihilationBegan(0, 5, "COMPLETED", 0, ""), "annihilation: COMPLETED"),
    ],
)
def test_each_activity_is_named(last: Event, shown: str) -> None:
    assert isinstance(last, ACTIVITY_KINDS)
    assert activity(last) == shown
