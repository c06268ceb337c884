"""Which instructions the machine has to look at, and where a decoded one has its parts.

Unicorn executes nearly all instructions alone. `ACTIONS` names the others by opcode; the instruction hook stops in
front of them. `decode` finds an instruction's opcode, ModRM fields and memory operand (SDM volume 2, chapter 2).
"""

from dataclasses import dataclass
from enum import IntFlag


class Action(IntFlag):
    """Why an instruction is looked at; all are stopped at only while `HookState.watched` has them."""

    NONE = 0
    SYSTEM = 1
    """Has rules that Unicorn does not keep, or writes a register that events tell of. Always watched."""
    PORT = 2
    """IN, OUT, INS, OUTS: may be refused outside ring 0."""
    DESCRIPTOR = 4
    """SGDT, SIDT, SLDT, STR, SMSW: refused outside ring 0 when CR4.UMIP is set."""
    INTERRUPT_RETURN = 8
    """IRET: ends the blocking of NMI."""
    FLAGS = 16
    """POPF: may begin alignment checks."""
    CHANGES_CS = 32
    """May load CS: the hook compares the selector behind the instruction, watched or not."""
    PREFIX = 64
    GROUP = 128
    """The rest of the byte is a row of `GROUPS`, which the ModRM byte chooses from."""


_RETURN = Action.INTERRUPT_RETURN | Action.CHANGES_CS
_GROUP_5, _GROUP_6, _GROUP_7, _GROUP_9, _GROUP_15, _MOV_FROM_CR, _ESCAPE_1, _ESCAPE_5 = range(8)


def _one_byte() -> bytes:
    actions = dict.fromkeys([0x66, 0x67, 0xF2, 0xF3, 0x2E, 0x36, 0x3E, 0x26, 0x64, 0x65, 0xF0], Action.PREFIX)
    actions |= dict.fromkeys(range(0x40, 0x50), Action.PREFIX)  # REX; in 32-bit code INC and DEC, of one byte
    actions |= dict.fromkeys([0x6C, 0x6D, 0x6E, 0x6F, *range(0xE4, 0xE8), *range(0xEC, 0xF0)], Action.PORT)
    actions |= {0xCF: _RETURN, 0x9D: Action.FLAGS, 0xF1: Action.SYSTEM, 0xFF: Action.GROUP | _GROUP_5}
    actions |= {0xD9: Action.GROUP | _ESCAPE_1, 0xDD: Action.GROUP | _ESCAPE_5}
    actions |= dict.fromkeys([0xC4, 0xC5], Action.SYSTEM)  # VEX, or LES and LDS
    actions |= dict.fromkeys([0xCA, 0xCB, 0x9A, 0xEA], Action.CHANGES_CS)  # far RET, CALL, JMP
    return bytes(actions.get(opcode, 0) for opcode in range(256))


def _two_byte() -> bytes:
    # SYSCALL, CLTS, SYSRET, MOV DR both ways, MOV to CR, WRMSR, RDMSR, RDPMC, SYSENTER, SYSEXIT
    system = [0x05, 0x06, 0x07, 0x21, 0x22, 0x23, 0x30, 0x32, 0x33, 0x34, 0x35]
    actions = dict.fromkeys(system, int(Action.SYSTEM))
    rows = ((0x00, _GROUP_6), (0x01, _GROUP_7), (0xC7, _GROUP_9), (0xAE, _GROUP_15), (0x20, _MOV_FROM_CR))
    actions |= {opcode: Action.GROUP | row for opcode, row in rows}
    return bytes(actions.get(opcode, 0) for opcode in range(256))


def _groups() -> bytes:
    none, system, descriptor = 0, int(Action.SYSTEM), int(Action.DESCRIPTOR)
    far = int(Action.CHANGES_CS)
    in_registers = [none, none, none, none, descriptor, none, system, none]
    rows = {
        # memory forms /0 to /7, register forms /0 to /7
        _GROUP_5: [none, none, none, far, none, far, none, none] + 8 * [none],
        _GROUP_6: 2 * [descriptor, descriptor, system, system, none, none, none, none],
        _GROUP_7: [descriptor, descriptor, system, system, descriptor, none, system, system, *in_registers],
        _GROUP_9: 14 * [none] + 2 * [system],  # RDRAND, RDSEED
        _GROUP_15: [none, system, system] + 13 * [none],  # FXRSTOR, LDMXCSR
        _MOV_FROM_CR: 2 * [system, none, none, none, none, none, none, none],  # CR8 by REX.R, and CR0
        _ESCAPE_1: [*4 * [none], system, system, *10 * [none]],  # FLDENV, FLDCW
        _ESCAPE_5: [*4 * [none], system, *11 * [none]],  # FRSTOR
    }
    return b"".join(bytes(rows.get(row, 16 * [none])) for row in range(16))


ONE_BYTE, TWO_BYTE, GROUPS = _one_byte(), _two_byte(), _groups()


def action(code: bytes) -> int:
    """The `Action` of the instruction whose bytes are `code`, if there are any (step_hook.c has the same in C)."""
    if not code:
        return 0
    at = 0
    while at + 1 < len(code) and ONE_BYTE[code[at]] == Action.PREFIX:
        at += 1
    if code[at] == 0x0F and at + 1 < len(code):
        at += 1
        found = TWO_BYTE[code[at]]
    else:
        found = ONE_BYTE[code[at]]
    if not found & Action.GROUP:
        return found
    if at + 1 >= len(code):
        return 0
    modrm = code[at + 1]
    return GROUPS[(found & 15) * 16 + (modrm >> 3 & 7) + (8 if modrm >= 0xC0 else 0)]


