"""The transfers of bytes in a step, in order: by its instruction, devices, inputs, and interrupt delivery."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from enclave_sim.events import GuestTrapped, HostCalled, InputTaken
from enclave_sim.inputs import RegisterWrite
from enclave_sim.time_travel.navigation.last_write import place as named
from enclave_sim.time_travel.navigation.provenance.answers import End, Ending, Role
from enclave_sim.time_travel.navigation.provenance.decoding import Decoded, decoded
from enclave_sim.time_travel.navigation.provenance.delivery import delivered
from enclave_sim.time_travel.navigation.provenance.effects import Effect, Input, Spread, Transfer
from enclave_sim.time_travel.navigation.provenance.guest.sources import GuestSources
from enclave_sim.time_travel.navigation.provenance.instructions import ZERO, InstructionEffects, UnresolvedError
from enclave_sim.time_travel.navigation.provenance.places import REGISTERS, Place
from enclave_sim.time_travel.navigation.provenance.steps import Step
from enclave_sim.time_travel.timeline.timeline import Timeline
from machine.bus.writer import INTERRUPT_DELIVERY, Writer
from machine.events import Event

_REGISTER_WRITE = "register_write"
SCRUB_ENGINE = "scrub engine"
COMPUTED = "the computation of the guest, from its memory, constants and host calls"
_REASON = Ending(End.CONSTANT, "the reason for the departure, given by the call or the trap")


@dataclass(frozen=True, slots=True)
class Resolved:
    """An instruction with its operands resolved in the state before it."""

    found: Decoded | None
    """None if it is unknown."""
    effects: tuple[Effect, ...] | None
    """None if it is not modelled."""
    inputs: tuple[Input, ...]
    """All it may read, if it is not modelled."""

    @property
    def ending(self) -> Ending | None:
        """The end of a search that meets it; None if it is modelled."""
        return None if self.effects is not None or self.found is None else Ending(End.NOT_MODELLED, self.found.text)


def _trap(events: list[Event]) -> Ending | None:
    """Return the argument of a departure by a trap; None for another one."""
    trapped = any(isinstance(event, GuestTrapped) for event in events)
    return Ending(End.CONSTANT, "the address at which the gate repeats the trap") if trapped else None


class Transfers:
    """Finds the transfers of steps."""

    def __init__(self, timeline: Timeline[Any], guests: GuestSources) -> None:
        self._timeline = timeline
        self._guests = guests
        self._effects = InstructionEffects(timeline.machine)

    def of(self, step: Step) -> list[Transfer]:
        """Return the transfers of a step, in order. The timeline must be at the position before it."""
        found: list[Transfer] = []
        if step.in_guest:
            found.append(self.by_guest(step))
            self._timeline.go_to(step.before)
        elif step.executed:
            found.append(self.by_instruction(step, self.resolved(step.code, step.rip, step.long)))
        return [*found, *self.by_others(step)]

    def resolved(self, code: bytes, rip: int, long: bool) -> Resolved:
        """Resolve the instruction before which the timeline is.

        Args:
            code: The code there.
            rip: Its linear address.
            long: In 64-bit mode.

        Returns:
            The instruction.
        """
        found = decoded(code, rip, long)
        if found is None:
            return Resolved(None, None, ())
        if found.effects is not None:
            try:
                return Resolved(found, tuple(self._effects.of(found)), ())
            except UnresolvedError:
                pass
        return Resolved(found, None, self._may_read(found))

    def by_instruction(self, step: Step, resolved: Resolved) -> Transfer:
        """Return the transfer of a step's instruction."""
        by, found = named(self._timeline, step.rip), resolved.found
        if found is None:
            return Transfer(
                by, None, (), Ending(End.NOT_MODELLED, f"an instruction that is unknown: {step.code.hex()}")
            )
        if resolved.effects is not None:
            return Transfer(by, found.text, resolved.effects)
        stores = (store.place for store in step.stores if store.by is None)
        unknown = tuple(Effect((one,), resolved.inputs) for one in (*found.writes, *stores))
        return Transfer(by, found.text, unknown, resolved.ending)

    def by_others(self, step: Step) -> list[Transfer]:
        """Return what devices, inputs and the delivery of an interrupt wrote in a step, before or after it."""
        events = self._timeline.monitor.events[step.seen : step.seen_after]
        found = list(self._others(step, events))
        if step.delivered:
            found.append(delivered(self._timeline.machine, step, events))
        return found

    def _may_read(self, found: Decoded) -> tuple[Input, ...]:
        """Return all that an instruction may read."""
        inputs = [Input((one,)) for one in found.reads]
        for operand in found.operands:
            if operand.register is not None:
                inputs.append(Input((operand.register,)))
            elif operand.memory is not None:
                try:
                    inputs.append(Input(self._effects.operand(found, operand)))
                except UnresolvedError:
                    inputs.append(Input(Ending(End.NOT_MODELLED, "memory at an address that is not mapped")))
            elif operand.number is not None:
                inputs.append(Input(Ending(End.CONSTANT, f"{operand.number:#x}")))
        return tuple(dict.fromkeys(inputs))

    def _others(self, step: Step, events: list[Event]) -> Iterator[Transfer]:
        """Yield what inputs, devices and the processor wrote by themselves."""
        given = next((event for event in events if isinstance(event, InputTaken)), None)
        for store in step.stores:
            if store.by is None or store.by == INTERRUPT_DELIVERY:
                continue
            yield self._written(step, store.by, store.place, given)
        if given is not None and not step.executed:
            changed = self._registers(step, given)
            ending = Ending(End.INPUT, self._input_text(given))
            yield Transfer("an input", None, tuple(Effect((REGISTERS[name],), ()) for name in changed), ending)

    def _written(self, step: Step, by: Writer, place: Place, given: InputTaken | None) -> Transfer:
        at = f"{by}, at {named(self._timeline, step.rip)}" if by.kind == "device" else f"{by}"
        text = decoded(step.code, step.rip, step.long) if by.kind == "device" else None
        instruction = None if text is None else text.text
        if by.kind == "input":
            return Transfer(at, None, (Effect((place,), ()),), Ending(End.INPUT, self._input_text(given)))
        if by.name == SCRUB_ENGINE:
            selects = tuple(Input((one,), Role.ADDRESS) for one in (text.reads if text else ()))
            return Transfer(
                at, instruction, (Effect((place,), (Input(ZERO), *selects)),), Ending(End.DEVICE, SCRUB_ENGINE)
            )
        if by.kind == "device":
            return Transfer(at, instruction, (Effect((place,), ()),), Ending(End.DEVICE, by.name))
        return Transfer(at, None, (Effect((place,), ()),), Ending(End.PROCESSOR, by.name))

    def _registers(self, step: Step, given: InputTaken) -> list[str]:
        """Return the registers that an input has written, perhaps with the value that they had."""
        if given.input != _REGISTER_WRITE:
            return []
        known = [given.given] if given.given is not None else self._timeline.subject.header.inputs
        written = [
            one.register
            for one in known
            if isinstance(one, RegisterWrite) and given.scheduled_ns in (None, one.at_ns) and one.register in REGISTERS
        ]
        return written or sorted(step.changed)

    def _input_text(self, given: InputTaken | None) -> str:
        return "an input" if given is None else f"{given.input} at {given.at_ns} ns"

    def by_guest(self, step: Step) -> Transfer:
        """Return what the guest on the coprocessor returned to the gate: number and argument of a host call.

        The timeline moves.
        """
        by = "the guest, at the gate"
        if not step.executed:
            return Transfer(by, None, ())
        events = self._timeline.monitor.events[step.seen : step.seen_after]
        place, ending = None, _trap(events)
        if any(isinstance(event, HostCalled) for event in events):
            place, ending = self._guests.argument(step.after)
        number = tuple(Effect((REGISTERS[name],), (Input(_REASON),)) for name in ("rax", "rcx"))
        if ending is not None:
            return Transfer(by, None, (*number, Effect((REGISTERS["rdi"],), (Input(ending),))))
        argument: tuple[Input, ...] = (Input(ZERO),) if place is None else (Input((place,), spread=Spread.EACH),)
        rdi = Effect((Place("rdi", 0, 4),), argument), Effect((Place("rdi", 4, 4),), (Input(ZERO),))
        return Transfer(by, None, (*number, *rdi))
