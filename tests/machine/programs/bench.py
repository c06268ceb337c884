"""Runs programs on one machine that is reset for each: no boot loader, no kernel, over a thousand per second."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from machine.architecture.exceptions import DB
from machine.bus.bus import Device
from machine.bus.ram import PAGE_SIZE, Ram, RamImage
from machine.events import Event, InterruptRaised
from machine.machine import Machine, MachineConfiguration, Outcome
from machine.processor.cpu import EFER_LMA, FLAG_AC
from machine.processor.step_hook import HookState
from machine.snapshot import MachineSnapshot
from tests.machine.programs import layout, startup, tables
from tests.machine.programs.program import GENERAL, Access, Change, End, Mode, Program, Result
from tests.machine.programs.state import read_state
from tests.oracle.random_programs.program import fx_fields

_NO_CODE, _ZEROS = b"\xcc" * PAGE_SIZE, bytes(2 * PAGE_SIZE)
_XMM8 = 288
"""Offset of XMM8 in an FXSAVE image."""
_NO_DEBT = 1 << 62
_MAX_DMA = 256
_LONGEST = 15
_SAVING, _BOOTING = 10, 100
"""More than the instructions that save the state of x87 and SSE, or those of the start."""
_FILL = {
    physical: layout.END * (PAGE_SIZE // 2)
    for page in layout.PAGES
    for physical in page.physical
    if page.name not in ("code", "data", "stack", "device")
}
"""The content of the other pages: any jump there ends the program."""
_NAMES = {
    physical: (page.name, index * PAGE_SIZE)
    for page in (*layout.PAGES, layout.KERNEL_PAGES)
    for index, physical in enumerate(page.physical)
}


def _kernel_physical(linear: int) -> int:
    page, offset = divmod(linear - layout.KERNEL, PAGE_SIZE)
    return layout.KERNEL_PAGES.physical[page] + offset


_SCRATCH = {_kernel_physical(linear) for linear in (layout.PARAMETERS, layout.INTERRUPT_STACK)}
_FX_OUT = _kernel_physical(layout.FX_OUT)
_END = {
    Outcome.HALTED: End.HALTED,
    Outcome.SHUTDOWN: End.SHUTDOWN,
    Outcome.LIMIT: End.LIMIT,
    Outcome.STOPPED: End.LIMIT,
}
_CHANGED = re.compile(rb"[^\0]+")


class DeviceRegisters(Device):
    """Registers that read as their offset and store nothing but for direct memory access; each access is noted."""

    STATE = ("accesses", "target")
    WIRING = ("_ram", "_hook", "masters_bus", "began")

    def __init__(self, ram: Ram, hook: HookState) -> None:
        super().__init__()
        self._ram = ram
        self._hook = hook
        self.began = 0
        """The number of instructions that were retired before the program."""
        self.accesses: list[Access] = []
        self.target = 0
        """The physical address for direct memory access."""
        self.masters_bus = False
        """True with `Program.peripherals`."""

    def read(self, offset: int, size: int) -> int:
        self.accesses.append(Access(offset, size, None))
        if self.masters_bus and offset == layout.CLOCK:
            return self._hook.retired - self.began & (1 << 8 * size) - 1
        return int.from_bytes(bytes((offset + index) & 0xFF for index in range(size)), "little")

    def write(self, offset: int, size: int, value: int) -> None:
        self.accesses.append(Access(offset, size, value))
        if not self.masters_bus:
            return
        if offset == layout.DMA_ADDRESS:
            self.target = value % (layout.RAM_SIZE - _MAX_DMA)
        elif offset == layout.DMA_WRITE:
            self._ram.write(self.target, value.to_bytes(size, "little"))
        elif offset == layout.DMA_ZERO:
            self._ram.zero(self.target, value % _MAX_DMA)


class _LastRaised:
    """Keeps the last raised interrupt."""

    def __init__(self) -> None:
        self.interrupt: InterruptRaised | None = None

    def record(self, event: Event) -> None:
        if isinstance(event, InterruptRaised):
            self.interrupt = event


@dataclass(frozen=True)
class _Start:
    """The machine at startup.LAUNCH, and the RAM that no program changes."""

    snapshot: MachineSnapshot
    fixed: tuple[tuple[int, bytes], ...]
    code_segment: tuple[int, int, int, int]
    stack_segment: tuple[int, int, int, int]
    control: dict[int, int]
    """CR0, CR3 and CR4 while the code in ring 0 runs."""


class Bench:
    """One machine, which runs programs in one of several equivalent ways.

    Args:
        portable: Do not use the native instruction hook.
        stepping: Make the hook always step.
        piecewise: Stop after each so many instructions of a program; 0 for no stops.
        observed: Observe memory accesses.
        by_block: Count by block wherever that is possible.
        moving: At each of these stops, continue in another machine, from a snapshot.
        without_pointers: In protected mode, remove the page-directory pointers from memory after they were loaded.
    """

    def __init__(
        self,
        *,
        portable: bool = False,
        stepping: bool = False,
        piecewise: int = 0,
        observed: bool = False,
        by_block: bool = False,
        moving: bool = False,
        without_pointers: bool = False,
    ) -> None:
        self._without_pointers = without_pointers
        self._last = _LastRaised()
        self.machine = Machine(MachineConfiguration(layout.RAM_SIZE, portable=portable, engines=False), self._last)
        if stepping:
            self.machine.cpu.hook.credit = 0
        if by_block:
            self.machine.cpu.hook.credit, self.machine.cpu.hook.warm_up = _NO_DEBT, 0
        self._piecewise = piecewise
        self.interrupt_requested = False
        """Whether the last program was interrupted at `Program.interrupt_at`."""
        if observed:
            self.machine.cpu.watch_memory(range(layout.RAM_SIZE), lambda _writes, _physical, _size: None)
        self._device = DeviceRegisters(self.machine.ram, self.machine.cpu.hook)
        self.machine.bus.attach_memory(self._device, layout.DEVICE_PHYSICAL)
        self._other = Bench(portable=portable, stepping=stepping, by_block=by_block) if moving else None
        self._pristine = self.machine.snapshot()
        self._starts: dict[tuple[Mode, int, int, int, int, bool], _Start] = {}

    def run(self, program: Program, *, floating_point: bool = True) -> Result:
        """Run one program. Raises ValueError for a program that does not fit into its pages.

        Without `floating_point` the result has no x87 and SSE state, and takes half the time.
        """
        machine, registers = self.machine, self.machine.cpu.registers
        start = self._start(program)
        ram = RamImage((*start.fixed, *_memory(program)))
        machine.restore(msgspec.structs.replace(start.snapshot, ram=ram))
        self._device.masters_bus = program.peripherals
        self._last.interrupt = None
        values = _general_registers(program)
        for name, value in zip(GENERAL, values, strict=True):
            setattr(registers, name.lower(), value)
        registers.rsp = layout.FRAME
        registers.fs.base, registers.gs.base = program.fs_base, program.gs_base
        began = self._device.began = machine.cpu.hook.retired + startup.launch_length(program.cr0)
        if program.mode is Mode.PROTECTED and program.ring == 0:  # IRET within a ring leaves the stack alone
            machine.run(began)
            registers.rsp = values[4]
        self.interrupt_requested = program.interrupt_at is not None and self._interrupt(began + program.interrupt_at)
        outcome = self._run(began, began + program.limit)
        result = self._result(outcome, ram, self.machine.cpu.hook.retired - began)
        if floating_point:
            result.registers.update(fx_fields(self._fx_image(program, start)))
        return result

    @property
    def raised_exception(self) -> bool:
        """Whether the last interrupt that the last program raised was an exception."""
        raised = self._last.interrupt
        return raised is not None and raised.source == "exception"

    def code_to_page_end(self, address: int) -> bytes:
        """Return at most 15 bytes of code at an address, to the end of its page; empty outside pages of code."""
        for page in layout.PAGES:
            index, offset = divmod(address - page.linear, PAGE_SIZE)
            if page.executable and 0 <= index < len(page.physical):
                return self.machine.ram.read(page.physical[index] + offset, min(_LONGEST, PAGE_SIZE - offset))
        return b""

    def _interrupt(self, at: int) -> bool:
        """Request an interrupt at a time, unless the program ends before.

        Returns False if it does, or if the machine has raised a fault of the next instruction.
        """
        if self.machine.run(at) is not Outcome.LIMIT:
            return False
        self.machine.request_interrupt(layout.ROUND_TRIP_VECTOR)
        raised = self._last.interrupt
        return not (self.raised_exception and raised is not None and raised.vector != DB and raised.at_ns == at)

    def _run(self, began: int, limit: int) -> Outcome:
        machine, outcome = self.machine, Outcome.LIMIT
        while self._piecewise and outcome is Outcome.LIMIT and machine.clock.now_ns < limit:
            outcome = machine.run(min(limit, max(began, machine.clock.now_ns + self._piecewise)))
            if self._other is not None:
                self._move(self._other)
                machine = self.machine
        return machine.run(limit) if outcome is Outcome.LIMIT else outcome

    def _move(self, other: "Bench") -> None:
        """Continue in the machine of another bench, which gets this one's."""
        other.machine.restore(self.machine.snapshot())
        other._device.masters_bus, other._device.began = self._device.masters_bus, self._device.began
        self.machine, other.machine = other.machine, self.machine
        self._device, other._device = other._device, self._device
        self._last, other._last = other._last, self._last
        self._last.interrupt = other._last.interrupt

    def _start(self, program: Program) -> _Start:
        selector = program.selector
        if selector is None:
            selector = startup.data_selector(program.mode, program.ring)
        key = program.mode, program.ring, selector, program.cr0, program.cr4, program.peripherals
        if key not in self._starts:
            self._starts[key] = self._boot(*key)
        return self._starts[key]

    def _boot(self, mode: Mode, ring: int, selector: int, cr0: int, cr4: int, peripherals: bool) -> _Start:
        """Run the processor to `startup.LAUNCH`, and remove everything needed only for that."""
        machine = self.machine
        machine.restore(self._pristine)
        page = startup.startup_page(mode, selector, cr0)
        kernel = tables.kernel_pages(long=mode is not Mode.PROTECTED, startup=page, peripherals=peripherals)
        machine.ram.write(layout.BOOT, startup.boot_page(mode, cr0, cr4))
        machine.ram.write(layout.TABLES, tables.page_tables(ring, boot=True))
        machine.ram.write(layout.KERNEL_PAGES.physical[0], kernel)
        machine.start(layout.BOOT, {})
        while machine.cpu.rip != startup.LAUNCH:
            if machine.step() is not None or machine.clock.now_ns > _BOOTING:
                wanted = f"CR0 {cr0:#x}, CR4 {cr4:#x} and selector {selector:#x}"
                raise ValueError(f"the processor does not start with {wanted}")
        changed = machine.ram.read(layout.KERNEL_PAGES.physical[0], len(kernel))  # LTR marks the task as busy
        kernel_at = layout.KERNEL_PAGES.physical[0]
        hidden = self._without_pointers and mode is Mode.PROTECTED
        page_tables = tables.page_tables(ring, pointers=not hidden)
        fixed = ((layout.TABLES, page_tables), (kernel_at, changed), *_FILL.items())
        cs, ss = machine.cpu.registers.cs, machine.cpu.registers.ss
        code, stack = ((one.selector, one.base, one.limit, one.flags) for one in (cs, ss))
        control = {number: machine.cpu.registers.cr[number] for number in (4, 0)} | {3: machine.cpu.registers.cr3}
        snapshot = msgspec.structs.replace(machine.snapshot(), ram=RamImage(fixed))
        return _Start(snapshot, fixed, code, stack, control)

    def _result(self, outcome: Outcome, ram: RamImage, retired: int) -> Result:
        machine = self.machine
        state = read_state(machine.cpu)
        end, vector, error_code = _END[outcome], None, None
        if machine.halted:
            end = End.HALTED
            at = state["RIP"] - 1 - layout.HANDLERS
            vector, within = divmod(at, layout.HANDLER_SIZE)
            if within or state["CPL"] or not self._delivered(vector):
                vector = None
            else:
                end = End.DONE if vector == layout.END_VECTOR else End.TAKEN
                error_code = self._unwind(state, vector)
                retired -= 1
        memory = tuple(sorted(_changes(machine.ram, ram)))
        accesses = tuple(self._device.accesses)
        return Result(end, None if end is End.DONE else vector, error_code, state, memory, accesses, retired)

    def _delivered(self, vector: int) -> bool:
        """Whether the handler of a vector was entered by an interrupt; ring 0 may also jump there."""
        raised = self._last.interrupt
        entered = raised is not None and raised.vector == vector
        return entered or vector in (layout.CALL_GATE_VECTOR, layout.TASK_VECTOR)

    def _unwind(self, state: dict[str, int], vector: int) -> int | None:
        """Copy the handler's frame into the state. Returns the error code, if one was pushed."""
        if vector == layout.TASK_VECTOR or (vector == layout.CALL_GATE_VECTOR and not self._on_kernel_stack(state)):
            return None
        raised = self._last.interrupt
        interrupted = raised if vector < 256 else None
        with_error = interrupted is not None and interrupted.error_code is not None
        width = 8 if state["EFER"] & EFER_LMA else 4
        words = self._words(state["RSP"], width)
        error_code = next(words) if with_error else None
        state["RIP"], state["CS"] = next(words), next(words) & 0xFFFF
        if vector != layout.CALL_GATE_VECTOR:
            state["RFLAGS"] = next(words)
        ring = state["CS"] & 3 if interrupted is None else interrupted.ring  # the frame may be outside RAM
        if width == 8 or ring:
            state["RSP"], state["SS"] = next(words), next(words) & 0xFFFF
        else:
            state["RSP"] += 4 * (3 + with_error)
        return error_code

    @staticmethod
    def _on_kernel_stack(state: dict[str, int]) -> bool:
        """Whether there may be a frame: a JMP through a call gate leaves none, nor does ring 0 change its stack."""
        return layout.INTERRUPT_STACK <= state["RSP"] < layout.INTERRUPT_STACK_TOP

    def _words(self, address: int, width: int) -> Iterator[int]:
        """The words on a kernel stack, from `address` up."""
        while True:
            yield int.from_bytes(self.machine.cpu.memory.read(address, width, FLAG_AC), "little")
            address += width

    def _fx_image(self, program: Program, start: _Start) -> bytes:
        """The image stored by FXSAVE, executed on the machine in ring 0, with CR0.TS and EM clear."""
        machine, cpu, registers = self.machine, self.machine.cpu, self.machine.cpu.registers
        machine.restore(msgspec.structs.replace(start.snapshot, processor=cpu.save_state()))
        cpu.rflags = 2
        registers.cs.load(*start.code_segment)
        for segment in (registers.ss, registers.ds):
            segment.load(*start.stack_segment)
        for number in (4, 0):
            if registers.cr[number] != start.control[number]:
                cpu.write_register(f"CR{number}", start.control[number])
        cpu.engine.paging.load_cr3(start.control[3])
        cpu.set_privilege(0)
        registers.rip = startup.SAVE
        outcome = machine.run(machine.clock.now_ns + _SAVING)
        if outcome is not Outcome.HALTED:
            raise RuntimeError(f"the state of x87 and SSE cannot be saved: {outcome}")
        image = machine.ram.read(_FX_OUT, 512)
        if program.mode is Mode.PROTECTED:  # where FXSAVE has only eight XMM registers
            return image[:_XMM8] + program.fx[_XMM8:]
        return image