_SEGMENT_PREFIXES = {0x26: "es", 0x2E: "cs", 0x36: "ss", 0x3E: "ds", 0x64: "fs", 0x65: "gs"}
_LOCK, _OPERAND_SIZE, _ADDRESS_SIZE = 0xF0, 0x66, 0x67
_RSP, _RBP = 4, 5


@dataclass(frozen=True, slots=True)
class MemoryOperand:
    """An effective address in parts: registers by number, or None."""

    segment: str
    base: int | None
    index: int | None
    scale: int
    displacement: int
    relative: bool
    """To the next instruction's address."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """An instruction's parts. Its length is known only where it has no immediate operand."""

    prefixes: bytes
    rex: int
    opcode: int
    """One byte, or 0x0Fxx, 0x0F38xx, 0x0F3Axx."""
    register: int
    """The reg field of ModRM, with REX.R; 0 without ModRM."""
    operand: int | MemoryOperand | None
    """The r/m field: a register number with REX.B, or memory."""
    length: int
    """Up to the end of ModRM, SIB and displacement."""

    @property
    def extension(self) -> int:
        """The reg field as an opcode extension."""
        return self.register & 7

    @property
    def locked(self) -> bool:
        """Whether it has the LOCK prefix."""
        return _LOCK in self.prefixes

    @property
    def wide(self) -> bool:
        """REX.W."""
        return bool(self.rex & 8)

    @property
    def operand_size_prefix(self) -> bool:
        """66H."""
        return _OPERAND_SIZE in self.prefixes


def _has_modrm(opcode: int) -> bool:
    if opcode > 0xFFFF:
        return True
    if opcode > 0xFF:
        second = opcode & 0xFF
        without = second in (*range(0x05, 0x0A), 0x0B, *range(0x30, 0x38), 0x77, *range(0x80, 0x90))
        return not (without or second in (0xA0, 0xA1, 0xA2, 0xA8, 0xA9, 0xAA) or 0xC8 <= second <= 0xCF)
    if opcode < 0x40:
        return opcode & 7 < 4
    return opcode in (0x62, 0x63, 0x69, 0x6B, *range(0x80, 0x90), 0xC0, 0xC1, *range(0xC4, 0xC8)) or (
        0xD0 <= opcode <= 0xD3 or 0xD8 <= opcode <= 0xDF or opcode in (0xF6, 0xF7, 0xFE, 0xFF)
    )


def decode(code: bytes, *, long: bool = True) -> Instruction | None:
    """Take an instruction apart; `long` says 64-bit mode. None where `code` ends before its operands do.

    Memory operands are decoded with 64-bit and 32-bit addressing; 16-bit addressing gives None.
    """
    at, rex = 0, 0
    try:
        while code[at] in _SEGMENT_PREFIXES or code[at] in (_LOCK, _OPERAND_SIZE, _ADDRESS_SIZE, 0xF2, 0xF3):
            at += 1
        prefixes = code[:at]
        if long and code[at] & 0xF0 == 0x40:
            rex = code[at]
            at += 1
        opcode = code[at]
        at += 1
        if opcode == 0x0F:
            opcode = 0x0F00 | code[at]
            at += 1
            if opcode in (0x0F38, 0x0F3A):
                opcode = opcode << 8 | code[at]
                at += 1
        if not _has_modrm(opcode):
            return Instruction(prefixes, rex, opcode, 0, None, at)
        modrm = code[at]
        at += 1
        register = modrm >> 3 & 7 | (rex & 4) << 1
        if modrm >= 0xC0 or 0x0F20 <= opcode <= 0x0F23:  # MOV CR and MOV DR ignore the mode
            return Instruction(prefixes, rex, opcode, register, modrm & 7 | (rex & 1) << 3, at)
        if not long and _ADDRESS_SIZE in prefixes:
            return None
        operand, at = _memory_operand(code, at, modrm, rex, prefixes, long=long)
    except IndexError:
        return None
    return Instruction(prefixes, rex, opcode, register, operand, at)


def _memory_operand(
    code: bytes, at: int, modrm: int, rex: int, prefixes: bytes, *, long: bool
) -> tuple[MemoryOperand, int]:
    mode, low = modrm >> 6, modrm & 7
    base: int | None = low | (rex & 1) << 3
    index, scale, relative = None, 1, False
    if low == _RSP:
        sib = code[at]
        at += 1
        scale = 1 << (sib >> 6)
        index = sib >> 3 & 7 | (rex & 2) << 2
        index = None if index == _RSP else index
        low = sib & 7
        base = low | (rex & 1) << 3
        if low == _RBP and mode == 0:
            base = None
    elif low == _RBP and mode == 0:
        base, relative = None, long
    width = {1: 1, 2: 4}.get(mode, 4 if base is None else 0)
    if at + width > len(code):
        raise IndexError
    displacement = int.from_bytes(code[at : at + width], "little", signed=True)
    segment = "ss" if base in (_RSP, _RBP) else "ds"
    for prefix in prefixes:
        name = _SEGMENT_PREFIXES.get(prefix, segment)
        segment = name if not long or name in ("fs", "gs") or prefix not in _SEGMENT_PREFIXES else segment
    return MemoryOperand(segment, base, index, scale, displacement, relative), at + width
