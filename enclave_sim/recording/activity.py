"""The activity of an enclave after EXEC_LOOP has reached its target state, from its last relevant event.

The event `phase_completed` of EXEC_LOOP means that the state Active Execution is reached. The guest runs afterwards, so
the activity is shown instead of a completed phase.
"""

from enclave_sim.events import AnnihilationBegan, CycleBegan, CycleEnded, WakeScheduled, Woken
from machine.events import Event

ACTIVITY_KINDS = (CycleBegan, CycleEnded, WakeScheduled, Woken, AnnihilationBegan)
"""The kinds of events that begin another activity."""


def activity(last: Event) -> str:
    """Return the activity after `last`, the latest event of ACTIVITY_KINDS. Cycles are counted from 0, as in events."""
    match last:
        case CycleBegan(cycle=cycle):
            return f"running: cycle {cycle:,}"
        case CycleEnded(cycle=cycle):
            return f"cycle {cycle:,} ended"
        case WakeScheduled():
            return "asleep"
        case Woken(source=source):
            return f"woken: {source}"
        case AnnihilationBegan(cause=cause):
            return f"annihilation: {cause}"
    return ""
