"""Forms in which the host's processor differed from the machine, with the right results (SDM volume 2)."""

import pytest

from machine.architecture.exceptions import AC, GP, PF, SS
from tests.machine.programs import layout
from tests.machine.programs.bench import Bench
from tests.machine.programs.program import FX_AT_RESET, GENERAL, End, Mode, Program, Result


def run(code: str, mode: Mode = Mode.LONG, *, rflags: int = 0x202, fx: bytes = FX_AT_RESET, **values: int) -> Result:
    """Run a program whose registers are 0 but for the stack pointer and `values`."""
    known = dict.fromkeys(GENERAL, 0) | {"RSP": layout.STACK_POINTER} | values
    program = Program(bytes.fromhex(code), mode, registers=tuple(known.values()), rflags=rflags, fx=fx)
    native, portable = Bench().run(program), Bench(portable=True).run(program)
    assert native == portable
    return native


@pytest.mark.parametrize("at", [layout.CODE + 0x108, layout.CODE + 0x109, layout.DATA + 0x101, layout.CODE + 0xFFF])
@pytest.mark.parametrize(("prefix", "size"), [("66", 2), ("", 4), ("48", 8)])
def test_movbe_stores_in_the_other_order(prefix: str, size: int, at: int) -> None:
    """Into a page with code, too, aligned or not; the page after it is absent."""
    result = run(f"{prefix}0f38f103", RAX=0x1122_3344_5566_7788, RBX=at)
    if at + size > layout.CODE + 0x1000 > at:
        assert result.vector == PF
        return
    stored = (0x1122_3344_5566_7788 & (1 << 8 * size) - 1).to_bytes(size, "big")
    (change,) = result.memory
    assert (change.offset, change.data) == (at & 0xFFF, stored)


@pytest.mark.parametrize(("code", "size"), [("660f3a0a0300", 4), ("660f3a0b0300", 8)])
def test_roundss_and_roundsd_read_only_their_operand(code: str, size: int) -> None:
    """RBX is so near the end of the data that 16 bytes would not fit."""
    end = layout.DATA + 0x2000
    assert run(code, RBX=end - size).end is End.DONE
    assert run(code, RBX=end - size + 1).vector == PF


@pytest.mark.parametrize(("code", "name"), [("0faed0", "FS_BASE"), ("0faed8", "GS_BASE")])
@pytest.mark.parametrize("prefixes", ["f3", "66f3", "f366"])
def test_wrfsbase_writes_32_bits_without_rex_w(prefixes: str, code: str, name: str) -> None:
    assert run(prefixes + code, RAX=0x1234_5678_9ABC).registers[name] == 0x5678_9ABC
    assert run(prefixes + "48" + code, RAX=0x1234_5678_9ABC).registers[name] == 0x1234_5678_9ABC


@pytest.mark.parametrize("opcode", ["a3", "ab", "b3", "bb"])
@pytest.mark.parametrize("prefix", ["48", "f248"])
def test_a_bit_that_is_not_canonical_in_the_stack_is_ss(opcode: str, prefix: str) -> None:
    """[RBP + 20H] is canonical, the bit's quadword is not."""
    result = run(f"{prefix}0f{opcode}4520", RAX=2**63 - 1, RBP=layout.DATA)
    assert (result.vector, result.error_code) == (SS, 0)


@pytest.mark.parametrize("code", ["66480fbc7b04", "66480fbd7b04", "66488b7b04", "6648137b04"])
def test_66h_does_not_count_beside_rex_w_for_alignment(code: str) -> None:
    """Operands of eight bytes at an address that is a multiple of four."""
    result = run(code, rflags=0x40202, RBX=layout.DATA)
    assert (result.vector, result.error_code) == (AC, 0)


