"""Typed conditions mean the same as in Python, within 64 bits, and anything else is refused."""

import operator
from collections.abc import Callable
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave_sim.enclave.kernel.program import aether
from enclave_sim.errors import ConfigurationError
from enclave_sim.time_travel import Session
from enclave_sim.time_travel.navigation.conditions import TypedCondition

MASK = (1 << 64) - 1
BINARY: dict[str, Callable[[int, int], int]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "&": operator.and_, "|": operator.or_, "^": operator.xor,
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
    "and": lambda a, b: bool(a and b), "or": lambda a, b: bool(a or b),
    "<<": lambda a, b: a << min(b, 64), ">>": lambda a, b: a >> min(b, 64),
}  # fmt: skip
UNARY: dict[str, Callable[[int], int]] = {"not ": operator.not_, "~": operator.invert, "-": operator.neg}
Expression = tuple[str, int]
"""A text and its value."""


@cache
def session() -> Session:
    made = Session("counter", cycles=2)
    made.run_to(symbol="host_call")
    return made


def names() -> list[Expression]:
    cpu = session().machine.cpu
    found = {name: getattr(cpu.registers, name.lower()) for name in ("rdi", "RAX", "rip", "rsp", "cpl")}
    return sorted((found | {"now": session().now.at_ns, "rflags": cpu.rflags, "cr3": cpu.registers.cr[3]}).items())


leaves: st.SearchStrategy[Expression] = st.one_of(
    st.one_of(st.integers(0, 70), st.integers(0, MASK)).map(lambda value: (str(value), value)),
    st.deferred(lambda: st.sampled_from(names())),
)


def joined(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    def two(left: Expression, sign: str, right: Expression) -> Expression:
        return f"({left[0]} {sign} {right[0]})", BINARY[sign](left[1], right[1]) & MASK

    def one(sign: str, operand: Expression) -> Expression:
        return f"({sign}{operand[0]})", UNARY[sign](operand[1]) & MASK

    return st.one_of(
        st.builds(two, inner, st.sampled_from(sorted(BINARY)), inner),
        st.builds(one, st.sampled_from(sorted(UNARY)), inner),
    )


@given(st.recursive(leaves, joined, max_leaves=12), leaves)
def test_they_hold_where_arithmetic_on_64_bits_says_so(left: Expression, right: Expression) -> None:
    assert TypedCondition(left[0], aether())(session()) == bool(left[1])
    assert TypedCondition(f"{left[0]} == {left[1]}", aether())(session())
    chain = TypedCondition(f"{right[0]} <= {left[0]} <= {right[0]}", aether())
    assert chain(session()) == (left[1] == right[1])


def test_memory_and_symbols() -> None:
    status = aether().symbols["status"]
    word = session().machine.ram.read(status, 4)
    value = int.from_bytes(word, "little")
    assert TypedCondition(f"u32(status) == {value} and u8(status) == {word[0]}", aether())(session())
    assert TypedCondition(f"u16(status + 2) == {value >> 16} and status == {status}", aether())(session())
    top = int.from_bytes(session().machine.ram.read(session().machine.cpu.registers.rsp, 8), "little")
    assert top > 1 << 16, "a value that the upper bytes are part of"
    assert TypedCondition(f"u64(rsp) == {top}", aether())(session())
    assert not TypedCondition(f"u64(rsp) == {top ^ 1 << 20}", aether())(session())


def test_memory_is_read_across_the_end_of_a_page() -> None:
    start = aether().symbols["status"] & ~0xFFF
    value = int.from_bytes(session().machine.ram.read(start - 3, 8), "little")
    assert TypedCondition(f"u64({start - 3}) == {value}", aether())(session())
    assert not TypedCondition(f"u64({start - 3}) != {value}", aether())(session())


def test_memory_that_is_not_mapped_makes_it_false() -> None:
    for text in ("u8(0) == 0", "u8(0) != 0", "u64(0xffffffffffffffff) == 0"):
        assert not TypedCondition(text, aether())(session())


@pytest.mark.parametrize(
    "text",
    ["", "rdi ==", "nowhere", "rdi / 2", "2 ** 9", "'a'", "1.5", "True", "rdi.real", "u8()", "u8(1, 2)", "u128(1)",
     "open('x')", "(lambda: 1)()", "[1]", "rdi if rax else 1", "rdi in rax", "rdi := 1", "-" * 40 + "1",
     "1 << 99 << 1 << x", "0x1" + "0" * 16, "rdi is rax", "\0"],
)  # fmt: skip
def test_all_else_is_one_clear_error(text: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        TypedCondition(text, aether())
    assert "\n" not in str(error.value)


@given(st.text(max_size=60))
def test_whatever_is_typed_is_a_condition_or_a_clear_error(text: str) -> None:
    try:
        condition = TypedCondition(text, aether())
    except ConfigurationError:
        return
    assert condition(session()) in (True, False)


def test_a_breakpoint_stops_only_where_it_holds() -> None:
    other = Session("counter", cycles=3)
    condition = TypedCondition("rdi == 1", other.program)
    other.add_breakpoint(symbol="host_call", when=condition)
    count = 0
    while other.resume().why is not None:
        assert other.machine.cpu.registers.rdi == 1
        count += 1
    assert count > 1
    assert str(condition) == "rdi == 1"
