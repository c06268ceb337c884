"""Instructions by name, with the operands that matter: what a hostile guest in ring 3 would try.

A template makes one instruction, or the few that set up its operands and it. Two decisions pick a template, by its
class, the harmless ones first; further decisions are its operands.
"""

from collections.abc import Callable
from typing import NamedTuple

from enclave_sim.strategies.choice_bytes import Draw
from enclave_sim.strategies.x86.encoding import (
    INT_80,
    RAX,
    RCX,
    RDI,
    RDX,
    RSP,
    load,
    memory,
    pop,
    push,
    push_value,
    registers,
)
from enclave_sim.strategies.x86.operands import (
    FLAGS,
    MSRS,
    PORTS,
    Decisions,
    address,
    flags,
    pick,
    register,
    selector,
    value,
)

Encode = Callable[[Decisions], bytes]


class Template(NamedTuple):
    """A kind of instruction: what it is called, and how it is made of decisions."""

    name: str
    encode: Encode


_FIXED = (
    "CLI fa, STI fb, HLT f4, CLTS 0f06, INVD 0f08, WBINVD 0f09, WRMSR 0f30, RDMSR 0f32, RDTSC 0f31, RDTSCP 0f01f9, "
    "RDPMC 0f33, CPUID 0fa2, SYSCALL 0f05, SYSRET 480f07, SYSRET_32 0f07, SYSENTER 0f34, SYSEXIT 480f35, IRETQ 48cf, "
    "IRET cf, RET c3, RETF cb, RETFQ 48cb, INT1 f1, INT3 cc, UD2 0f0b, SWAPGS 0f01f8, MONITOR 0f01c8, MWAIT 0f01c9, "
    "XGETBV 0f01d0, XSETBV 0f01d1, VMCALL 0f01c1, VMMCALL 0f01d9, VMRUN 0f01d8, STAC 0f01cb, CLAC 0f01ca, RSM 0faa, "
    "GETSEC 0f37, RDRAND 480fc7f0, RDSEED 480fc7f8, RDFSBASE f3480faec0, WRGSBASE f3480faed8, FNINIT dbe3, FWAIT 9b, "
    "FLD1 d9e8, FLDZ d9ee, FDIVP def9, EMMS 0f77, DIVPS 0f5ec1, SQRTSS f30f51c1, PUSHFQ 9c, POPFQ 9d, LEAVE c9, "
    "XLAT d7, MOVSB a4, REP_MOVSB f3a4, REP_STOSQ f348ab, INSB 6c, REP_OUTSB f36e, STD fd, CLD fc, PAUSE f390, "
    "ENTER c8100003, INTO ce, AAM d40a, SALC d6, LOCK_NOP f090, VADDPS c5f458c1, VZEROALL c5fc77, UMONITOR f30faef0"
)
_OPERATIONS = (0x01, 0x09, 0x11, 0x21, 0x29, 0x31, 0x39, 0x85, 0x87, 0x89)
"""ADD, OR, ADC, AND, SUB, XOR, CMP, TEST, XCHG, MOV of two operands."""
_DESCRIPTORS = {"SGDT": 0, "SIDT": 1, "LGDT": 2, "LIDT": 3, "SMSW": 4, "LMSW": 6, "INVLPG": 7}
_STATES = {"FXSAVE": 0, "FXRSTOR": 1, "LDMXCSR": 2, "STMXCSR": 3, "XSAVE": 4, "XRSTOR": 5, "CLFLUSH": 7}
_SEGMENTS = {"SLDT": 0, "STR": 1, "LLDT": 2, "LTR": 3, "VERR": 4, "VERW": 5}
_FAR = {"far CALL": 3, "far JMP": 5}


def _fixed(code: bytes) -> Encode:
    return lambda _draw: code


def _host_call(draw: Decisions) -> bytes:
    """INT 80h with a number that is mostly valid, and an argument."""
    choice = draw()
    number = choice % 4 if choice < 200 else value(draw)
    return load(RAX, number) + load(RDI, value(draw)) + INT_80


def _group(opcode: bytes, extension: int) -> Encode:
    """An instruction that reads or writes memory, at an address of interest."""

    def encode(draw: Decisions) -> bytes:
        base = register(draw)
        return load(base, address(draw)) + memory(opcode, extension, base, wide=bool(draw() & 1))

    return encode


def _selector(opcode: bytes, extension: int) -> Encode:
    """An instruction that takes a selector in a register."""

    def encode(draw: Decisions) -> bytes:
        return load(RAX, selector(draw)) + registers(opcode, extension, RAX, wide=False)

    return encode


def _far_pointer(draw: Decisions, *, wide: bool) -> bytes:
    """A far pointer in memory, to which RAX points."""
    place = draw.places.scratch
    offset = load(RCX, address(draw)) + load(RAX, place) + memory(b"\x89", RCX, RAX)
    chosen = load(RCX, selector(draw)) + load(RAX, place + (8 if wide else 4))
    return offset + chosen + memory(b"\x89", RCX, RAX, wide=False) + load(RAX, place)


