"""The stack from RSP upwards, with decoded frames of the interrupts being handled (SDM volume 3, 6.14.2)."""

from collections.abc import Callable
from dataclasses import dataclass

import firmware
from enclave_sim.enclave.kernel.program import Program
from enclave_sim.inspector.model import bits
from enclave_sim.inspector.model.machine.addresses import translation
from enclave_sim.inspector.model.moment import Moment
from enclave_sim.inspector.model.rows import Meaning, Part, Row, Target, View, note, title
from enclave_sim.specification import describe_exception
from machine.bus.ram import PAGE_SIZE
from machine.events import InterruptDelivered, InterruptRaised, InterruptReturned, RingTransition

_MAX_WORDS = 256
_DEEPEST = 64
_FRAME = ("RIP", "CS", "RFLAGS", "RSP", "SS")
_PAGE_FAULT = 14


@dataclass(frozen=True, slots=True)
class InterruptFrame:
    """The frame pushed by the processor for an interrupt whose handler has not returned."""

    vector: int
    source: str
    error_code: int | None
    base: int
    """The linear address of the lowest word: the error code, or RIP."""
    seq: int
    """The number of the event of its delivery."""

    @property
    def words(self) -> dict[int, str]:
        """The names of the words, by linear address."""
        names = ("error code", *_FRAME) if self.error_code is not None else _FRAME
        return {self.base + 8 * index: name for index, name in enumerate(names)}


def open_frames(moment: Moment) -> list[InterruptFrame]:
    """Return the frames of the interrupts that are being handled, the innermost first."""
    log, seen = moment.log, moment.seen
    kinds = ("interrupt_delivered", "interrupt_returned", "ring_transition")
    places = sorted({seq for kind in kinds for seq in log.of_kind(kind, seen)[-_DEEPEST:]})
    frames: list[InterruptFrame] = []
    for seq in places:
        event = log.events[seq]
        if isinstance(event, InterruptDelivered):
            frames.append(_frame(moment, event))
        elif frames and (
            isinstance(event, InterruptReturned)
            or (isinstance(event, RingTransition) and event.to_ring > event.from_ring)
        ):
            frames.pop()
    return frames[::-1]


def _frame(moment: Moment, event: InterruptDelivered) -> InterruptFrame:
    raised = moment.log.last("interrupt_raised", event.seq)
    if not isinstance(raised, InterruptRaised):
        return InterruptFrame(event.vector, "interrupt", None, event.stack, event.seq)
    return InterruptFrame(event.vector, raised.source, raised.error_code, event.stack, event.seq)


def stack_view(moment: Moment) -> View:
    """Return the words from RSP to the end of the stack."""
    machine, program = moment.machine, moment.program
    state = machine.cpu.registers
    width = 8 if state.in_64_bit_code else 4
    top = state.rsp if width == 8 else state.ss.base + state.rsp & 0xFFFF_FFFF
    physical = translation(machine)
    base, below = physical(top), physical(top - 1)
    if base is None and below is not None and (empty := program.region_at(below)) is not None:
        return View((note(f"the stack is empty: RSP, {top:#x}, is its end"),), None, empty.name)
    if base is None:
        return View((note(f"nothing is mapped at RSP, {top:#x}"),))
    where = program.region_at(base)
    left = where.end - base if where is not None else PAGE_SIZE - base % PAGE_SIZE
    end = top + min(_MAX_WORDS * width, left)
    frames = [one for one in open_frames(moment) if top <= one.base < end]
    rows = _frame_head(frames, _vector_words(moment))
    names = {address: name for one in frames for address, name in one.words.items()}
    for address in range(top, end, width):
        data = machine.ram.read(base + address - top, width)
        words = _Word(address, base + address - top, int.from_bytes(data, "little"), 2 * width, names.get(address))
        rows.append(_row(program, words, frames[0] if frames else None, is_top=address == top))
    in_use = f"{end - top} bytes in use" if where is not None else ""
    if top == end or not rows:
        rows.append(note("the stack is empty"))
    return View(tuple(rows), 0, f"{where.name if where is not None else 'not a stack of the kernel'} {in_use}".strip())


def _frame_head(frames: list[InterruptFrame], words: Callable[[int], str]) -> list[Row]:
    if not frames:
        return [Row((("no interrupt is being handled on this stack", Meaning.DIM),))]
    return [
        title(f"{one.source} {one.vector:#x} ({words(one.vector)}) is being handled; its frame is at {one.base:#x}")
        for one in frames
    ]


def _vector_words(moment: Moment) -> Callable[[int], str]:
    """Return a function that names a vector: exceptions as in the manual, others by their use in the kernel."""
    prefix = "VECTOR_"
    known: dict[int, str] = {}
    if moment.enclave is not None:
        layout = firmware.layout()
        names = (name for name in layout if name.startswith(prefix))
        known = {layout[name]: name.removeprefix(prefix).lower().replace("_", " ") for name in names}
    return lambda vector: known.get(vector) or describe_exception(vector)


@dataclass(frozen=True, slots=True)
class _Word:
    address: int
    """The linear address."""
    physical: int
    value: int
    digits: int
    name: str | None
    """The name of the word in a frame."""


def _row(program: Program, one: _Word, frame: InterruptFrame | None, *, is_top: bool) -> Row:
    mark, value = ">" if is_top else " ", one.value
    parts: list[Part] = [
        (f"{mark}{one.address:08x} ", Meaning.HERE if is_top else Meaning.DIM),
        (f"{value:0{one.digits}x}", Meaning.PLAIN if value else Meaning.DIM),
    ]
    if one.name is not None:
        words = _frame_words(program, one.name, value, frame)
        parts += [(f" {one.name:<10}", Meaning.TITLE), (f" {words}", Meaning.NAME)]
    else:
        name = program.symbol(value)
        words = f"return to {name}" if program.is_code(value) and "+" in name else program.place(value)
        parts.append((f" {words}", Meaning.NAME))
    code = value if program.is_code(value) else None
    return Row(tuple(parts), Target(code=code, memory=one.physical, size=8))


def _frame_words(program: Program, name: str, value: int, frame: InterruptFrame | None) -> str:
    if name in ("CS", "SS"):
        return bits.selector(value)
    if name == "RFLAGS":
        return bits.flags(value)
    if name == "error code":
        if frame is not None and frame.vector == _PAGE_FAULT:
            return ", ".join(bits.names_of(value, bits.PAGE_FAULT)) or "not present, read, supervisor"
        return "none" if not value else f"selector {value & ~7:#x}, bits {value & 7}"
    return program.place(value)
