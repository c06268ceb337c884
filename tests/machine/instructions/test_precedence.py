"""The order of an instruction's exceptions (SDM volume 3, 6.9): what forbids it comes before its operand in memory."""

import struct
from dataclasses import replace
from functools import cache

import pytest

from machine.architecture.exceptions import AC, GP, MF, NM, SS, UD
from machine.architecture.instruction_set import Map, Prefix
from tests.machine.instructions.every_form import Form, memory_forms
from tests.machine.programs import layout
from tests.machine.programs.bench import Bench
from tests.machine.programs.program import CR0_DEFAULT, CR4_DEFAULT, FX_AT_RESET, GENERAL, Mode, Program, Result
from tests.sampling import sampled

AM, EM, TS, UMIP = 1 << 18, 1 << 2, 1 << 3, 1 << 11
ALIGNMENT_CHECK = 0x202 | 1 << 18
ALIGNED, MISALIGNED = layout.DATA + 0x200, layout.DATA + 0x201
PENDING = struct.pack("<HH", 0x37E, 0x8081) + FX_AT_RESET[4:]
"""An invalid operation, unmasked."""
CAUSES = {"EM": EM, "TS": TS, "pending": 0}
FXSAVE_AND_FXRSTOR = (0, 1)


WAYS = ("native", "portable", "by_block", "stepping")


@cache
def bench(way: str) -> Bench:
    return Bench() if way == "native" else Bench(**{way: True})


@cache
def floating_point_forms() -> list[Form]:
    """Those of x87, MMX and SSE: with CR0.TS they are #NM."""
    one_byte = range(0xD8, 0xE0)
    forms = (form for form in memory_forms(vex=False) if form.row.map is not Map.ONE_BYTE or form.opcode in one_byte)
    once = (form for form in forms if form.prefix == Prefix.NONE or len(form.row.prefixes) < len(Prefix))
    return [form for form in once if run(form.code(), TS).vector == NM]


def run(
    code: bytes,
    cr0: int = 0,
    *,
    at: int = ALIGNED,
    selector: int | None = None,
    pending: bool = False,
    mode: Mode = Mode.COMPATIBILITY,
    cr4: int = 0,
    rflags: int = 0x202,
    peripherals: bool = False,
    way: str = "native",
) -> Result:
    values = dict.fromkeys(GENERAL, at) | {"RSP": layout.STACK_POINTER, "RDX": 0x80}
    program = Program(
        code,
        mode,
        registers=tuple(values.values()),
        rflags=rflags,
        fx=PENDING if pending else FX_AT_RESET,
        selector=selector,
        cr0=CR0_DEFAULT | AM | cr0,
        cr4=CR4_DEFAULT | cr4,
        limit=20,
        peripherals=peripherals,
    )
    return bench(way).run(program, floating_point=False)


def is_x87(form: Form) -> bool:
    images = form.row.map is Map.TWO_BYTE and form.opcode == 0xAE and form.extension in FXSAVE_AND_FXRSTOR
    return form.row.map is Map.ONE_BYTE or images


@pytest.mark.slow
def test_there_are_hundreds_of_forms() -> None:
    assert len(floating_point_forms()) > 300
    assert sum(map(is_x87, floating_point_forms())) > 60


@pytest.mark.slow
@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("ts", [0, TS])
def test_em_makes_all_of_mmx_and_sse_undefined_whatever_ts_is_and_x87_absent(ts: int, mode: Mode) -> None:
    """SDM volume 3, tables 2-2, 12-1 and 14-1; FXSAVE and FXRSTOR are #NM."""
    for form in floating_point_forms():
        wanted = NM if is_x87(form) else UD
        assert run(form.code(), EM | ts, mode=mode).vector == wanted, form.name


GENERAL_ONLY = {
    "andn eax, eax, ecx": b"\xc4\xe2\x78\xf2\xc1",
    "andn eax, eax, [ecx]": b"\xc4\xe2\x78\xf2\x01",
    "blsr eax, ecx": b"\xc4\xe2\x78\xf3\xc9",
    "pdep eax, eax, ecx": b"\xc4\xe2\x7b\xf5\xc1",
    "rorx eax, ecx, 3": b"\xc4\xe3\x7b\xf0\xc1\x03",
    "movbe eax, [ecx]": b"\x0f\x38\xf0\x01",
    "movbe [ecx], eax": b"\x0f\x38\xf1\x01",
    "adcx eax, ecx": b"\x66\x0f\x38\xf6\xc1",
    "adox eax, [ecx]": b"\xf3\x0f\x38\xf6\x01",
    "crc32 eax, ecx": b"\xf2\x0f\x38\xf1\xc1",
    "popcnt eax, ecx": b"\xf3\x0f\xb8\xc1",
    "movnti [ecx], eax": b"\x0f\xc3\x01",
    "fences": b"\x0f\xae\xe8\x0f\xae\xf0\x0f\xae\xf8",
}


@pytest.mark.parametrize("name", sampled(GENERAL_ONLY, "andn eax, eax, [ecx]", "adcx eax, ecx"))
@pytest.mark.parametrize("mode", Mode)
def test_em_and_ts_do_not_matter_to_instructions_on_general_registers(mode: Mode, name: str) -> None:
    """BMI, MOVBE, ADX and others, whose exceptions do not depend on them (SDM volume 2); with TF, and if they fault."""
    code = b"\x01\xc0" + GENERAL_ONLY[name] + b"\x11\xd0"  # add eax, eax before it, adc eax, edx after it
    for at in (ALIGNED, layout.ABSENT):
        for rflags in (0x202, 0x302):
            plain = run(code, at=at, mode=mode, rflags=rflags)
            for cr0 in (EM, TS, EM | TS):
                for way in WAYS:
                    other = run(code, cr0, at=at, mode=mode, rflags=rflags, way=way)
                    assert replace(other, registers=plain.registers) == plain
                    assert other.registers | {"CR0": plain.registers["CR0"]} == plain.registers


