"""The guest of a student: a flat x86-64 binary, made from a few instructions, and its listing."""

from collections.abc import Iterator
from dataclasses import dataclass

from enclave_sim.labs.case import Case
from firmware import layout

CODE = layout()["STAGING_BASE"]
"""A flat payload runs here."""
STACK = layout()["GUEST_STACK_BASE"] + layout()["GUEST_STACK_SIZE"]
"""RSP at its first instruction."""
WORD = 8
IOPL = 0x3000
"""The two bits of RFLAGS that POPF cannot change in ring 3."""
_STATUS_FLAGS = (0x1, 0x4, 0x10, 0x40, 0x80, 0x400, 0x800)
_TARGETS = ("TEXT_BASE", "DATA_BASE", "ARENA_BASE", "KERNEL_STACK_BASE")


@dataclass(frozen=True)
class Instruction:
    """One instruction and its text."""

    code: bytes
    text: str


@dataclass(frozen=True)
class Guest:
    """The instructions, and the facts from which its frames follow."""

    instructions: tuple[Instruction, ...]
    pushes: int
    room: int
    """Bytes of the stack that the guest takes by LEA."""
    flags: int
    """Bits of RFLAGS that the guest tries to set."""
    address: int
    """The address whose access faults."""
    writes: bool
    """The access is a write."""
    mapped: bool
    """The address is mapped, for ring 0."""

    @property
    def code(self) -> bytes:
        """The binary."""
        return b"".join(one.code for one in self.instructions)

    def address_of(self, start: str) -> int:
        """Return the address of the only instruction whose text begins so."""
        address = CODE
        for one in self.instructions:
            if one.text.startswith(start):
                return address
            address += len(one.code)
        raise ValueError(f"there is no {start}")

    def listing(self) -> str:
        """Return the listing: address, bytes, text."""
        address, lines = CODE, []
        for one in self.instructions:
            lines.append(f"    {address:#x}:  {one.code.hex(' '):24} {one.text}")
            address += len(one.code)
        return "\n".join(lines)


def guest_of(case: Case) -> Guest:
    """Return the guest of a case."""
    pushes = case.number("pushes", 3, 40)
    flags = IOPL | sum(case.sample("flags", _STATUS_FLAGS, case.number("number of flags", 2, 5)))
    writes, mapped = bool(case.number("writes", 0, 1)), bool(case.number("mapped", 0, 1))
    if mapped:
        address = layout()[case.choose("target", _TARGETS)] + case.number("offset", 0, 0x1FF) * WORD
    else:
        address = case.number("page", 1, 0xEF) * 0x1000 + case.number("offset", 0, 0x1FF) * WORD
    instructions = tuple(_instructions(case, pushes, flags, address, writes))
    return Guest(instructions, pushes, _room(case), flags, address, writes, mapped)


def _room(case: Case) -> int:
    return case.number("room", 16, 400) * WORD


def _instructions(case: Case, pushes: int, flags: int, address: int, writes: bool) -> Iterator[Instruction]:
    for number in range(pushes):
        value = case.number(f"push {number}", 1, 0x7F)
        is_long = bool(case.number(f"length of push {number}", 0, 1))
        code = b"\x68" + value.to_bytes(4, "little") if is_long else bytes([0x6A, value])
        yield Instruction(code, f"push    {value:#x}")
    room = _room(case)
    lower = (-room).to_bytes(4, "little", signed=True)
    yield Instruction(b"\x48\x8d\xa4\x24" + lower, f"lea     rsp, [rsp - {room:#x}]")
    yield Instruction(b"\x9c", "pushfq")
    yield Instruction(b"\x48\x81\x0c\x24" + flags.to_bytes(4, "little"), f"or      qword [rsp], {flags:#x}")
    yield Instruction(b"\x9d", "popfq")
    signal = case.number("signal", 0x1000, 0xFFFF)
    yield Instruction(b"\xbf" + signal.to_bytes(4, "little"), f"mov     edi, {signal:#x}")
    yield Instruction(b"\xb8\x01\x00\x00\x00", "mov     eax, 1")
    yield Instruction(b"\xcd\x80", "int     0x80")
    encoded = address.to_bytes(4, "little")
    if writes:
        yield Instruction(b"\x89\x04\x25" + encoded, f"mov     dword [{address:#x}], eax")
    else:
        yield Instruction(b"\x8b\x04\x25" + encoded, f"mov     eax, dword [{address:#x}]")
