"""Runs programs on QEMU, on Bochs and on our machine: as many in one boot as the boot loader's memory disk holds."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path

from tests.oracle import bochs, ours, qemu
from tests.oracle.image import Image, build
from tests.oracle.protected_programs.forms import SystemForm
from tests.oracle.protected_programs.layout import number
from tests.oracle.protected_programs.programs import SystemCase, case

HERE = Path(__file__).parent
_MOST = 1000
_LIMIT_NS = 4_000_000_000
_GENERAL = ("EAX", "ECX", "EDX", "EBX", "ESP", "EBP", "ESI", "EDI")
_TASK = (
    *("back link", "ESP0", "SS0", "ESP1", "SS1", "ESP2", "SS2", "task CR3", "EIP", "EFLAGS", *_GENERAL),
    *("ES", "CS", "SS", "DS", "FS", "GS", "task LDTR", "I/O map"),
)
State = dict[str, int]
"""Fields by name: the task's registers, what ended it, control and table registers; memory by 8 bytes."""


@dataclass(frozen=True)
class Ended:
    """The states in which one program ended."""

    case: SystemCase
    qemu: State
    bochs: State
    ours: State


class Unfinished(Exception):  # noqa: N818
    """A machine did not finish its programs: gives the machine, its end, and the program."""


@cache
def kernel() -> Image:
    """The runner."""
    return Image(build([HERE / "kernel.S"], HERE / "link.ld"))


def make(form: SystemForm, variant: int) -> SystemCase:
    """A case for this runner."""
    return case(form, variant, (kernel().symbols["gdt"], kernel().symbols["idt"]))


def run(cases: Sequence[SystemCase]) -> Iterator[Ended]:
    """Run programs on all three. Raises Unfinished if a machine does not finish."""
    remaining = iter(cases)
    while batch := tuple(islice(remaining, _MOST)):
        image = Image(kernel().elf, modules=(("programs", _module(batch)),))
        theirs = _states(image, "QEMU", qemu.run(image, memory=True).memory, batch)
        third = _states(image, "Bochs", _on_bochs(image, len(batch)), batch)
        mine = _states(image, "our machine", ours.run(image, memory=True, limit_ns=_LIMIT_NS).memory, batch)
        yield from map(Ended, batch, theirs, third, mine)


def _on_bochs(image: Image, count: int) -> bytes | None:
    page = image.symbols["done"] & -4096
    output = range(number("OUTPUT"), number("OUTPUT") + count * number("STATE_SIZE"))
    return bochs.run(image, "finish", memory=(range(page, page + 4096), output)).memory


def _module(batch: Sequence[SystemCase]) -> bytes:
    size = number("PAGE_SIZE")
    pages = bytes(i * 7 & 0xFF for i in range(size)), bytes(i * 13 + 5 & 0xFF for i in range(size))
    return b"".join([struct.pack("<4I", len(batch), 0, 0, 0), *pages, *(one.record for one in batch)])


def _states(image: Image, machine: str, memory: bytes | None, batch: Sequence[SystemCase]) -> list[State]:
    if memory is None:
        raise Unfinished(f"{machine} ended without its memory")
    done = int.from_bytes(memory[(at := image.symbols["done"]) : at + 4], "little")
    if done != len(batch):
        text = f"{machine} ended in program {done} of {len(batch)}"
        if done < len(batch):
            text += f": {batch[done].form.name} {batch[done].variant}, {batch[done].code.hex()}"
        raise Unfinished(text)
    base, size = number("OUTPUT"), number("STATE_SIZE")
    return [unpacked(memory[base + index * size : base + (index + 1) * size]) for index in range(done)]


def unpacked(raw: bytes) -> State:
    """A state as the runner stored it."""
    names = ("vector", "error code", "interrupted", "CR0", "CR2", "CR3", "CR4")
    state: State = dict(zip(names, struct.unpack_from("<7I", raw), strict=True))
    for name, at in (("GDTR", number("STATE_GDTR")), ("IDTR", number("STATE_GDTR") + 8)):
        state[name] = int.from_bytes(raw[at : at + 6], "little")
    state |= dict(zip(_TASK, struct.unpack_from("<26I", raw, number("STATE_TASK")), strict=True))
    for name, at, size in (
        ("OTHER", number("STATE_OTHER"), number("TASK_SIZE")),
        ("OTHER_16", number("STATE_OTHER_16"), 44),
        ("LDT", number("STATE_LDT"), number("LDT_SIZE")),
        ("GDT", number("STATE_GDT"), number("GDT_SIZE")),
        ("data", number("STATE_DATA"), number("SHOWN")),
        ("stack", number("STATE_STACK"), number("SHOWN")),
    ):
        for offset in range(0, size, 4):
            state[f"{name}[{offset:#x}]"] = int.from_bytes(raw[at + offset : at + offset + 4], "little")
    return state
