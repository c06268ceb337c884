"""CRC32, which CR0.TS and EM do not concern (SDM volume 3, 2.5)."""

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machine.architecture.control_registers import CR0_EM, CR0_TS
from tests.machine.programs import layout
from tests.machine.programs.bench import Bench
from tests.machine.programs.program import CR0_DEFAULT, GENERAL, End, Program

FORMS = ("f20f38f0c1", "66f20f38f1c1", "f20f38f1c1", "f2480f38f1c1", "f2480f38f0c1", "f20f38f006", "f2480f38f106")
"""Bytes, words, doublewords and quadwords, of CL, CX, ECX, RCX and memory at RSI, into EAX or RAX."""
WORDS = st.integers(0, 2**64 - 1)


@cache
def bench() -> Bench:
    return Bench()


def registers(code: str, rax: int, rcx: int, cr0: int) -> dict[str, int]:
    values = dict.fromkeys(GENERAL, 0) | {"RSP": layout.STACK_POINTER, "RAX": rax, "RCX": rcx, "RSI": layout.DATA}
    data = rcx.to_bytes(8, "little")
    program = Program(bytes.fromhex(code), registers=tuple(values.values()), data=data, cr0=CR0_DEFAULT | cr0)
    result = bench().run(program, floating_point=False)
    assert result.end is End.DONE
    return result.registers


@pytest.mark.parametrize("code", FORMS)
@given(rax=WORDS, rcx=WORDS, cr0=st.sampled_from([CR0_TS, CR0_EM]))
def test_the_checksum_is_that_of_the_processor_without_them(code: str, rax: int, rcx: int, cr0: int) -> None:
    assert registers(code, rax, rcx, cr0)["RAX"] == registers(code, rax, rcx, 0)["RAX"]


def test_the_checksum_of_a_text() -> None:
    """The check value of CRC-32C: of the digits 1 to 9, with its initial and final complement."""
    crc = 0xFFFF_FFFF
    for digit in b"123456789":
        crc = registers("f20f38f0c1", crc, digit, CR0_TS)["RAX"]
    assert crc ^ 0xFFFF_FFFF == 0xE306_9283
