"""Motions by WebAssembly instructions, in both directions, through a guest that the machine itself executes."""

from collections.abc import Callable
from typing import Any

from enclave_sim.errors import ConfigurationError
from enclave_sim.events import GuestInstantiated
from enclave_sim.payload.wasm.disassembler import disassembly, first_instruction, read_instruction
from enclave_sim.payload.wasm.names import function_names
from enclave_sim.payload.wasm.places import bodies_of
from enclave_sim.similar import did_you_mean
from enclave_sim.time_travel.navigation.previous_steps import PreviousSteps
from enclave_sim.time_travel.navigation.visits import Visits
from enclave_sim.time_travel.navigation.wasm.reader import GuestReader
from enclave_sim.time_travel.navigation.wasm.values import WasmState
from enclave_sim.time_travel.position import NoSuchPosition, Position
from enclave_sim.time_travel.timeline.timeline import Timeline
from machine.events import Event, RingTransition

_CALLS = (0x10, 0x11)
"""The opcodes of `call` and `call_indirect`."""
_LONG = (*_CALLS, 0xFC)
"""Opcodes that may take many x86-64 instructions: calls, with those of the kernel for a host call, and bulk memory."""
_NEAR = 64
"""Steps of the machine among which a previous instruction is looked for at once."""


class WasmSteps:
    """Moves a timeline by the WebAssembly instructions of its guest.

    Every motion returns the position reached: before a WebAssembly instruction. It raises NoSuchPosition if there is
    none, and Cancelled once the token was cancelled. The run does not repeat the guest: its state is the machine's.

    Args:
        timeline: The run of an enclave with the engine `resident`.
        visits: Its stops.

    Raises:
        ConfigurationError: Another engine runs the guest, or the image has no debugging information.
    """

    def __init__(self, timeline: Timeline[Any], visits: Visits) -> None:
        self._timeline = timeline
        self._visits = visits
        self._previous = PreviousSteps(timeline)
        self._reader = GuestReader(timeline)
        self._cpu = timeline.machine.cpu

    @property
    def state(self) -> WasmState | None:
        """The function, instruction, locals, operands, globals and calls of the guest.

        None without a guest, and where the interpreter's registers are not known, as in an interrupt.
        """
        return self._reader.state()

    def executes(self, rip: int) -> bool:
        """Return whether an instruction of the machine is one of the interpreter's loop."""
        return self._reader.executes(rip)

    # Steps

    def step(self) -> Position:
        """Go to the next WebAssembly instruction, into calls, and through host calls and interrupts."""
        reader = self._reader
        if reader.between():
            module, offset = reader.module(), reader.next_offset()
            if module[offset] in _LONG:
                goals = (
                    self._goals_of_call(module, offset) if module[offset] in _CALLS else [self._after(module, offset)]
                )
                return self._run_to(goals)
            self._step()
        while not reader.between():
            if self._cpu.registers.cpl:
                self._step()
            elif self._timeline.run(wanted=_enters_ring_3) is None:
                raise NoSuchPosition(f"no WebAssembly instruction before the run ends at {self._timeline.now}")
        return self._timeline.now

    def step_over(self) -> Position:
        """Go to the next WebAssembly instruction of this call, over the calls that the next one makes."""
        reader = self._reader
        if reader.between():
            module, offset = reader.module(), reader.next_offset()
            if module[offset] in _CALLS:
                return self._run_to([self._after(module, offset)])
        return self.step()

    def step_out(self) -> Position:
        """Go to the instruction after the `call` that made the current call."""
        caller, depth = self._caller()
        state = self._state()
        return self._run_to([(self._after(state.module, caller)[0], depth)])

    def back(self) -> Position:
        """Go back to the previous WebAssembly instruction, into calls that have returned."""
        timeline, here = self._timeline, self._timeline.now
        goal = here
        while True:
            trail = self._previous.before(goal, _NEAR)
            if not trail:
                return timeline.go_back(here, None, "no WebAssembly instruction comes before")
            found = self._last_between(trail, goal)
            if found is not None:
                timeline.go_to(found)
                return found
            timeline.go_to(trail[0])
            goal = trail[0]
            if self._cpu.registers.cpl == 0:
                left = [one for one in timeline.events if isinstance(one, RingTransition) and one.from_ring]
                if not left:
                    return timeline.go_back(here, None, "no WebAssembly instruction comes before")
                timeline.go_to_event(left[-1].seq)
                goal = timeline.now

    def back_over(self) -> Position:
        """Go back to the previous instruction of this call, over the calls that have returned."""
        if not self._reader.between():
            return self.back()
        here, depth = self._timeline.now, self._reader.depth()
        landed = self.back()
        if self._reader.depth() <= depth:
            return landed
        self._timeline.go_to(here)
        module, offset = self._reader.module(), self._reader.next_offset()
        function = self._function_at(module, offset)
        calls = [one.offset for one in disassembly(module, bodies_of(module)[function]) if one.offset < offset]
        return self._find_last(calls[-1], depth, landed)

    def back_out(self) -> Position:
        """Go back to the `call` that made the current call."""
        caller, depth = self._caller()
        return self._find_last(caller, depth, None)

    # Places

    def place(self, function: int | str, offset: int | None = None) -> tuple[int, Callable[[Any], bool]]:
        """Return where the machine begins an instruction, for `add_breakpoint`.

        Args:
            function: The index or the name of a function of the current guest.
            offset: Bytes from the start of the function's body; None for its first instruction.

        Returns:
            The linear address of the interpreter's code for the instruction, and the condition that is true there.

        Raises:
            ConfigurationError: There is no such function or instruction, or no guest here.
        """
        module, at = self._resolve(function, offset)
        reader = self._reader

        def holds(_session: Any) -> bool:
            return reader.between() and reader.next_offset() == at and reader.module() == module

        return reader.handlers[module[at]], holds

    def gdb_place(self, function: int | str, offset: int | None = None) -> str:
        """Return an instruction in the form of gdb's `break`. Arguments and errors are those of `place`."""
        module, at = self._resolve(function, offset)
        register, value = self._reader.instruction_pointer(at)
        return f"*{self._reader.handlers[module[at]]:#x} if ${register} == {value:#x}"

    def run_to(self, function: int | str, offset: int | None = None) -> Position:
        """Run to the next execution of an instruction. Arguments and errors are those of `place`."""
        address, holds = self.place(function, offset)
        while self._visits.run_to_next([address]):
            if holds(None):
                return self._timeline.now
        raise NoSuchPosition(f"it is not executed before the run ends at {self._timeline.now}")

    def reverse_to(self, function: int | str, offset: int | None = None) -> Position:
        """Go back to the last execution of an instruction. Arguments and errors are those of `place`."""
        address, holds = self.place(function, offset)
        here = self._timeline.now
        found = self._visits.find_last([address], here, lambda: holds(None))
        return self._timeline.go_back(here, found, "it was not executed before")

    def _resolve(self, function: int | str, offset: int | None) -> tuple[bytes, int]:
        module = self._state().module
        bodies = bodies_of(module)
        if isinstance(function, str):
            names = {name: index for index, name in function_names(module).items() if index in bodies}
            if function not in names:
                suggestion = did_you_mean(function, names)
                raise ConfigurationError(f"the guest has no function {function!r}; {suggestion}".rstrip("; "))
            function = names[function]
        if function not in bodies:
            raise ConfigurationError(f"the guest has no function {function}; it has {min(bodies)} to {max(bodies)}")
        body = bodies[function]
        at = first_instruction(module, body) if offset is None else body.start + offset
        if at not in {one.offset for one in disassembly(module, body)}:
            raise ConfigurationError(f"no instruction of function {function} begins at +{offset or 0:#x}")
        return module, at

    # Parts of motions

    def _state(self) -> WasmState:
        state = self.state
        if state is None:
            raise ConfigurationError("the state of a guest is not known here; step to its next instruction")
        return state

    def _caller(self) -> tuple[int, int]:
        """Return the offset of the `call` that made the current call, and the number of calls there."""
        state = self._state()
        if len(state.frames) < 2:
            raise NoSuchPosition("the function is _start, which no function of the guest has called")
        return state.frames[1].offset, state.depth - 1

    def _after(self, module: bytes, offset: int) -> tuple[int, int | None]:
        """Return the goal after an instruction in the same call."""
        depth = self._reader.depth() if self._reader.between() else None
        return read_instruction(module, offset)[3], depth

    def _goals_of_call(self, module: bytes, offset: int) -> list[tuple[int, int | None]]:
        """Return where a call may lead: into a function, or after it if the host executes it."""
        goals = [self._after(module, offset)]
        direct = module[offset] == _CALLS[0]
        callee = int(read_instruction(module, offset)[2]) if direct else self._reader.indirect_callee()
        body = None if callee is None else bodies_of(module).get(callee)
        return goals if body is None else [*goals, (first_instruction(module, body), self._reader.depth() + 1)]

    def _run_to(self, goals: list[tuple[int, int | None]]) -> Position:
        """Run to an instruction of this guest at one of these offsets and depths."""
        reader, timeline = self._reader, self._timeline
        module, guest = self._state().module, self.guest()
        wanted = dict(goals)
        places = sorted({reader.handlers[module[offset]] for offset in wanted})
        while self._visits.run_to_next(places):
            if self.guest() != guest:
                break
            if reader.between() and (offset := reader.next_offset()) in wanted:
                depth = wanted[offset]
                if depth is None or depth == reader.depth():
                    return timeline.now
        raise NoSuchPosition(f"the guest ends first; the run is at {timeline.now}")

    def guest(self) -> int:
        """Return the event that made the last guest."""
        made = (one.seq for one in reversed(self._timeline.events) if isinstance(one, GuestInstantiated))
        return next(made, -1)

    def _find_last(self, offset: int, depth: int, otherwise: Position | None) -> Position:
        """Go back to the last execution of an instruction at a depth."""
        timeline, reader = self._timeline, self._reader
        here, guest = timeline.now, self.guest()
        address = reader.handlers[self._state().module[offset]]

        def holds() -> bool:
            return (
                reader.between()
                and reader.next_offset() == offset
                and reader.depth() == depth
                and self.guest() == guest
            )

        found = self._visits.find_last([address], here, holds)
        return timeline.go_back(here, found or otherwise, "the call was not found")

    def _last_between(self, trail: list[Position], goal: Position) -> Position | None:
        timeline = self._timeline
        timeline.go_to(trail[0])
        found = timeline.now if self._reader.between() else None
        while timeline.now < goal and timeline.step() and timeline.now < goal:
            if self._reader.between():
                found = timeline.now
        timeline.go_to(goal)
        return found

    def _step(self) -> None:
        if not self._timeline.step():
            raise NoSuchPosition(f"the run ends at {self._timeline.now}")

    @staticmethod
    def _function_at(module: bytes, offset: int) -> int:
        return next(one.function for one in bodies_of(module).values() if one.start <= offset < one.end)


def _enters_ring_3(event: Event) -> bool:
    return isinstance(event, RingTransition) and bool(event.to_ring)