@pytest.mark.slow
@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize("place", ["misaligned", "null segment"])
def test_what_forbids_an_instruction_precedes_alignment_and_limits(place: str, cause: str) -> None:
    compared = 0
    for form in floating_point_forms():
        pending = cause == "pending"
        plain = run(form.code(), CAUSES[cause], pending=pending)
        if plain.vector not in (NM, UD, MF):
            continue
        if place == "misaligned":
            other = run(form.code(), CAUSES[cause], at=MISALIGNED, rflags=ALIGNMENT_CHECK, pending=pending)
        else:
            other = run(form.code(), CAUSES[cause], selector=0, pending=pending)
        assert (other.vector, other.registers["RIP"]) == (plain.vector, layout.CODE), form.name
        compared += 1
    assert compared > 60


@pytest.mark.parametrize("way", WAYS[:2])
@pytest.mark.parametrize("mode", [Mode.COMPATIBILITY, Mode.PROTECTED])
def test_an_override_is_checked_after_what_forbids_the_instruction(mode: Mode, way: str) -> None:
    null_gs = b"\x31\xc0\x8e\xe8"  # xor eax, eax; mov gs, eax
    for code in (b"\x65\xd8\x01", b"\x65\x0f\x58\x01", b"\x65\x0f\xd4\x01", b"\x65\xf2\x0f\x58\x01"):
        assert run(null_gs + code, TS, mode=mode, way=way).vector == NM
        assert run(null_gs + code, mode=mode, way=way).vector == GP


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("code", [b"\x0f\x01\x01", b"\x0f\x01\x21", b"\x0f\x00\x01", b"\x0f\x00\x09"])
def test_stores_of_system_registers_must_be_aligned_unless_umip_refuses_them(code: bytes, mode: Mode) -> None:
    """SGDT, SMSW, SLDT, STR. SGDT stores an aligned word before an aligned base (SDM volume 3, 3.5.1)."""
    assert run(code, mode=mode, at=MISALIGNED, rflags=ALIGNMENT_CHECK).vector == AC
    assert run(code, mode=mode, at=MISALIGNED, rflags=ALIGNMENT_CHECK, cr4=UMIP).vector == GP
    if code[:2] == b"\x0f\x01" and code[2] >> 3 < 2:
        assert run(code, mode=mode, at=ALIGNED, rflags=ALIGNMENT_CHECK).vector == AC
        assert run(code, mode=mode, at=ALIGNED + 6, rflags=ALIGNMENT_CHECK).vector is None
        assert run(code, mode=mode, at=ALIGNED + 2, rflags=ALIGNMENT_CHECK).vector == (
            AC if mode is Mode.LONG else None
        )
    else:
        assert run(code, mode=mode, at=ALIGNED, rflags=ALIGNMENT_CHECK).vector is None


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("code", [b"\x6d", b"\x6f", b"\x66\x6d", b"\x66\x6f"])
def test_port_strings_must_be_aligned_unless_their_ports_are_refused(code: bytes, mode: Mode) -> None:
    """INS and OUTS of one port, which the peripherals' bitmap opens only for bytes."""
    narrow = code[0] == 0x66
    assert run(code, mode=mode, at=MISALIGNED, rflags=ALIGNMENT_CHECK, peripherals=True).vector == GP
    open_all = ALIGNMENT_CHECK | 3 << 12
    assert run(code, mode=mode, at=MISALIGNED, rflags=open_all).vector == AC
    assert run(code, mode=mode, at=ALIGNED + 2, rflags=open_all).vector == (None if narrow else AC)


@pytest.mark.parametrize("mode", [Mode.COMPATIBILITY, Mode.PROTECTED])
@pytest.mark.parametrize("code", [b"\x0f\x01\x55\0", b"\x0f\x01\x75\0", b"\x0f\x00\x55\0", b"\x0f\x01\x45\0"])
def test_a_privileged_instruction_is_gp_even_if_its_operand_is_ss(code: bytes, mode: Mode) -> None:
    """LGDT, LMSW, LLDT, and with UMIP SGDT, of a stack operand beyond the limit of SS."""
    small_stack = b"\xb8" + layout.SMALL_DATA.to_bytes(4, "little") + b"\x8e\xd0"  # mov eax, selector; mov ss, eax
    assert run(small_stack + code, mode=mode, cr4=UMIP).vector == GP
    assert run(small_stack + b"\x8b\x45\0", mode=mode, cr4=UMIP).vector == SS  # mov eax, [ebp]


@pytest.mark.parametrize("modrm", range(0xC0, 0x100), ids=hex)
@pytest.mark.parametrize("mode", [Mode.COMPATIBILITY, Mode.PROTECTED])
def test_segments_make_no_difference_to_group_7_without_an_operand_in_memory(modrm: int, mode: Mode) -> None:
    code = bytes([0x0F, 0x01, modrm])
    flat, null = (run(code, mode=mode, selector=selector) for selector in (layout.USER_DATA, 0))
    assert (flat.end, flat.vector, flat.error_code) == (null.end, null.vector, null.error_code)
