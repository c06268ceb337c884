"""Follows a secret through a run.

While nothing that is about to be executed can touch the secret, the run goes on at its own speed, with all its memory
accesses and blocks of code observed. At the first that may touch the secret it goes back to the position before it, and
on in steps, each of whose transfers (provenance/transfers.py) is applied to the labels of bytes.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from enclave_sim.events import GuestDestroyed, GuestInstantiated, HostCalled, InputTaken, PayloadVerified
from enclave_sim.time_travel.navigation.last_write import place as named
from enclave_sim.time_travel.navigation.lifetimes.answers import Maker, Met
from enclave_sim.time_travel.navigation.lifetimes.blocks import Blocks, registers_of, uses_memory
from enclave_sim.time_travel.navigation.lifetimes.buffers import Buffers
from enclave_sim.time_travel.navigation.lifetimes.flow import Flow
from enclave_sim.time_travel.navigation.lifetimes.guests import Guests
from enclave_sim.time_travel.navigation.lifetimes.taint import Taint
from enclave_sim.time_travel.navigation.provenance.content import content
from enclave_sim.time_travel.navigation.provenance.effects import Input
from enclave_sim.time_travel.navigation.provenance.places import MEMORY, Place, is_register
from enclave_sim.time_travel.navigation.provenance.steps import Step, Store
from enclave_sim.time_travel.navigation.provenance.transfers import Resolved, Transfers
from enclave_sim.time_travel.position import Position
from enclave_sim.time_travel.timeline.timeline import Timeline
from machine.bus.ram import PAGE_SIZE
from machine.bus.writer import INTERRUPT_DELIVERY, Writer
from machine.events import Event, InterruptDelivered
from machine.execution.deferred_signals import SignalsHeld

_STEPS = 64
"""Steps between two moments at which a signal such as Ctrl-C is handled."""
_QUIET_AFTER = 12
"""Steps that do not touch the secret, after which the run goes on at its own speed."""
_OF_INTEREST = (PayloadVerified, GuestInstantiated, GuestDestroyed, InputTaken)
_LOADED_BY_DELIVERY = ("rsp", "rflags", "cs", "ss", "cr2")
_PAGE_FAULT = 14
_CR2 = Place("cr2", 0, 8)


class Walk:
    """Follows the labels of a secret from the current position of a timeline on.

    Args:
        timeline: The timeline.
        transfers: Finds what steps do.
        guests: Follows it through guests on the coprocessor.
        taint: The labels.
        secret: The secret.
        quickly: False to execute every step by itself, for tests.
    """

    def __init__(
        self,
        timeline: Timeline[Any],
        transfers: Transfers,
        guests: Guests,
        taint: Taint,
        secret: bytes,
        *,
        quickly: bool = True,
    ) -> None:
        machine = timeline.machine
        self._timeline = timeline
        self._transfers = transfers
        self._guests = guests
        self._taint = taint
        self._quickly = quickly
        self._buffers = Buffers(machine, taint, secret)
        self._flow = Flow(taint, secret, lambda place: content(machine, place) or self._buffers.content(place))
        self._blocks = Blocks(machine)
        self._ram_bytes = machine.ram.size
        self._quiet = False
        self._hit_ns: int | None = None
        """A time at or before the beginning of an instruction that may touch the secret; None if none was met."""
        self._spaces: set[str] = set()
        """While the run is quiet: the registers with labelled bytes."""
        self._end_blocks: Callable[[], None] | None = None
        self._stores: list[Store] = []
        self._reads: list[Place] = []

    def run(self, until: Position | None, at_step: Callable[[], None] = lambda: None) -> None:
        """Follow it.

        Args:
            until: The position to which to follow it; None for the end of the run.
            at_step: Called after each step that was executed by itself.
        """
        timeline = self._timeline
        untouched = _QUIET_AFTER
        with self._observed():
            while (until is None or timeline.now < until) and timeline.now != timeline.end:
                if self._quickly and untouched >= _QUIET_AFTER and self._may_be_quiet:
                    self._run_quietly(until)
                    untouched = 0
                    continue
                with SignalsHeld():
                    untouched = self._run_in_steps(until, untouched, at_step)

    def _run_in_steps(self, until: Position | None, untouched: int, at_step: Callable[[], None]) -> int:
        """Execute some steps. Return the number of those at the end that did not touch the secret."""
        timeline = self._timeline
        for _ in range(_STEPS):
            touched = self._step()
            if touched is None:
                break
            untouched = 0 if touched else untouched + 1
            at_step()
            over = timeline.now == timeline.end or (until is not None and timeline.now >= until)
            if over or (self._quickly and untouched >= _QUIET_AFTER):
                break
        return untouched

    @contextmanager
    def _observed(self) -> Iterator[None]:
        machine = self._timeline.machine
        removals = [
            machine.cpu.callbacks.watch_memory(self._on_access),
            machine.ram.watch(range(self._ram_bytes), self._on_write),
        ]
        try:
            yield
        finally:
            self._watch_blocks(False)
            for remove in removals:
                remove()

    def _watch_blocks(self, wanted: bool) -> None:
        """Observe blocks of code, or none."""
        if wanted and self._end_blocks is None:
            self._end_blocks = self._timeline.machine.cpu.watch_blocks(self._on_block)
        elif not wanted and self._end_blocks is not None:
            self._end_blocks()
            self._end_blocks = None

    # While it goes on at its own speed

    @property
    def _may_be_quiet(self) -> bool:
        return not self._timeline.subject.in_guest and not any(map(self._taint.spaces.get, _LOADED_BY_DELIVERY))

    def _run_quietly(self, until: Position | None) -> None:
        timeline, machine = self._timeline, self._timeline.machine
        coprocessor = machine.coprocessor
        timeline.leave_snapshot()
        begin, seen = timeline.now, timeline.seen
        self._spaces = {space for space, found in self._taint.spaces.items() if found and is_register(space)}
        self._watch_blocks(bool(self._spaces))
        self._stores.clear()
        self._hit_ns, self._quiet = None, True
        if coprocessor is not None:
            machine.stop_at([coprocessor.address])
        try:
            self._run_to_hit(until)
        finally:
            self._quiet = False
            machine.stop_at()
        if self._hit_ns is not None:
            if self._hit_ns <= begin.at_ns:
                timeline.go_to(begin)
            else:
                timeline.go_to_time(self._hit_ns)
            return
        if not timeline.subject.between_steps:
            timeline.step()
        for store in self._stores:
            if store.by == INTERRUPT_DELIVERY:
                self._taint.clear(store.place, timeline.now, Maker(INTERRUPT_DELIVERY.name))
        last, long = machine.cpu.hook.last, machine.cpu.registers.in_64_bit_code
        nothing = False, False, False
        step = Step(
            begin, timeline.now, last, machine.cpu.code.at(last), long, *nothing, seen, timeline.seen, *self._accesses
        )
        self._follow_others(step)

    def _run_to_hit(self, until: Position | None) -> None:
        timeline, machine = self._timeline, self._timeline.machine
        while self._hit_ns is None and not self._stores and (until is None or timeline.now < until):
            before = timeline.now
            event = timeline.run(until, lambda one: isinstance(one, _OF_INTEREST))
            if event is not None or machine.at_stop or timeline.now in (before, timeline.end):
                break

    @property
    def _accesses(self) -> tuple[tuple[Store, ...], tuple[Place, ...], frozenset[str]]:
        return tuple(self._stores), tuple(self._reads), frozenset()

    def _on_access(self, writes: bool, address: int, size: int) -> None:
        if not self._quiet:
            place = Place(MEMORY, address, size)
            if writes:
                self._stores.append(Store(None, place))
            else:
                self._reads.append(place)
            return
        if self._hit_ns is not None:
            return
        memory = self._taint.memory
        for byte in range(address, address + size):
            if byte in memory:
                self._hit(1)
                return
        if writes and address >= self._ram_bytes and self._buffers.holds(address):
            self._hit(1)

    def _on_write(self, by: Writer, base: int, size: int) -> None:
        place = Place(MEMORY, base, size)
        if not self._quiet:
            self._stores.append(Store(by, place))
        elif self._taint.touches(place) or by.kind == "input":
            self._stores.append(Store(by, place))
            self._timeline.interrupt()

    def _on_block(self, address: int, _size: int) -> None:
        if self._quiet and self._hit_ns is None and self._spaces and self._blocks.may_touch(address, self._spaces):
            self._hit(0)

    def _hit(self, instructions: int) -> None:
        machine = self._timeline.machine
        self._hit_ns = machine.clock.now_ns - instructions * machine.configuration.ns_per_instruction
        self._timeline.interrupt()

    # In steps

    def _step(self) -> bool | None:
        """Execute a step. Return whether it touched the secret; None at the end of the run."""
        timeline, machine = self._timeline, self._timeline.machine
        cpu, subject = machine.cpu, timeline.subject
        registers, hook = cpu.registers, cpu.hook
        before, rip, retired, seen = timeline.now, registers.linear_rip, hook.retired, timeline.seen
        in_guest, long = subject.in_guest, registers.in_64_bit_code
        code = b"" if machine.halted or in_guest else cpu.code.at(rip)
        resolved = self._transfers.resolved(code, rip, long) if code and self._may_touch(code, rip, long) else None
        holding = self._buffers.holding
        if in_guest:
            self._guests.before()
        self._stores.clear()
        self._reads.clear()
        if not timeline.step():
            return None
        new = timeline.monitor.events[seen : timeline.seen]
        delivered = any(isinstance(event, InterruptDelivered) for event in new)
        executed = hook.retired > retired and hook.last == rip
        step = Step(
            *(before, timeline.now, rip, code, long, in_guest, executed, delivered, seen, timeline.seen),
            *self._accesses,
        )
        touched = in_guest
        if in_guest and self._guests.is_concerned:
            self._follow_guest(step, called=any(isinstance(event, HostCalled) for event in new))
        elif in_guest and executed:
            self._clear_call(step)
        elif executed and resolved is not None:
            touched = self._follow_instruction(step, resolved)
            self._follow_devices(step, resolved, holding)
        return self._follow_others(step) or touched

    def _may_touch(self, code: bytes, rip: int, long: bool) -> bool:
        if uses_memory(code, rip, long):
            return True
        used = registers_of(code, rip, long)
        spaces = self._taint.spaces
        return used is None or any(spaces.get(space) for space in used)

    def _follow_instruction(self, step: Step, resolved: Resolved) -> bool:
        taint, found = self._taint, resolved.found
        if resolved.effects is not None:
            assert found is not None
            if self._flow.touches(resolved.effects):
                self._flow.apply(self._transfers.by_instruction(step, resolved), step.after)
                return True
            if not any(taint.touches(one) for one in (*found.reads, *step.reads)):
                return False
            met = Met.SENT if found.name.startswith(("out", "wrmsr")) else Met.COMPUTED
            taint.meet(met, Maker(named(self._timeline, step.rip), found.text), step.after)
            return True
        read = tuple(Input((one,)) for one in step.reads)
        resolved = Resolved(found, None, (*resolved.inputs, *read))
        transfer = self._transfers.by_instruction(step, resolved)
        if not self._flow.touches(transfer.effects) and not any(map(self._flow.is_labelled, resolved.inputs)):
            return False
        self._flow.apply(transfer, step.after)
        return True

    def _follow_devices(self, step: Step, resolved: Resolved, holding: frozenset[int]) -> None:
        places = [store.place for store in step.stores if store.place.start >= self._ram_bytes]
        for page in sorted({place.start & -PAGE_SIZE for place in places}):
            if page in holding or any(byte & -PAGE_SIZE == page for byte in self._taint.in_devices):
                text = None if resolved.found is None else resolved.found.text
                by = Maker(named(self._timeline, step.rip), text)
                self._buffers.settle(page, step.after, by, places, held=page in holding)

    def _follow_guest(self, step: Step, *, called: bool) -> None:
        self._guests.after(step.before, departed=step.executed, called=called)
        if step.executed:
            transfer = self._transfers.by_guest(step)
            self._timeline.go_to(step.after)
            self._flow.apply(transfer, step.after)

    def _clear_call(self, step: Step) -> None:
        for name in ("rax", "rcx", "rdi"):
            self._taint.clear(Place(name, 0, 8), step.after, Maker("the guest, at the gate"))

    def _follow_others(self, step: Step) -> bool:
        """Follow what devices, inputs and the processor did, and events. Return whether they touched the secret."""
        touched = False
        events: list[Event] = self._timeline.monitor.events[step.seen : step.seen_after]
        marked = [event for event in events if isinstance(event, _OF_INTEREST)]
        if step.delivered or marked or any(store.by is not None for store in step.stores):
            for transfer in self._transfers.by_others(step):
                if self._flow.touches(transfer.effects):
                    self._flow.apply(transfer, step.after)
                    touched = True
        if step.delivered and any(self._taint.spaces.values()):
            self._note_address(step, events)
        for event in marked:
            self._guests.noticed(event, Maker(named(self._timeline, step.rip)))
        return touched

    def _note_address(self, step: Step, events: list[Event]) -> None:
        """Label CR2 after a page fault at an address that the secret itself is."""
        if any(isinstance(event, InterruptDelivered) and event.vector == _PAGE_FAULT for event in events):
            by = Maker(named(self._timeline, step.rip), "page fault")
            for byte, label in enumerate(self._flow.by_value([_CR2])):
                self._taint.put(_CR2.space, byte, label, step.after, by)
