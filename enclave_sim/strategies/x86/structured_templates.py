"""Templates of accesses, branches, returns and exceptions, with interesting operands."""

from enclave_sim.strategies.x86.encoding import RAX, RCX, RDI, RSP, load, memory, push_value, registers
from enclave_sim.strategies.x86.operands import FLAGS, Decisions, address, flags, pick, register, selector
from enclave_sim.strategies.x86.template import Encode, Template


def _interrupt_return(draw: Decisions) -> bytes:
    """Encode IRETQ with a forged frame."""
    code_selector, rip = selector(draw), address(draw)
    words = (selector(draw), address(draw), flags(draw), code_selector, rip)
    return b"".join(map(push_value, words)) + b"\x48\xcf"


def _far_return(draw: Decisions) -> bytes:
    return push_value(selector(draw)) + push_value(address(draw)) + b"\x48\xcb"


def _flags(draw: Decisions) -> bytes:
    return push_value(flags(draw)) + b"\x9d"


def _one_flag(draw: Decisions) -> bytes:
    return push_value(2 | pick(draw, tuple(FLAGS.values()))) + b"\x9d"


def _point(draw: Decisions) -> bytes:
    return load(register(draw), address(draw))


def _access(opcode: bytes, prefix: bytes = b"") -> Encode:
    """Return an encoder of a load or store at a picked address. Its base is not RSP, so that the stack stays valid."""

    def encode(draw: Decisions) -> bytes:
        base = register(draw)
        base = RAX if base == RSP else base
        operand = register(draw) & (7 if prefix else 15)
        return load(base, address(draw)) + memory(opcode, operand, base, wide=not prefix, prefix=prefix)

    return encode


def _self_modifying(draw: Decisions) -> bytes:
    """Encode a store relative to RIP: into the code before or after it."""
    return b"\x48\x89\x05" + (draw() - 128).to_bytes(4, "little", signed=True)


def _jump(extension: int) -> Encode:
    """Return an encoder of a near indirect CALL or JMP to a picked address."""
    return lambda draw: load(RAX, address(draw)) + registers(b"\xff", extension, RAX, wide=False)


def _short(opcode: int) -> Encode:
    """Return an encoder of a short branch, mostly forwards."""
    return lambda draw: bytes([opcode, (draw() % 40 - 8) & 0xFF])


def _condition(draw: Decisions) -> bytes:
    return bytes([0x70 | draw() & 15, (draw() % 40 - 8) & 0xFF])


def _repeat(draw: Decisions) -> bytes:
    """Encode a string instruction over a long or wrapping range."""
    operations = (b"\xf3\xaa", b"\xf3\x48\xab", b"\xf3\xa4", b"\xf3\x48\xa5", b"\xf3\xa6", b"\xf2\xae", b"\xf3\xac")
    count = (1, 8, 0x1000, 0x100000, (1 << 64) - 1)[draw() % 5]
    return load(RDI, address(draw)) + load(RCX, count) + operations[draw() % len(operations)]


def _media_control(draw: Decisions) -> bytes:
    """Encode LDMXCSR with some exceptions unmasked, then a division that may raise one."""
    place = draw.places.scratch + 0x100
    store = load(RCX, 0x1F80 ^ (draw() & 0x3F) << 7) + load(RAX, place) + memory(b"\x89", RCX, RAX, wide=False)
    return store + memory(b"\x0f\xae", 2, RAX, wide=False) + b"\x0f\x5e\xc1"


def _float_control(draw: Decisions) -> bytes:
    """Encode FLDCW with some exceptions unmasked, then a division by zero, and FWAIT, which reports it."""
    place = draw.places.scratch + 0x100
    store = load(RCX, 0x37F ^ draw() & 0x3F) + load(RAX, place) + memory(b"\x89", RCX, RAX, wide=False)
    return store + memory(b"\xd9", 5, RAX, wide=False) + b"\xd9\xe8\xd9\xee\xde\xf9\x9b"


def _bytes(draw: Decisions) -> bytes:
    """Encode random bytes."""
    return bytes(draw() for _ in range(1 + draw() % 4))


STRUCTURED = (
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
