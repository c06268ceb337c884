"""Templates of system instructions: privileged, or with effects that an enclave must withstand."""

from enclave_sim.strategies.x86.encoding import RAX, RCX, RDX, load, memory, push_value, registers
from enclave_sim.strategies.x86.operands import MSRS, PORTS, Decisions, address, pick, register, selector
from enclave_sim.strategies.x86.template import Encode, Template, far_pointer, fixed

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
_DESCRIPTORS = {"SGDT": 0, "SIDT": 1, "LGDT": 2, "LIDT": 3, "SMSW": 4, "LMSW": 6, "INVLPG": 7}
_STATES = {"FXSAVE": 0, "FXRSTOR": 1, "LDMXCSR": 2, "STMXCSR": 3, "XSAVE": 4, "XRSTOR": 5, "CLFLUSH": 7}
_SEGMENTS = {"SLDT": 0, "STR": 1, "LLDT": 2, "LTR": 3, "VERR": 4, "VERW": 5}
_FAR = {"far CALL": 3, "far JMP": 5}


def _group(opcode: bytes, extension: int) -> Encode:
    """Return an encoder of an instruction that reads or writes memory at a picked address."""

    def encode(draw: Decisions) -> bytes:
        base = register(draw)
        return load(base, address(draw)) + memory(opcode, extension, base, wide=bool(draw() & 1))

    return encode


def _selector(opcode: bytes, extension: int) -> Encode:
    """Return an encoder of an instruction that takes a selector in a register."""

    def encode(draw: Decisions) -> bytes:
        return load(RAX, selector(draw)) + registers(opcode, extension, RAX, wide=False)

    return encode


def _far(extension: int) -> Encode:
    """Return an encoder of an indirect far branch."""

    def encode(draw: Decisions) -> bytes:
        wide = bool(draw() & 1)
        return far_pointer(draw, wide=wide) + memory(b"\xff", extension, RAX, wide=wide)

    return encode


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
    """Return an encoder of MOV to or from a control or debug register."""
    return lambda draw: registers(opcode, register(draw), register(draw), wide=False)


def _segment_pop(draw: Decisions) -> bytes:
    return push_value(selector(draw)) + (b"\x0f\xa1" if draw() & 1 else b"\x0f\xa9")


SYSTEM = (
    *(Template(item.split()[0], fixed(bytes.fromhex(item.split()[1]))) for item in _FIXED.split(", ")),
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
