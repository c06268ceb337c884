"""The position of a change that no writer reported, found by bisection."""

from typing import Any

from enclave_sim.time_travel.navigation.breakpoints import Change
from enclave_sim.time_travel.timeline.timeline import Timeline


def go_to_change(timeline: Timeline[Any], change: Change) -> None:
    """Go to the first position after a change.

    The run stays where it is if a guest on a coprocessor may have made it: its stay is one step.

    Args:
        timeline: The run, at a position after the change.
        change: The change.
    """
    ram, where = timeline.machine.ram, change.point.where
    if timeline.subject.guest_store(where) is not None:
        return
    low_ns, high_ns = change.since_ns, timeline.now.at_ns
    while low_ns < high_ns:
        middle_ns = (low_ns + high_ns) // 2
        timeline.go_to_time(middle_ns)
        if ram.equals(where.start, change.before):
            timeline.leave_snapshot()
            low_ns = middle_ns + 1
        else:
            high_ns = middle_ns
    timeline.go_to_time(max(0, low_ns - 1))
    while ram.equals(where.start, change.before) and timeline.step():
        pass
