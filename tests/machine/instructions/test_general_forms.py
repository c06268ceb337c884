"""Forms of general instructions that Unicorn does not execute as the manual says (SDM volume 2)."""

from functools import cache

import pytest

from machine.architecture.control_registers import CR4_UMIP
from machine.architecture.exceptions import DB, GP, PF, UD
from tests.machine.programs import layout
from tests.machine.programs.bench import Bench
from tests.machine.programs.program import CR4_DEFAULT, GENERAL, Change, End, Mode, Program, Result

LONG, COMPATIBILITY, PROTECTED = Mode.LONG, Mode.COMPATIBILITY, Mode.PROTECTED
NARROW = (COMPATIBILITY, PROTECTED)
CF, PF_FLAG, AF, ZF, SF, OF = 1, 4, 16, 64, 128, 2048
STATUS = CF | PF_FLAG | AF | ZF | SF | OF


@cache
def bench(portable: bool) -> Bench:
    return Bench(portable=portable)


def run(
    code: str, mode: Mode = LONG, *, ring: int = 3, data: bytes = b"", stack: bytes = b"", flags: int = 0, cr4: int = 0,
    **registers: int,
) -> Result:  # fmt: skip
    """The result with the native hook, which the portable one must also give."""
    values = dict.fromkeys(GENERAL, 0) | {"RSP": layout.STACK_POINTER} | registers
    program = Program(
        bytes.fromhex(code),
        mode,
        ring,
        tuple(values.values()),
        rflags=0x202 | flags,
        cr4=CR4_DEFAULT | cr4,
        data=data,
        stack=stack,
    )
    native, portable = bench(False).run(program), bench(True).run(program)
    assert native == portable
    return native


@pytest.mark.parametrize("ring", [0, 3])
@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("number", [1, 5, 6, 7])
def test_a_control_register_that_is_not_there_is_undefined_in_every_ring(number: int, mode: Mode, ring: int) -> None:
    for opcode in ("20", "22"):
        assert run(f"0F {opcode} {0xC0 | number << 3:02X}", mode, ring=ring).vector == UD


@pytest.mark.parametrize("number", range(9, 16))
def test_control_registers_9_to_15_are_undefined(number: int) -> None:
    for opcode in ("20", "22"):
        assert run(f"44 0F {opcode} {0xC0 | number - 8 << 3:02X}").vector == UD


@pytest.mark.parametrize("number", [0, 2, 3, 4])
def test_a_control_register_that_is_there_is_refused_by_the_ring(number: int) -> None:
    for opcode in ("20", "22"):
        taken = run(f"0F {opcode} {0xC0 | number << 3:02X}")
        assert (taken.vector, taken.error_code) == (GP, 0)


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("prefix", ["", "66", "F3", "66 F2"])
@pytest.mark.parametrize("modrm", range(0xC0, 0x100, 5))
def test_a_prefetch_of_a_register_is_a_reserved_nop(modrm: int, prefix: str, mode: Mode) -> None:
    ended = run(f"{prefix} 0F 18 {modrm:02X}", mode, RAX=1)
    assert (ended.end, ended.memory, ended.retired) == (End.DONE, (), 2)
    assert ended.registers["RIP"] == layout.CODE + len(bytes.fromhex(prefix)) + 3 + len(layout.END)


@pytest.mark.parametrize("immediate", [0x7FFC, 0x8000, 0xFFFC])
@pytest.mark.parametrize(
    ("mode", "prefix", "size"),
    [(LONG, "", 8), (LONG, "66", 8), (COMPATIBILITY, "", 4), (PROTECTED, "", 4), (PROTECTED, "F3", 4)],
)
def test_ret_releases_up_to_64_kib(mode: Mode, prefix: str, size: int, immediate: int) -> None:
    target = layout.CODE + 0x20
    code = bytes.fromhex(prefix) + b"\xc2" + immediate.to_bytes(2, "little")
    code = code.ljust(0x20, b"\xcc")
    stack = bytes(0x1800) + target.to_bytes(8, "little")
    ended = run(code.hex(), mode, stack=stack)
    assert (ended.end, ended.registers["RIP"]) == (End.DONE, target + len(layout.END))
    assert ended.registers["RSP"] == layout.STACK_POINTER + size + immediate