@pytest.mark.parametrize("code", ["db1b", "df1b", "db0b", "df0b", "db13", "df3b", "d91b", "dd1b"])
def test_a_store_that_an_unmasked_exception_prevents_faults_all_the_same(code: str) -> None:
    """FISTP and the like of an empty register, to a page that is read-only."""
    unmasked = (0x37E).to_bytes(2, "little") + FX_AT_RESET[2:]
    result = run(code, fx=unmasked, RBX=layout.USER_READ_ONLY)
    assert (result.vector, result.error_code) == (PF, 7)
    assert run(code, fx=unmasked, RBX=layout.DATA).memory == ()


@pytest.mark.parametrize("code", ["f34190", "f34f90", "66f34990"])
@pytest.mark.parametrize("rflags", [0x202, 0x302])
def test_pause_with_rex_b_exchanges_nothing(code: str, rflags: int) -> None:
    """F3H makes it PAUSE on Intel's processors; AMD's exchange RAX and R8."""
    result = run(code, rflags=rflags, RAX=1, R8=2)
    assert (result.registers["RAX"], result.registers["R8"]) == (1, 2)


@pytest.mark.parametrize(("mode", "code"), [(Mode.LONG, "0fa1"), (Mode.LONG, "480fa9"), (Mode.COMPATIBILITY, "07")])
def test_a_pop_of_a_segment_register_reads_only_the_selector(mode: Mode, code: str) -> None:
    """At the end of the stack, and aligned to two bytes."""
    end = layout.STACK + 0x2000
    assert run(code, mode, rflags=0x40202, RSP=end - 2).end is End.DONE
    assert run(code, mode, RSP=end - 1).vector == PF
    assert run(code, mode, rflags=0x40202, RSP=layout.STACK + 0x801).vector == AC


@pytest.mark.parametrize("code", ["660f3a4003ff", "660f3a4103ff"])
def test_dpps_and_dppd_of_a_misaligned_operand_are_gp_not_ac(code: str) -> None:
    for rflags in (0x202, 0x40202):
        assert run(code, rflags=rflags, RBX=layout.DATA + 4).vector == GP


@pytest.mark.parametrize(
    ("code", "expected"),
    [("0f600b", "0001000200030004"), ("0f610b", "0000010200000304"), ("0f620b", "0000000001020304")],
)
def test_punpckl_of_mmx_reads_four_bytes(code: str, expected: str) -> None:
    """MM1, which is 0, with the last four bytes of the data."""
    at = layout.DATA + 0x2000 - 4
    result = run("c70301020304" + code, RBX=at)
    assert result.registers["ST1"] & 2**64 - 1 == int.from_bytes(bytes.fromhex(expected), "little")
    assert run(code, RBX=at + 1).vector == PF
    assert run(code, rflags=0x40202, RBX=layout.DATA + 4).end is End.DONE
    assert run(code, rflags=0x40202, RBX=layout.DATA + 2).vector == AC


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize(
    ("load", "store"),
    [("0f10", "0f11"), ("660f10", "660f11"), ("f30f6f", "f30f7f"), ("f20ff0", "0f11"), ("66f30f6f", "66f30f7f")],
)
def test_a_move_of_16_bytes_across_pages_moves_all(load: str, store: str, mode: Mode) -> None:
    """Both halves are loaded, stored elsewhere, and a store that faults in the second page changes nothing."""
    at, to = layout.DATA + 0xFF9, layout.DATA + 0x700
    fill = "c70311223344c7430c55667788"
    result = run(f"{fill}{load}0b{store}0e", mode, RBX=at, RSI=to)
    assert result.end is End.DONE
    changed = {change.offset: change.data.hex() for change in result.memory}
    assert (changed[0x700], changed[0x70C]) == ("11223344", "55667788")
    refused = run(f"{fill}{load}0b{store}0e", mode, RBX=at, RSI=layout.DATA + 0x2000 - 8)
    assert refused.vector == PF
    assert not any(change.offset >= 0x1FF0 or 0xFF0 <= change.offset < 0xFF9 for change in refused.memory)
