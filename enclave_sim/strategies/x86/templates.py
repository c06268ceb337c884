"""The templates for hostile guests in ring 3, by class.

Two decisions pick a template, by its class, the harmless ones first; further decisions are its operands.
"""

from enclave_sim.strategies.choice_bytes import Draw
from enclave_sim.strategies.x86.encoding import INT_80, RAX, RDI, RDX, RSP, load, pop, push, registers
from enclave_sim.strategies.x86.operands import Decisions, address, register, value
from enclave_sim.strategies.x86.structured_templates import STRUCTURED
from enclave_sim.strategies.x86.system_templates import SYSTEM
from enclave_sim.strategies.x86.template import Template, far_pointer, fixed

_OPERATIONS = (0x01, 0x09, 0x11, 0x21, 0x29, 0x31, 0x39, 0x85, 0x87, 0x89)
"""ADD, OR, ADC, AND, SUB, XOR, CMP, TEST, XCHG, MOV of two operands."""


def _host_call(draw: Decisions) -> bytes:
    """Encode INT 80h with a number that is mostly valid, and an argument."""
    choice = draw()
    number = choice % 4 if choice < 200 else value(draw)
    return load(RAX, number) + load(RDI, value(draw)) + INT_80


def _set(draw: Decisions) -> bytes:
    return load(register(draw), value(draw))


def _compute(draw: Decisions) -> bytes:
    opcode = _OPERATIONS[draw() % len(_OPERATIONS)]
    return registers(bytes([opcode]), register(draw), register(draw), wide=bool(draw() & 1))


def _push_pop(draw: Decisions) -> bytes:
    return push(register(draw)) + pop(register(draw))


_STACK_FORMS = (
    *map(bytes.fromhex, "50 58 669c 9c 9d e800000000 ffd0 ff30 ff10 8f00 c3 c20800 c9 c8100000 c8100003 6aff".split()),
    *map(bytes.fromhex, "0fa0 0fa1 0fa8 0fa9 ff18 48ff18 cb 48cb ca0800 cf 48cf cd80 cc".split()),
)
"""PUSH, POP, CALL, RET, ENTER, LEAVE, far CALL and RET, IRET, INT: all users of the stack. RAX points to memory."""


def _stack(draw: Decisions) -> bytes:
    """Encode a use of the stack with RSP at a picked address, and RAX at a far pointer."""
    code = _STACK_FORMS[draw() % len(_STACK_FORMS)]
    pointer = far_pointer(draw, wide=code[0] == 0x48)
    return pointer + load(RSP, address(draw)) + code


_PREFIXES = (b"", b"\x66", b"\xf3", b"\xf2")
_MAPS = (b"", b"\x0f", b"\x0f\x38", b"\x0f\x3a")
_THREE_BYTE = {
    b"\x0f\x38": bytes.fromhex(
        "000102030405060708090a0b101415171c1d1e202122232425282a2b3031323334353738393a3b3c3d3e3f4041f0f1f6dbdcdddedf"
    ),
    b"\x0f\x3a": bytes.fromhex("08090a0b0c0d0e0f1415161720212240414244606162 63dfcc"),
}
"""The defined opcodes in the two maps that are nearly empty."""


def _any(draw: Decisions) -> bytes:
    """Encode any opcode of any map, on registers or memory. Its implicit operands RAX and RDX hold picked values."""
    set_up = load(RAX, value(draw)) + load(RDX, value(draw))
    escape, choice = _MAPS[draw() & 3], draw()
    known = _THREE_BYTE.get(escape, range(256))
    prefix = _PREFIXES[1 if escape in _THREE_BYTE and choice & 4 else choice & 3]  # most of these need 66H
    opcode, modrm, immediate = known[draw() % len(known)], draw(), draw()
    rex = b"" if draw() & 3 else b"\x48"
    operand = (
        bytes([modrm | 0xC0]) if modrm & 0x40 else bytes([modrm & 0x3A])
    )  # through RAX, RDX or memory they point at
    return set_up + prefix + rex + escape + bytes([opcode]) + operand + bytes([immediate])


_HARMLESS = (
    Template("NOP", fixed(b"\x90")),
    Template("MOV value", _set),
    Template("arithmetic", _compute),
    Template("PUSH, POP", _push_pop),
    Template("host call", _host_call),
)
_STACK, _ANY = Template("stack at", _stack), Template("any opcode", _any)
_CLASSES = ((30, _HARMLESS), (80, STRUCTURED), (135, (_STACK,)), (220, (_ANY,)), (256, SYSTEM))
"""Classes of templates, the harmless ones first, each with a number: decisions below it choose from the class."""


def choose(draw: Draw) -> Template:
    """Choose a template. Those that cover many instructions are frequent, those that mostly fault are rare."""
    choice = draw()
    known = next(templates for below, templates in _CLASSES if choice < below)
    return known[draw() % len(known)]


DISTINCT = tuple(template for _, templates in _CLASSES for template in templates)
"""Every template once."""