def test_ret_keeps_the_stack_where_its_target_is_not_canonical() -> None:
    taken = run("C2 00 80", stack=bytes(0x1800) + layout.NON_CANONICAL.to_bytes(8, "little"))
    assert (taken.vector, taken.error_code, taken.registers["RSP"]) == (GP, 0, layout.STACK_POINTER)


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize(
    ("code", "size", "value", "flags"),
    [
        ("F6 1B", 1, 0x01, CF | PF_FLAG | AF | SF),
        ("F6 1B", 1, 0x80, CF | SF | OF),
        ("F6 1B", 1, 0x00, PF_FLAG | ZF),
        ("66 F7 1B", 2, 0x8000, CF | PF_FLAG | SF | OF),
        ("F7 1B", 4, 0x10, CF | PF_FLAG | SF),
        ("F7 1B", 4, 0xFFFF_FFFF, CF | AF),
    ],
)
def test_neg_with_lock_sets_the_flags_of_the_subtraction(
    code: str, size: int, value: int, flags: int, mode: Mode
) -> None:
    for before in (0, STATUS):
        data = value.to_bytes(size, "little") + b"\x55"
        ended = run("F0" + code, mode, data=data, flags=before, RBX=layout.DATA)
        plain = run(code, mode, data=data, flags=before, RBX=layout.DATA)
        assert ended.registers["RFLAGS"] & STATUS == flags
        assert ended.memory == plain.memory
        assert plain.registers["RFLAGS"] & STATUS == flags


def test_neg_with_lock_of_64_bits() -> None:
    ended = run("F0 48 F7 1B", data=(1 << 63).to_bytes(8, "little"), RBX=layout.DATA)
    assert ended.registers["RFLAGS"] & STATUS == CF | PF_FLAG | SF | OF
    assert ended.memory == ()


@pytest.mark.parametrize(
    ("code", "size"), [("0F A4", 4), ("48 0F AC", 8), ("66 0F A4", 2), ("0F AC", 4), ("67 0F A4", 4)]
)
@pytest.mark.parametrize("count", [0, 1, 7, 15, 16, 31, 32, 63])
def test_a_double_shift_relative_to_rip_is_the_one_at_that_address(code: str, size: int, count: int) -> None:
    """Against the same shift through a register, which Unicorn executes."""
    if size == 2 and count & 31 > 16:
        return  # undefined
    data = bytes(range(0x81, 0x91))
    head = bytes.fromhex(code)
    displacement = (layout.DATA + 4 - layout.CODE - len(head) - 6) & 0xFFFF_FFFF
    relative = head + b"\x0d" + displacement.to_bytes(4, "little") + bytes([count])
    direct = head + b"\x0b" + bytes([count])
    source = 0x1234_5678_9ABC_DEF3
    here = run(relative.hex(), data=data, RCX=source, RBX=layout.DATA + 4, flags=STATUS)
    there = run(direct.hex(), data=data, RCX=source, RBX=layout.DATA + 4, flags=STATUS)
    assert here.end is End.DONE
    assert here.memory == there.memory
    undefined = 0 if not count & (63 if size == 8 else 31) else AF if count == 1 else AF | OF
    assert here.registers["RFLAGS"] & ~undefined == there.registers["RFLAGS"] & ~undefined


def test_a_double_shift_relative_to_rip_faults_as_a_write() -> None:
    displacement = (layout.USER_READ_ONLY - layout.CODE - 8) & 0xFFFF_FFFF
    taken = run((b"\x0f\xa4\x0d" + displacement.to_bytes(4, "little") + b"\x01").hex(), flags=CF)
    assert (taken.vector, taken.error_code, taken.registers["CR2"]) == (PF, 7, layout.USER_READ_ONLY)
    assert taken.registers["RFLAGS"] & STATUS == CF