def _far(extension: int) -> Encode:
    """An indirect far branch."""

    def encode(draw: Decisions) -> bytes:
        wide = bool(draw() & 1)
        return _far_pointer(draw, wide=wide) + memory(b"\xff", extension, RAX, wide=wide)

    return encode


def _interrupt_return(draw: Decisions) -> bytes:
    """IRETQ through a frame of its own making."""
    code_selector, rip = selector(draw), address(draw)
    words = (selector(draw), address(draw), flags(draw), code_selector, rip)
    return b"".join(map(push_value, words)) + b"\x48\xcf"


def _far_return(draw: Decisions) -> bytes:
    return push_value(selector(draw)) + push_value(address(draw)) + b"\x48\xcb"


def _flags(draw: Decisions) -> bytes:
    return push_value(flags(draw)) + b"\x9d"


def _one_flag(draw: Decisions) -> bytes:
    return push_value(2 | pick(draw, tuple(FLAGS.values()))) + b"\x9d"


def _port(opcode: int) -> Encode:
    def encode(draw: Decisions) -> bytes:
        return load(RDX, pick(draw, PORTS)) + load(RAX, draw()) + bytes([opcode])

    return encode


def _port_immediate(opcode: int) -> Encode:
    return lambda draw: bytes([opcode, pick(draw, PORTS) & 0xFF])


def _msr(code: bytes) -> Encode:
    def encode(draw: Decisions) -> bytes:
        return load(RCX, pick(draw, MSRS)) + load(RAX, draw()) + load(RDX, draw() & 1) + code

    return encode


def _system_register(opcode: bytes) -> Encode:
    """MOV to or from a control or debug register."""
    return lambda draw: registers(opcode, register(draw), register(draw), wide=False)


def _set(draw: Decisions) -> bytes:
    return load(register(draw), value(draw))


def _point(draw: Decisions) -> bytes:
    return load(register(draw), address(draw))


def _compute(draw: Decisions) -> bytes:
    opcode = _OPERATIONS[draw() % len(_OPERATIONS)]
    return registers(bytes([opcode]), register(draw), register(draw), wide=bool(draw() & 1))


def _access(opcode: bytes, prefix: bytes = b"") -> Encode:
    """A load or store at an address of interest. The base is never RSP, so that the stack stays."""

    def encode(draw: Decisions) -> bytes:
        base = register(draw)
        base = RAX if base == RSP else base
        operand = register(draw) & (7 if prefix else 15)
        return load(base, address(draw)) + memory(opcode, operand, base, wide=not prefix, prefix=prefix)

    return encode


def _self_modifying(draw: Decisions) -> bytes:
    """A store relative to RIP: into the code before or behind it."""
    return b"\x48\x89\x05" + (draw() - 128).to_bytes(4, "little", signed=True)


def _jump(extension: int) -> Encode:
    """A near indirect CALL or JMP to an address of interest."""
    return lambda draw: load(RAX, address(draw)) + registers(b"\xff", extension, RAX, wide=False)


def _short(opcode: int) -> Encode:
    """A short branch, mostly forwards."""
    return lambda draw: bytes([opcode, (draw() % 40 - 8) & 0xFF])


def _condition(draw: Decisions) -> bytes:
    return bytes([0x70 | draw() & 15, (draw() % 40 - 8) & 0xFF])


_STACK_FORMS = (
    *map(bytes.fromhex, "50 58 669c 9c 9d e800000000 ffd0 ff30 ff10 8f00 c3 c20800 c9 c8100000 c8100003 6aff".split()),
    *map(bytes.fromhex, "0fa0 0fa1 0fa8 0fa9 ff18 48ff18 cb 48cb ca0800 cf 48cf cd80 cc".split()),
)
"""PUSH, POP, CALL, RET, ENTER, LEAVE, far CALL and RET, IRET, INT: all that uses the stack. RAX points at memory."""


def _stack(draw: Decisions) -> bytes:
    """RSP anywhere, and a use of it; RAX points at a far pointer."""
    code = _STACK_FORMS[draw() % len(_STACK_FORMS)]
    pointer = _far_pointer(draw, wide=code[0] == 0x48)
    return pointer + load(RSP, address(draw)) + code


_PREFIXES = (b"", b"\x66", b"\xf3", b"\xf2")
_MAPS = (b"", b"\x0f", b"\x0f\x38", b"\x0f\x3a")
_THREE_BYTE = {
    b"\x0f\x38": bytes.fromhex(
        "000102030405060708090a0b101415171c1d1e202122232425282a2b3031323334353738393a3b3c3d3e3f4041f0f1f6dbdcdddedf"
    ),
    b"\x0f\x3a": bytes.fromhex("08090a0b0c0d0e0f1415161720212240414244606162 63dfcc"),
}
"""The opcodes that there are in the two maps that are nearly empty."""


def _any(draw: Decisions) -> bytes:
    """Any opcode of any map, on registers or memory; what it may use without naming it holds values that matter."""
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


def _push_pop(draw: Decisions) -> bytes:
    return push(register(draw)) + pop(register(draw))


def _segment_pop(draw: Decisions) -> bytes:
    return push_value(selector(draw)) + (b"\x0f\xa1" if draw() & 1 else b"\x0f\xa9")


