"""The effects of interrupt delivery: the frame, and the registers that it loads (SDM volume 3, 6.12 and 6.14)."""

from collections.abc import Sequence

from enclave_sim.time_travel.navigation.provenance.answers import End, Ending, Role
from enclave_sim.time_travel.navigation.provenance.effects import Bytes, Effect, Input, Spread, Transfer, cut, length
from enclave_sim.time_travel.navigation.provenance.instructions import ZERO, InstructionEffects, UnresolvedError
from enclave_sim.time_travel.navigation.provenance.places import FLAGS, REGISTERS, Place
from enclave_sim.time_travel.navigation.provenance.steps import Step
from machine.architecture.descriptors import gate_64
from machine.bus.writer import INTERRUPT_DELIVERY
from machine.events import Event, InterruptDelivered, InterruptRaised, RingTransition
from machine.machine import Machine
from machine.processor.cpu import EFER_LMA

_PAGE_FAULT = 14
_TSS_RSP0, _TSS_IST1, _TSS_ESP0 = 4, 36, 4


def delivered(machine: Machine, step: Step, events: Sequence[Event]) -> Transfer:
    """Return what the delivery of an interrupt did.

    Args:
        machine: The machine, at the position before the step.
        step: The step.
        events: Its events.

    Returns:
        The frame and the registers with their sources.
    """
    last = [one for one in events if isinstance(one, InterruptDelivered)][-1]
    raised = [one for one in events if isinstance(one, InterruptRaised) and one.seq < last.seq][-1]
    frame = tuple(store.place for store in step.stores if store.by == INTERRUPT_DELIVERY)
    changes_ring = any(isinstance(one, RingTransition) and one.seq > last.seq for one in events)
    made = _Frame(machine, raised, last, changes_ring=changes_ring)
    by = f"{INTERRUPT_DELIVERY} of vector {last.vector:#x}"
    try:
        return Transfer(by, None, tuple(made.effects(frame)))
    except UnresolvedError:
        places = (*((one,) for one in frame), *((REGISTERS[name],) for name in ("rsp", FLAGS, "cs", "ss", "cr2")))
        unknown = tuple(Effect(place, (Input((REGISTERS["rsp"],)),)) for place in places)
        return Transfer(by, None, unknown, Ending(End.NOT_MODELLED, "a task gate, or a delivery from unmapped tables"))


class _Frame:
    def __init__(
        self, machine: Machine, raised: InterruptRaised, last: InterruptDelivered, *, changes_ring: bool
    ) -> None:
        self._machine = machine
        self._registers = machine.cpu.registers
        self._raised, self._last = raised, last
        self._long = bool(self._registers.efer & EFER_LMA)
        self._changes_ring = changes_ring
        self._physical = InstructionEffects(machine).physical

    def effects(self, frame: Bytes) -> list[Effect]:
        """Return the effects. Raises UnresolvedError."""
        gate, stack = self._gate(), self._stack()
        selects = [Input(gate, Role.ADDRESS), Input(stack or (REGISTERS["rsp"],), Role.ADDRESS)]
        made = [Effect(*one) for one in self._words(frame, selects)]
        selector = cut(gate, 2, 4)
        made.append(Effect((REGISTERS["cs"],), (Input(selector, spread=Spread.EACH),)))
        made.append(Effect((REGISTERS[FLAGS],), (Input((REGISTERS[FLAGS],), spread=Spread.EACH),)))
        size = 8 if self._long else 4
        pointer = stack or (Place("rsp", 0, size),)
        made.append(Effect((Place("rsp", 0, size),), (Input(pointer, spread=Spread.UP_TO), *selects[:1])))
        if self._changes_ring:
            made.append(Effect((REGISTERS["ss"],), (Input(ZERO) if self._long else Input(self._stack_selector()),)))
        if self._raised.address is not None and self._last.vector == _PAGE_FAULT:
            fault = Ending(End.PROCESSOR, f"the faulting address, {self._raised.address:#x}")
            made.append(Effect((REGISTERS["cr2"],), (Input(fault),)))
        return made

    def _words(self, frame: Bytes, selects: list[Input]) -> list[tuple[Bytes, tuple[Input, ...]]]:
        raised = self._raised
        back = Ending(End.RETURN_ADDRESS, f"{raised.rip:#x}")
        words: list[Ending | Place] = [back, REGISTERS["cs"], REGISTERS[FLAGS]]
        if raised.error_code is not None:
            vector = Ending(End.PROCESSOR, f"the error code of vector {raised.vector:#x}, {raised.error_code:#x}")
            words.insert(0, vector)
        if self._long or self._changes_ring:
            words += [REGISTERS["rsp"], REGISTERS["ss"]]
        size, rest = divmod(length(frame), len(words))
        if rest or not frame:
            raise UnresolvedError
        found: list[tuple[Bytes, tuple[Input, ...]]] = []
        for index, word in enumerate(words):
            target = cut(frame, index * size, index * size + size)
            if isinstance(word, Ending):
                found.append((target, (Input(word), *selects)))
                continue
            have = min(size, word.size)
            found.append((cut(target, 0, have), (Input((word.part(0, have),), spread=Spread.EACH), *selects)))
            if have < size:
                found.append((cut(target, have, size), (Input(ZERO), *selects)))
        return found

    def _gate(self) -> Bytes:
        size = 16 if self._long else 8
        return self._physical(self._registers.idtr.base + self._last.vector * size, size)

    def _stack(self) -> Bytes | None:
        """Return the bytes of the TSS with the new stack pointer; None if the stack is not switched."""
        task = self._registers.tr.base
        if not self._long:
            ring = self._machine.ram.read(self._gate()[0].start, 8)[2] & 3
            return self._physical(task + _TSS_ESP0 + 8 * ring, 4) if self._changes_ring else None
        gate = self._gate()
        content = b"".join(self._machine.ram.read(one.start, one.size) for one in gate)
        found = gate_64(content)
        if found.interrupt_stack_table:
            return self._physical(task + _TSS_IST1 + 8 * (found.interrupt_stack_table - 1), 8)
        return self._physical(task + _TSS_RSP0, 8) if self._changes_ring else None

    def _stack_selector(self) -> Bytes:
        ring = self._machine.ram.read(self._gate()[0].start, 8)[2] & 3
        return self._physical(self._registers.tr.base + _TSS_ESP0 + 8 * ring + 4, 2)