@pytest.mark.parametrize("mode", NARROW)
@pytest.mark.parametrize("level", range(4))
@pytest.mark.parametrize("least", range(4))
def test_arpl_raises_the_privilege_level_and_writes_only_then(least: int, level: int, mode: Mode) -> None:
    lower = level < least
    in_register = run("63 D8", mode, RAX=0xABCD_1230 | level, RBX=0x5550 | least, flags=STATUS & ~ZF)
    assert in_register.registers["RAX"] == 0xABCD_1230 | max(level, least)
    assert in_register.registers["RFLAGS"] & STATUS == STATUS & ~ZF | (ZF if lower else 0)
    in_memory = run("63 0B", mode, data=bytes([level, 0x12]), RCX=least, RBX=layout.DATA)
    assert in_memory.memory == ((Change("data", 0, bytes([least])),) if lower else ())
    assert bool(in_memory.registers["RFLAGS"] & ZF) == lower
    read_only = run("63 0B", mode, RCX=least, RBX=layout.USER_READ_ONLY)
    if least > layout.END[0] & 3:  # which that page is full of
        assert (read_only.vector, read_only.error_code) == (PF, 7)
    else:
        assert read_only.end is End.DONE


VEX = {
    "ANDN": "E2 70 F2 C3", "BLSR": "E2 70 F3 CB", "BLSMSK": "E2 70 F3 D3", "BLSI": "E2 70 F3 DB", "BZHI": "E2 70 F5 C3",
    "PEXT": "E2 72 F5 C3", "PDEP": "E2 73 F5 C3", "MULX": "E2 73 F6 C3", "BEXTR": "E2 70 F7 C3", "SHLX": "E2 71 F7 C3",
    "SARX": "E2 72 F7 C3", "SHRX": "E2 73 F7 C3", "BZHI, memory": "E2 70 F5 06", "MULX, one register": "E2 7B F6 C3",
}  # fmt: skip
"""Operands are EBX or memory at ESI, and ECX by VEX.vvvv."""


@pytest.mark.slow
@pytest.mark.parametrize("mode", NARROW)
@pytest.mark.parametrize("name", VEX)
def test_vex_has_eight_registers_of_32_bits_outside_64_bit_mode(name: str, mode: Mode) -> None:
    """W, the top bit of vvvv and B have no effect. Unicorn executes most of those without them."""
    first, second, *rest = bytes.fromhex(VEX[name])
    for count, source in (
        (4, 0xFFFF_FFF5),
        (31, 0x8000_0000),
        (40, 0x1234_5678),
        (0x0805, 0),
        (0xF0F0_1103, 0xDEADBEEF),
    ):
        ends = [
            run(
                bytes([0xC4, first & ~without, second & ~top | wide, *rest]).hex(),
                mode,
                data=source.to_bytes(4, "little"),
                RAX=1,
                RBX=source,
                RCX=count,
                RDX=0xFEDC_BA98,
                RSI=layout.DATA,
            )
            for without, top, wide in ((0, 0, 0), (0, 0, 0x80), (0x20, 0, 0), (0, 0x40, 0), (0x20, 0x40, 0x80))
        ]
        assert ends[0].end is End.DONE
        undefined = AF | PF_FLAG
        wanted = ends[0].registers | {"RFLAGS": ends[0].registers["RFLAGS"] & ~undefined}
        for end in ends[1:]:
            assert end.registers | {"RFLAGS": end.registers["RFLAGS"] & ~undefined} == wanted


@pytest.mark.parametrize("mode", NARROW)
def test_rorx_has_eight_registers_of_32_bits_outside_64_bit_mode(mode: Mode) -> None:
    for code in ("C4 E3 7B F0 C3 08", "C4 C3 7B F0 C3 08", "C4 C3 FB F0 C3 28"):
        assert run(code, mode, RBX=0x1234_5678).registers["RAX"] == 0x7812_3456


