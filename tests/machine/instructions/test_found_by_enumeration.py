"""Forms in which the host's processor differed from the machine, with the right results (SDM volume 2)."""

import pytest

from machine.architecture.exceptions import AC, PF, SS
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