def _repeat(draw: Decisions) -> bytes:
    """A string instruction over a long or wrapping range."""
    operations = (b"\xf3\xaa", b"\xf3\x48\xab", b"\xf3\xa4", b"\xf3\x48\xa5", b"\xf3\xa6", b"\xf2\xae", b"\xf3\xac")
    count = (1, 8, 0x1000, 0x100000, (1 << 64) - 1)[draw() % 5]
    return load(RDI, address(draw)) + load(RCX, count) + operations[draw() % len(operations)]


def _media_control(draw: Decisions) -> bytes:
    """MXCSR with some exceptions unmasked, then a division that may raise one."""
    place = draw.places.scratch + 0x100
    store = load(RCX, 0x1F80 ^ (draw() & 0x3F) << 7) + load(RAX, place) + memory(b"\x89", RCX, RAX, wide=False)
    return store + memory(b"\x0f\xae", 2, RAX, wide=False) + b"\x0f\x5e\xc1"


def _float_control(draw: Decisions) -> bytes:
    """The x87 control word with some exceptions unmasked, then a division by zero and its report."""
    place = draw.places.scratch + 0x100
    store = load(RCX, 0x37F ^ draw() & 0x3F) + load(RAX, place) + memory(b"\x89", RCX, RAX, wide=False)
    return store + memory(b"\xd9", 5, RAX, wide=False) + b"\xd9\xe8\xd9\xee\xde\xf9\x9b"


def _bytes(draw: Decisions) -> bytes:
    """Bytes without any plan."""
    return bytes(draw() for _ in range(1 + draw() % 4))


_HARMLESS = (
    Template("NOP", _fixed(b"\x90")),
    Template("MOV value", _set),
    Template("arithmetic", _compute),
    Template("PUSH, POP", _push_pop),
    Template("host call", _host_call),
)
_SYSTEM = (
    *(Template(item.split()[0], _fixed(bytes.fromhex(item.split()[1]))) for item in _FIXED.split(", ")),
    *(Template(name, _group(b"\x0f\x01", number)) for name, number in _DESCRIPTORS.items()),
    *(Template(name, _group(b"\x0f\xae", number)) for name, number in _STATES.items()),
    *(Template(name, _selector(b"\x0f\x00", number)) for name, number in _SEGMENTS.items()),
    *(Template(name, _far(number)) for name, number in _FAR.items()),
    *(Template(f"MOV {name}", _selector(b"\x8e", i)) for i, name in enumerate(("ES", "CS", "SS", "DS", "FS", "GS"))),
    *(
        Template(f"{name} by DX", _port(code))
        for name, code in (("IN", 0xEC), ("OUT", 0xEE), ("IN", 0xED), ("OUT", 0xEF))
    ),
    *(Template(name, _port_immediate(code)) for name, code in (("IN", 0xE4), ("OUT", 0xE6))),
    Template("RDMSR of", _msr(b"\x0f\x32")),
    Template("WRMSR of", _msr(b"\x0f\x30")),
    Template("INT n", lambda draw: bytes([0xCD, draw()])),
    Template("MOV to control register", _system_register(b"\x0f\x22")),
    Template("MOV from control register", _system_register(b"\x0f\x20")),
    Template("MOV to debug register", _system_register(b"\x0f\x23")),
    Template("MOV from debug register", _system_register(b"\x0f\x21")),
    Template("POP of FS or GS", _segment_pop),
)
_STRUCTURED = (
    Template("MOV address", _point),
    Template("load", _access(b"\x8b")),
    Template("store", _access(b"\x89")),
    Template("16-byte load", _access(b"\x0f\x10")),
    Template("16-byte store", _access(b"\x0f\x11")),
    Template("aligned 16-byte store", _access(b"\x0f\x29")),
    Template("locked exchange", _access(b"\x0f\xc1", b"\xf0")),
    Template("store over code", _self_modifying),
    Template("JMP to", _jump(4)),
    Template("CALL to", _jump(2)),
    Template("short JMP", _short(0xEB)),
    Template("LOOP", _short(0xE2)),
    Template("conditional jump", _condition),
    Template("repeated string", _repeat),
    Template("POPFQ of one flag", _one_flag),
    Template("POPFQ of flags", _flags),
    Template("IRETQ to", _interrupt_return),
    Template("RETFQ to", _far_return),
    Template("SIMD exception", _media_control),
    Template("x87 exception", _float_control),
    Template("bytes", _bytes),
)
_STACK, _ANY = Template("stack at", _stack), Template("any opcode", _any)
_CLASSES = ((30, _HARMLESS), (80, _STRUCTURED), (135, (_STACK,)), (220, (_ANY,)), (256, _SYSTEM))
"""What decisions below a number choose from, the harmless first."""


def choose(draw: Draw) -> Template:
    """One of all templates. Those that stand for many instructions come often, those that mostly fault seldom."""
    choice = draw()
    known = next(templates for below, templates in _CLASSES if choice < below)
    return known[draw() % len(known)]


DISTINCT = tuple(template for _, templates in _CLASSES for template in templates)
"""Every template once."""