@pytest.mark.parametrize(
    ("mode", "code", "size"),
    [(LONG, "CA", 4), (LONG, "48 CA", 8), (COMPATIBILITY, "CA", 4), (PROTECTED, "66 CA", 2)],
)
def test_far_ret_looks_at_the_selector_before_it_reads_the_outer_stack(mode: Mode, code: str, size: int) -> None:
    """A selector of an inner ring; the stack that would be left for is absent."""
    released = 0x5555
    words = (0x1000).to_bytes(size, "little") + (0x202).to_bytes(size, "little")
    taken = run(f"{code} {released.to_bytes(2, 'little').hex()}", mode, stack=bytes(0x1800) + words)
    assert (taken.vector, taken.error_code) == (GP, 0x200)
    assert taken.registers["RSP"] == layout.STACK_POINTER


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("prefix", ["", "66"])
@pytest.mark.parametrize(("extension", "name"), [(0, "GDTR"), (1, "IDTR")])
def test_the_whole_of_a_descriptor_table_register_is_stored(extension: int, name: str, prefix: str, mode: Mode) -> None:
    size = 10 if mode is LONG else 6
    ended = run(f"{prefix} 0F 01 {extension << 3 | 3:02X}", mode, data=b"\xee" * 12, RBX=layout.DATA)
    (change,) = ended.memory
    stored = b"\xee" * change.offset + change.data
    wanted = ended.registers[f"{name}_LIMIT"].to_bytes(2, "little") + ended.registers[name].to_bytes(8, "little")
    assert stored.ljust(12, b"\xee") == wanted[:size].ljust(12, b"\xee")
    refused = run(f"{prefix} 0F 01 {extension << 3 | 3:02X}", mode, cr4=CR4_UMIP, RBX=layout.DATA)
    assert (refused.vector, refused.error_code, refused.memory) == (GP, 0, ())


@pytest.mark.parametrize(("code", "size"), [("C8", 8), ("66 48 C8", 8), ("48 66 C8", 2), ("66 C8", 2), ("48 C8", 8)])
def test_rex_w_before_enter_comes_before_66h(code: str, size: int) -> None:
    ended = run(f"{code} 10 00 00", RBP=0x1111_2222_3333_4444)
    frame = layout.STACK_POINTER - size
    assert ended.registers["RSP"] == frame - 0x10
    assert ended.registers["RBP"] == (frame if size == 8 else 0x1111_2222_3333_0000 | frame & 0xFFFF)
    assert ended.memory == (Change("stack", 0x1800 - size, 0x1111_2222_3333_4444.to_bytes(8, "little")[:size]),)


@pytest.mark.parametrize(("mode", "size"), [(LONG, 8), (COMPATIBILITY, 4), (PROTECTED, 4)])
@pytest.mark.parametrize("level", [0, 2])
def test_enter_that_finds_no_room_leaves_its_pushes_and_no_register_changed(level: int, mode: Mode, size: int) -> None:
    taken = run(f"C8 FF FF {level:02X}", mode, stack=b"\x11" * 0x2000, RBP=layout.STACK + 0x1900)
    pushed = (level + 1 if level else 1) * size
    assert (taken.vector, taken.error_code) == (PF, 6)
    assert taken.registers["CR2"] == layout.STACK_POINTER - pushed - 0xFFFF
    assert (taken.registers["RSP"], taken.registers["RBP"]) == (layout.STACK_POINTER, layout.STACK + 0x1900)
    first = min(change.offset for change in taken.memory)
    assert 0x1800 - pushed <= first < 0x1800 - pushed + size


