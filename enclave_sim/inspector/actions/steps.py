"""Every movement in a run, with its key: a lower-case letter moves forwards, the same letter with Shift backwards."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from enclave_sim.inspector.session.inspected_run import InspectedRun
from enclave_sim.time_travel import Position


class Kind(Enum):
    """Kinds of movements."""

    STEP = auto()
    """A small movement. It is not a jump, so back does not revisit it."""
    NEAR = auto()
    """A small movement to a goal. If there is no such position, the run stays where it is."""
    RUN = auto()
    """To the next hit, or finally the end or the beginning."""
    SEARCH = auto()
    """To a goal. If there is no such position, the run stays where it is."""


@dataclass(frozen=True, slots=True)
class Movement:
    """A movement, with its key and its description."""

    name: str
    key: str
    kind: Kind
    words: str
    go: Callable[[InspectedRun], object]

    @property
    def of_wasm(self) -> bool:
        """True if it needs a guest that the machine itself interprets."""
        return "wasm" in self.name


def _to_beginning(run: InspectedRun) -> Position:
    return run.go_to(Position(0))


def _to_end(run: InspectedRun) -> Position:
    kept = run.breakpoints, run.watchpoints
    run.breakpoints, run.watchpoints = [], []
    try:
        return run.resume().position
    finally:
        run.breakpoints, run.watchpoints = kept


def _by_part(direction: int) -> Callable[[InspectedRun], Position]:
    """Return a movement along the strip, over a twentieth of the known events, at least one."""

    def go(run: InspectedRun) -> Position:
        seq = run.seen - 1 + direction * max(1, len(run.known) // _PARTS)
        if seq < len(run.known):
            return run.go_to_event(max(seq, 0))
        return run.next_event(lambda event: event.seq == seq)

    return go


_PARTS = 20
_STEP, _NEAR, _RUN, _SEARCH = Kind.STEP, Kind.NEAR, Kind.RUN, Kind.SEARCH
MOVEMENTS = (
    Movement(
        "step", "s", _STEP, "one step: an instruction, an interrupt, a stay in the guest, a sleep", lambda r: r.step()
    ),
    Movement("back", "S", _STEP, "one step back", lambda r: r.back()),
    Movement("ten", "d", _STEP, "ten steps", lambda r: r.step(10)),
    Movement("back_ten", "D", _STEP, "ten steps back", lambda r: r.back(10)),
    Movement("over", "o", _STEP, "one step over calls, interrupts and repetitions", lambda r: r.step_over()),
    Movement("back_over", "O", _STEP, "one step back over calls, interrupts and repetitions", lambda r: r.back_over()),
    Movement("line", "l", _STEP, "the next source line, over calls", lambda r: r.next_line()),
    Movement("back_line", "L", _STEP, "the previous source line", lambda r: r.previous_line()),
    Movement("line_into", "i", _STEP, "the next source line, into calls", lambda r: r.next_line(into=True)),
    Movement("out", "u", _SEARCH, "up: out of the function or handler", lambda r: r.step_out()),
    Movement("back_out", "U", _SEARCH, "back to before the call of the function or handler", lambda r: r.back_out()),
    Movement(
        "wasm", "right_curly_bracket", _NEAR, "one WebAssembly instruction of a resident guest", lambda r: r.wasm.step()
    ),
    Movement("back_wasm", "left_curly_bracket", _NEAR, "one WebAssembly instruction back", lambda r: r.wasm.back()),
    Movement(
        "wasm_over", "vertical_line", _NEAR, "one WebAssembly instruction over calls", lambda r: r.wasm.step_over()
    ),
    Movement(
        "back_wasm_over",
        "backslash",
        _NEAR,
        "one WebAssembly instruction back over calls",
        lambda r: r.wasm.back_over(),
    ),
    Movement("wasm_out", "circumflex_accent", _SEARCH, "out of the WebAssembly function", lambda r: r.wasm.step_out()),
    Movement("back_wasm_out", "tilde", _SEARCH, "back to the WebAssembly call", lambda r: r.wasm.back_out()),
    Movement("event", "e", _SEARCH, "the next event", lambda r: r.next_event(lambda _: True)),
    Movement("back_event", "E", _SEARCH, "the previous event", lambda r: r.previous_event(lambda _: True)),
    Movement("call", "h", _SEARCH, "the next host call", lambda r: r.next_host_call()),
    Movement("back_call", "H", _SEARCH, "the previous host call", lambda r: r.previous_host_call()),
    Movement("transition", "t", _SEARCH, "the next ring transition", lambda r: r.next_transition()),
    Movement("back_transition", "T", _SEARCH, "the previous ring transition", lambda r: r.previous_transition()),
    Movement(
        "phase",
        "p",
        _SEARCH,
        "the next boot phase: where it reaches its target state; of a bare kernel, the next mode",
        lambda r: r.next_phase(),
    ),
    Movement(
        "back_phase",
        "P",
        _SEARCH,
        "the last boot phase: where it reached its target state; of a bare kernel, the last mode",
        lambda r: r.previous_phase(),
    ),
    Movement("continue", "c", _RUN, "run to a breakpoint or watchpoint, or the end", lambda r: r.resume()),
    Movement(
        "back_continue",
        "C",
        _RUN,
        "run back to a breakpoint or watchpoint, or the beginning",
        lambda r: r.reverse_resume(),
    ),
    Movement("part", "right_parenthesis", _SEARCH, "along the strip, a twentieth of the known run", _by_part(1)),
    Movement(
        "back_part", "left_parenthesis", _SEARCH, "back along the strip, a twentieth of the known run", _by_part(-1)
    ),
    Movement("end", "right_square_bracket", _RUN, "the end of the run", _to_end),
    Movement("beginning", "left_square_bracket", _RUN, "the beginning of the run", _to_beginning),
)
BY_NAME = {movement.name: movement for movement in MOVEMENTS}
