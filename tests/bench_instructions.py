"""Instructions per second on the processor's slowest paths: `python tests/bench.py instructions`.

Each figure comes with the time of a million additions, `for i in range(1_000_000): x += i` with global variables,
measured before and after in the same way: in processor time of this process.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from time import process_time

from machine.machine import Outcome
from tests.machine.programs import layout
from tests.machine.programs.bench import Bench
from tests.machine.programs.program import CR0_DEFAULT, FX_AT_RESET, GENERAL, End, Mode, Program

PROMISED, AT_MS = 50_000, 60.0
"""Instructions per second on any path, if a million additions take this long."""
_CPU_SECONDS, _FIRST_ROUND = 0.15, 400
_ADDITIONS = compile("for i in range(1_000_000): x += i", __file__, "exec")
_PAGE_ROOM = 4000
_FULL_MXCSR, _NO_MASKS = 0x1F80, 0x0000
_ONES, _HALVES = b"\0\0\x80\x3f" * 4, b"\xab\xaa\xaa\x3e" * 4
"""1.0 and 1/3, as four single numbers."""


@dataclass(frozen=True)
class Path:
    """Instructions that take one path through the machine."""

    name: str
    program: Program
    """Its code is one round."""
    straight: bool = False
    """The round is repeated to the end of the page and executed once; otherwise it is a loop."""
    before: bytes = b""
    """Executed once, before the loop."""


@dataclass(frozen=True)
class Speed:
    """The measurement of a path."""

    name: str
    per_second: float
    additions_ms: float

    @property
    def scaled(self) -> float:
        """Instructions per second if a million additions take `AT_MS`."""
        return self.per_second * self.additions_ms / AT_MS


def additions_ms() -> float:
    """Milliseconds that a million additions take."""
    begun = process_time()
    exec(_ADDITIONS, {"x": 0})
    return (process_time() - begun) * 1e3


def _registers(**values: int) -> tuple[int, ...]:
    known = {"rsp": layout.STACK_POINTER, "rsi": layout.DATA, "rdi": layout.DATA + 0x400} | values
    return tuple(known.get(name.lower(), 0) for name in GENERAL)


def _fx(mxcsr: int = _FULL_MXCSR, first: bytes = _ONES, second: bytes = _HALVES) -> bytes:
    image = bytearray(FX_AT_RESET)
    image[24:28] = mxcsr.to_bytes(4, "little")
    image[160:192] = first + second
    return bytes(image)


def _program(code: str, **fields: object) -> Program:
    program = Program(bytes.fromhex(code), ring=0, registers=_registers(), fx=_fx())
    return replace(program, **fields)  # type: ignore[arg-type]


def _in_ring_0(name: str, code: str, **fields: object) -> Path:
    return Path(name, _program(code, **fields))


def _vectors() -> Iterator[Path]:
    text = _fx(first=b"abcdefghijklmnop", second=b"ponmlkjihgfedcba")
    for name, code in (("PCMPISTRM", "62"), ("PCMPISTRI", "63"), ("PCMPESTRM", "60"), ("PCMPESTRI", "61")):
        for mode in ("00", "04", "08", "0c"):
            fields = _registers(rax=16, rdx=16)
            yield _in_ring_0(f"{name} {mode}", f"660f3a{code}c1{mode}", fx=text, registers=fields)
    yield _in_ring_0("DPPS", "660f3a40c1ff")
    yield _in_ring_0("DPPD", "660f3a41c1ff")
    yield _in_ring_0("MASKMOVDQU", "660ff7c1", fx=_fx(second=b"\xff" * 16))
    yield _in_ring_0("MASKMOVDQU, every other byte", "660ff7c1", fx=_fx(second=b"\xff\0" * 8))
    for name, code in (
        *(("ADDPS", "0f58c1"), ("MULPS", "0f59c1"), ("DIVPS", "0f5ec1"), ("SQRTPS", "0f51c1"), ("ADDPD", "660f58c1")),
        *(("HADDPS", "f20f7cc1"), ("CMPPS", "0fc2c100"), ("ROUNDPS", "660f3a08c100"), ("CVTPS2DQ", "660f5bc1")),
        *(("ADDSS", "f30f58c1"), ("CVTSI2SD", "f20f2ac0"), ("COMISS", "0f2fc1"), ("MAXPS", "0f5fc1")),
    ):
        yield _in_ring_0(f"{name}, exceptions unmasked", code, fx=_fx(_NO_MASKS, second=_ONES))
    yield _in_ring_0("RCPPS", "0f53c1")
    yield _in_ring_0("RSQRTPS", "0f52c1")
    yield _in_ring_0("PADDB of MMX registers", "0ffcc1")
    yield _in_ring_0("MOVQ to memory from MMX", "0f7f06")
    yield _in_ring_0("MOVDQU across two pages", "f30f6f86f80f0000")
    yield _in_ring_0("LDMXCSR", "0fae16", data=b"\x80\x1f\0\0")
    yield _in_ring_0("STMXCSR", "0fae1e")


def _x87() -> Iterator[Path]:
    fields = {
        **{"FADD": "d8c1", "FLD, FSTP": "d906d91f", "FSIN": "d9fe", "FPATAN": "d9ebd9ebd9f3ddd8", "FXAM": "d9e5"},
        **{"F2XM1": "d9f0", "FYL2X": "d9e8d9ebd9f1ddd8", "FPREM": "d9f8", "FSQRT": "d9fa", "FDIV": "d8f1"},
        **{"FBLD, FBSTP": "df26df37", "FNSAVE": "dd37", "FRSTOR": "dd27", "FNSTENV": "d937", "FLDENV": "d927"},
        **{"FPTAN": "d9f2ddd8", "FSCALE": "d9fd", "FILD, FISTP": "db06db1e", "FNSTSW AX": "dfe0"},
    }
    for name, code in fields.items():
        yield Path(name, _program(code, data=_X87_IMAGE), before=bytes.fromhex("dbe3d9e8d9e8"))
    for prefix, form in (("", ""), ("48", ", REX.W")):
        yield _in_ring_0(f"FXSAVE{form}", f"{prefix}0fae06")
        yield Path(f"FXRSTOR{form}", _program(f"{prefix}0fae0e"), before=bytes.fromhex("0fae06"))


_X87_IMAGE = b"\x7f\x03\xff\xff\0\0\xff\xff\xff\xff\xff\xff".ljust(64, b"\0")


def _system() -> Iterator[Path]:
    data = f"66b8{layout.KERNEL_DATA:02x}00"
    setup = bytes.fromhex(data)
    long = {
        **{"MOV DS": "8ed8", "MOV FS": "8ee0", "MOV SS": "8ed0", "LAR": "0f02d8", "LSL": "0f03d8", "VERR": "0f00e0"},
        **{"RDTSCP": "0f01f9", "CPUID": "0fa2", "RDTSC": "0f31", "RDMSR": "b91b0000000f32", "SGDT": "0f0106"},
        **{"MOV from CR0": "0f20c3", "MOV to CR3": "0f20db0f22db", "MOV to CR0": "0f20c30f22c3", "INVLPG": "0f013e"},
        **{
            "MOV from DR7": "0f21fb",
            "CLTS": "0f06",
            "SLDT": "0f00c3",
            "MOV to CR8": "31f6440f22c6",
            "SGDT, LGDT": "0f01070f0117",
            "MOV to DR7": "31db0f23fb",
            "MOV to DR7, changed": "4883f3020f23fb",
            "MOV to CR0, changed": "0f20c34883f3080f22c3",
        },
        **{"WRMSR": "b9030100c031c031d20f30", "IRETQ": IRETQ, "far CALL and RET": FAR_CALL},
        **{"PUSH FS, POP FS": "0fa00fa1", "INT 81H and its IRETQ": "cd81", "STI, CLI": "fbfa", "SMSW": "0f01e3"},
    }
    for name, code in long.items():
        yield Path(name, _program(code), before=setup)
    yield _in_ring_0("LAHF with REX", "409f")
    yield _in_ring_0("CMPXCHG, upper halves", "0fb1d3", registers=_registers(rax=1 << 40, rbx=1 << 40))
    yield _in_ring_0("PDEP, upper half", "c4e263f5c1", registers=_registers(rcx=1 << 40))
    yield _in_ring_0("JMP with 66H", "66e900000000")
    yield _in_ring_0("NEG with LOCK", "f0f71e")
    yield _in_ring_0("FS before another prefix", "643e8b06")
    yield _in_ring_0("FS before CS", "642e8b06")
    frames = _registers(rbp=layout.STACK_POINTER)
    yield _in_ring_0("ENTER with 31 levels, LEAVE", "c800001fc9", registers=frames)
    yield _in_ring_0("read from a device", f"8b0425{layout.DEVICE.to_bytes(4, 'little').hex()}")
    yield _in_ring_0("write to a device", f"890425{layout.DEVICE.to_bytes(4, 'little').hex()}")
    yield _in_ring_0("OUT", "e680")
    yield Path("POPF in ring 3", replace(_program("9c9d"), ring=3))


IRETQ = "4889e08cd353509c8ccb53488d05030000005048cf"
"""SS, RSP, RFLAGS, CS and RIP pushed; IRETQ to what follows."""
FAR_CALL = "488d050a0000008ccb535048cb" + "90" * 5


def _modes() -> Iterator[Path]:
    body = "8b0601d8894604"
    flat = Program(bytes.fromhex(body), Mode.COMPATIBILITY, registers=_registers())
    yield Path("32-bit code, flat", flat)
    null = bytes.fromhex("31c08ee08ee8")
    yield Path("32-bit code, null FS and GS", flat, before=null)
    small = bytes.fromhex(f"b8{layout.SMALL_DATA:02x}0000008ed831f6")
    yield Path("32-bit code, a segment with a limit", flat, before=small)
    overrides = replace(flat, code=bytes.fromhex("658b06658906"))
    limited = bytes.fromhex(f"b8{layout.SMALL_DATA:02x}0000008ee831f6")
    yield Path("32-bit code, GS with a limit", overrides, before=limited)
    data_segment = bytes.fromhex(f"66b8{layout.USER_DATA:02x}00")
    yield Path("32-bit code, MOV DS", replace(flat, code=bytes.fromhex("8ed8")), before=data_segment)
    yield Path("32-bit code, POP DS", replace(flat, code=bytes.fromhex("1e1f")))
    yield Path("32-bit code, PUSHA, POPA", replace(flat, code=bytes.fromhex("6061")))
    yield Path(
        "32-bit code, PUSHA across two pages",
        replace(
            flat,
            code=bytes.fromhex(
                f"bc{layout.STACK + 0x1010:08x}"[:2] + (layout.STACK + 0x1010).to_bytes(4, "little").hex() + "60"
            ),
        ),
    )
    yield Path("32-bit code, PUSHA", replace(flat, code=bytes.fromhex("6083c420")))
    yield Path("a page with LOCK and a bit test", _program("4801c3"), before=_UNTRANSLATABLE)
    yield Path("LOCK in such a page", _program("f0480106"), before=_UNTRANSLATABLE)
    yield Path("from such a page to another and back", _program("ffd5"), before=_OTHER_PAGE + _UNTRANSLATABLE)
    yield _in_ring_0("unaligned stores into the own page", "48893d50010000")
    yield _in_ring_0("16 bytes unaligned into the own page", "0f110d51010000")
    yield Path("alignment checks", replace(_program(body), ring=3, rflags=0x40202, cr0=CR0_DEFAULT))


_UNTRANSLATABLE = bytes.fromhex("eb04f00fa3c8")
"""Jumped over: makes its page guarded."""
_OTHER_PAGE = bytes.fromhex(f"48bd{layout.SUPERVISOR.to_bytes(8, 'little').hex()}c64500c3")
"""RBP is the address of a RET in another page."""


def _straight() -> Iterator[Path]:
    for name, code in (
        *(
            ("FADD", "d8c1"),
            ("FADD and MOV", "d8c14889c3"),
            ("MOV", "4889c3"),
            ("MOVAPS, misaligned", "0f1086f80f0000"),
        ),
        *(("RDMSR", "0f32"), ("ADDPS and MOV, exceptions unmasked", "0f58c14889c3"), ("FADD and REP MOVS", "d8c1f3a4")),
        *(("MOV DS", "8ed8"), ("CPUID and MOV", "0fa24889c3"), ("stores to the next instruction", "880505000000")),
        ("FADD and 20 ADD", "d8c1" + "4801c3" * 20),
    ):
        unmasked = "unmasked" in name
        fx = _fx(_NO_MASKS if unmasked else _FULL_MXCSR, second=_ONES)
        registers = _registers(rcx=0x1B if name == "RDMSR" else 0, rax=0)
        yield Path(f"straight: {name}", _program(code, fx=fx, registers=registers), straight=True)


def paths() -> list[Path]:
    """All known slow paths."""
    return [*_vectors(), *_x87(), *_system(), *_modes(), *_straight()]


def _loop(path: Path, limit: int) -> Program:
    body = path.before + path.program.code * 16
    back = len(body) - len(path.before) + 5
    return replace(path.program, code=body + b"\xe9" + (-back).to_bytes(4, "little", signed=True), limit=limit)


def _straight_line(path: Path) -> Program:
    unit = path.program.code
    return replace(
        path.program, code=path.before + unit * ((_PAGE_ROOM - len(path.before)) // len(unit)), limit=100_000
    )


def measure(path: Path) -> Speed:
    """Execute a path on its own machine."""
    bench, before = Bench(), additions_ms()
    spent = _time_runs(bench)
    bench.run(replace(path.program, code=b""))
    limit = _FIRST_ROUND
    if not path.straight:
        bench.run(_loop(path, limit))
    while True:
        spent.clear()
        result = bench.run(_straight_line(path) if path.straight else _loop(path, limit), floating_point=False)
        if result.end not in ((End.DONE, End.TAKEN) if path.straight else (End.LIMIT,)):
            raise RuntimeError(f"{path.name} ended with {result.end}, vector {result.vector}")
        if path.straight or sum(spent) >= _CPU_SECONDS:
            return Speed(path.name, result.retired / sum(spent), (before + additions_ms()) / 2)
        limit *= 4


def _time_runs(bench: Bench) -> list[float]:
    """Seconds of each run of the machine from now on."""
    spent, run = list[float](), bench.machine.run

    def timed(limit_ns: int | None = None, *, input_follows: bool = False) -> Outcome:
        begun = process_time()
        outcome = run(limit_ns, input_follows=input_follows)
        spent.append(process_time() - begun)
        return outcome

    bench.machine.run = timed  # type: ignore[method-assign]
    return spent