@pytest.mark.parametrize("code", ["FF D3", "FF 17", "66 FF D3", "FF 15 00 00 00 10"])
def test_call_of_an_address_that_is_not_canonical_pushes_nothing(code: str) -> None:
    if code.endswith("10"):  # relative to RIP: in the data page
        code = f"FF 15 {(layout.DATA - layout.CODE - 6).to_bytes(4, 'little').hex()}"
    refused = run(code, data=(1 << 47).to_bytes(8, "little"), RBX=1 << 63, RDI=layout.DATA)
    assert (refused.vector, refused.error_code, refused.memory) == (GP, 0, ())
    assert (refused.registers["RIP"], refused.registers["RSP"]) == (layout.CODE, layout.STACK_POINTER)


def test_an_indirect_call_whose_operand_is_absent_is_a_page_fault() -> None:
    taken = run("FF 13", RBX=layout.ABSENT)
    assert (taken.vector, taken.error_code, taken.registers["CR2"]) == (PF, 4, layout.ABSENT)


@pytest.mark.parametrize(("code", "size"), [("D9 33", 28), ("66 D9 33", 14), ("66 48 D9 33", 28), ("48 66 D9 33", 14)])
def test_rex_w_comes_before_66h_for_an_environment(code: str, size: int) -> None:
    ended = run(code, data=b"\xee" * 64, RBX=layout.DATA)
    assert max(change.offset + len(change.data) for change in ended.memory) == size


@pytest.mark.parametrize("extension", [2, 3])
def test_a_segment_base_that_is_not_canonical_is_refused(extension: int) -> None:
    code = f"0F AE {0xC3 | extension << 3:02X}"
    name = ("FS_BASE", "GS_BASE")[extension - 2]
    refused = run(f"F3 48 {code}", RBX=1 << 47)
    assert (refused.vector, refused.error_code) == (GP, 0)
    assert run(f"F3 48 {code}", RBX=0xFFFF_8000_0000_0000).registers[name] == 0xFFFF_8000_0000_0000
    assert run(f"F3 {code}", RBX=1 << 47 | 5).registers[name] == 5


@pytest.mark.parametrize(("prefix", "wanted"), [("", 0x1234_0008), ("66", 16)])
def test_popcnt_of_16_bit_code_counts_16_bits(prefix: str, wanted: int) -> None:
    """JMP FAR to 16-bit code, which counts ECX."""
    jump = f"EA 07 00 00 00 {layout.CODE_16:02X} 00"
    ended = run(f"{jump} {prefix} F3 0F B8 C1", PROTECTED, RAX=0x1234_5678, RCX=0xFF00_00FF)
    assert ended.registers["RAX"] == wanted


@pytest.mark.parametrize("mode", NARROW)
def test_int_at_the_end_of_4_gibytes_returns_to_0(mode: Mode) -> None:
    """JMP to the last two bytes, which are the INT that ends programs."""
    ended = run("FF E0", mode, RAX=0xFFFF_FFFE)
    assert (ended.end, ended.registers["RIP"]) == (End.DONE, 0)


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize(("code", "length"), [("F3 90", 2), ("66 F3 90", 3), ("F3 F3 90", 3), ("90", 1), ("66 90", 2)])
def test_a_single_step_over_pause_is_reported(code: str, length: int, mode: Mode) -> None:
    ended = run(f"{code} 90 90", mode, flags=0x100)
    assert (ended.vector, ended.registers["RIP"], ended.retired) == (DB, layout.CODE + length, 1)


@pytest.mark.parametrize(
    ("mode", "code", "size"), [(m, "0F 01 E0", 4) for m in Mode] + [(m, "66 0F 01 E0", 2) for m in Mode]
)
def test_smsw_of_a_register_stores_all_of_cr0(mode: Mode, code: str, size: int) -> None:
    before = 0x1122_3344_5566_7788 if mode is LONG else 0x5566_7788
    ended = run(code, mode, RAX=before)
    low = (1 << 8 * size) - 1
    kept = before & ~low if size == 2 else 0
    assert ended.registers["RAX"] == kept | ended.registers["CR0"] & low