def _general_registers(program: Program) -> tuple[int, ...]:
    if program.mode is Mode.LONG:
        return program.registers
    return (*(value & 0xFFFF_FFFF for value in program.registers[:8]), *[0] * 8)


def _pages(name: str, content: bytes, fill: bytes) -> Iterator[tuple[int, bytes]]:
    """The pages of a kind, each with its physical address."""
    page = next(page for page in layout.PAGES if page.name == name)
    size = len(page.physical) * PAGE_SIZE
    if len(content) > size:
        raise ValueError(f"{len(content)} bytes of {name}; there is room for {size}")
    content += fill[len(content) : size]
    return ((at, content[index * PAGE_SIZE :][:PAGE_SIZE]) for index, at in enumerate(page.physical))


def _memory(program: Program) -> Iterator[tuple[int, bytes]]:
    """The RAM content specific to this program."""
    code = program.code + layout.END
    yield from _pages("code", code, _NO_CODE)
    yield from _pages("data", program.data, _ZEROS)
    yield from _pages("stack", program.stack, _ZEROS)
    values = _general_registers(program)
    frame = startup.frame(program.mode, program.ring, values[0], values[4], program.rflags)
    parameters = program.fx.ljust(layout.FRAME - layout.FX_IN, b"\0") + frame
    yield _FX_OUT & -PAGE_SIZE, parameters.ljust(PAGE_SIZE, b"\0")


def _changes(ram: Ram, before: RamImage) -> Iterator[Change]:
    """Changed memory, except the pages that running a program always uses."""
    for physical in ram.changed_pages(before):
        if physical in _SCRATCH:
            continue
        old = next(
            (data[physical - at :][:PAGE_SIZE] for at, data in before.runs if 0 <= physical - at < len(data)), _ZEROS
        )
        new = ram.read(physical, PAGE_SIZE)
        difference = (int.from_bytes(old, "little") ^ int.from_bytes(new, "little")).to_bytes(PAGE_SIZE, "little")
        name, offset = _NAMES.get(physical, ("page tables", physical - layout.TABLES))
        for found in _CHANGED.finditer(difference):
            yield Change(name, offset + found.start(), new[found.start() : found.end()])
