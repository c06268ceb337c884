"""Every movement in a run, with its key: a small letter goes forwards, the same letter with Shift backwards."""

from collections.abc import Callable
from dataclasses import dataclass

from enclave_sim.inspector.session.inspected_run import InspectedRun
from enclave_sim.time_travel import Position


@dataclass(frozen=True, slots=True)
class Movement:
    """A movement, with its key and its description."""

    name: str
    key: str
    words: str
    go: Callable[[InspectedRun], object]


def _to_beginning(run: InspectedRun) -> Position:
    return run.go_to(Position(0))


def _to_end(run: InspectedRun) -> Position:
    kept = run.breakpoints, run.watchpoints
    run.breakpoints, run.watchpoints = [], []
    try:
        return run.resume().position
    finally:
        run.breakpoints, run.watchpoints = kept


MOVEMENTS = (
    Movement("step", "s", "one step: an instruction, an interrupt, a stay in the guest, a sleep", lambda r: r.step()),
    Movement("back", "S", "one step back", lambda r: r.back()),
    Movement("ten", "d", "ten steps", lambda r: r.step(10)),
    Movement("back_ten", "D", "ten steps back", lambda r: r.back(10)),
    Movement("over", "o", "a step over calls, interrupts and repetitions", lambda r: r.step_over()),
    Movement("back_over", "O", "back over them", lambda r: r.back_over()),
    Movement("out", "u", "up: out of the function or handler", lambda r: r.step_out()),
    Movement("back_out", "U", "back to before the call", lambda r: r.back_out()),
    Movement("line", "l", "the next source line, over calls", lambda r: r.next_line()),
    Movement("back_line", "L", "the previous source line", lambda r: r.previous_line()),
    Movement("line_into", "i", "the next source line, into calls", lambda r: r.next_line(into=True)),
    Movement("event", "e", "the next event", lambda r: r.next_event(lambda _: True)),
    Movement("back_event", "E", "the previous event", lambda r: r.previous_event(lambda _: True)),
    Movement("call", "h", "the next host call", lambda r: r.next_host_call()),
    Movement("back_call", "H", "the previous host call", lambda r: r.previous_host_call()),
    Movement("transition", "t", "the next ring transition", lambda r: r.next_transition()),
    Movement("back_transition", "T", "the previous ring transition", lambda r: r.previous_transition()),
    Movement("phase", "p", "where the next boot phase reaches its target state", lambda r: r.next_phase()),
    Movement("back_phase", "P", "where the last boot phase reached its target state", lambda r: r.previous_phase()),
    Movement("continue", "c", "run to a breakpoint or watchpoint, or the end", lambda r: r.resume()),
    Movement("back_continue", "C", "back to one, or the beginning", lambda r: r.reverse_resume()),
    Movement("end", "right_square_bracket", "the end of the run", _to_end),
    Movement("beginning", "left_square_bracket", "the beginning of the run", _to_beginning),
)
BY_NAME = {movement.name: movement for movement in MOVEMENTS}
