"""Counting by block: the same counts, stops and results as the instruction hook.

tests/machine/fuzz compares both for programs that run once. These here are loops.
"""

from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machine.architecture.decoding import decode
from machine.architecture.exceptions import PF
from machine.architecture.instruction_set import ROWS, Map, Row
from machine.bus.ram import PAGE_SIZE
from machine.processor.block_clock import NEVER_WARM, BlockClock
from machine.processor.step_hook import Steps
from tests.machine.programs import layout
from tests.machine.programs.bench import Bench
from tests.machine.programs.loops import SNIPPETS, SNIPPETS_32, loop, loop_32
from tests.machine.programs.program import GENERAL, End, Mode, Program, Result


@cache
def bench(kind: str) -> Bench:
    """A bench that counts by instruction, by block wherever it can, or as by default."""
    made = Bench(by_block=kind == "by block")
    if kind == "by instruction":
        made.machine.cpu.hook.warm_up = NEVER_WARM
    return made


def run(program: Program, kind: str) -> Result:
    return bench(kind).run(program)


bodies = st.lists(st.sampled_from(sorted(SNIPPETS)), min_size=1, max_size=8)


@given(bodies, st.sampled_from([layout.DATA + 0x1C00, layout.TORN + 0xE00, layout.DATA + 0xFF8]))
def test_a_loop_ends_the_same_counted_either_way(names: list[str], rsi: int) -> None:
    program = loop(bytes.fromhex(" ".join(SNIPPETS[name] for name in names)), rsi=rsi)
    expected = run(program, "by instruction")
    assert run(program, "by block") == expected
    assert run(program, "by default") == expected


@pytest.mark.parametrize("name", SNIPPETS)
def test_a_loop_of_one_kind_ends_the_same(name: str) -> None:
    program = loop(bytes.fromhex(SNIPPETS[name]))
    assert run(program, "by block") == run(program, "by instruction")


modes_32 = st.sampled_from([(Mode.COMPATIBILITY, 3), (Mode.PROTECTED, 3), (Mode.PROTECTED, 0)])
bodies_32 = st.lists(st.sampled_from(sorted(SNIPPETS_32)), min_size=1, max_size=8)


@given(bodies_32, modes_32, st.sampled_from([layout.DATA + 0x1C00, layout.TORN + 0xE00, layout.DATA + 0xFF8]))
def test_a_loop_of_32_bit_code_ends_the_same_counted_either_way(
    names: list[str], where: tuple[Mode, int], rsi: int
) -> None:
    mode, ring = where
    program = loop_32(bytes.fromhex(" ".join(SNIPPETS_32[name] for name in names)), mode, ring=ring, rsi=rsi)
    expected = run(program, "by instruction")
    assert run(program, "by block") == expected
    assert run(program, "by default") == expected


@pytest.mark.parametrize("name", SNIPPETS_32)
def test_a_loop_of_one_kind_of_32_bit_code_ends_the_same(name: str) -> None:
    for mode, ring in ((Mode.COMPATIBILITY, 3), (Mode.PROTECTED, 0)):
        program = loop_32(bytes.fromhex(SNIPPETS_32[name]), mode, ring=ring)
        assert run(program, "by block") == run(program, "by instruction")


@given(bodies_32, modes_32, st.integers(1, 3000))
def test_a_deadline_comes_before_the_same_instruction_of_32_bit_code(
    names: list[str], where: tuple[Mode, int], limit: int
) -> None:
    program = loop_32(bytes.fromhex(" ".join(SNIPPETS_32[name] for name in names)), where[0], ring=where[1])
    program = replace(program, limit=limit)
    assert run(program, "by block") == run(program, "by instruction")


@given(bodies, st.integers(1, 3000), st.integers(0, 3000))
def test_a_deadline_and_an_interrupt_come_before_the_same_instruction(names: list[str], limit: int, at: int) -> None:
    program = replace(loop(bytes.fromhex(" ".join(SNIPPETS[name] for name in names))), limit=limit, interrupt_at=at)
    assert run(program, "by block") == run(program, "by instruction")


def test_a_deadline_at_each_instruction_of_a_block_is_met() -> None:
    body = bytes.fromhex("".join(SNIPPETS[name] for name in ("arithmetic", "load", "add to memory", "call")))
    for limit in range(500, 540):
        program = replace(loop(body), limit=limit)
        result = run(program, "by block")
        assert (result.end, result.retired) == (End.LIMIT, limit)
        assert result == run(program, "by instruction")


@pytest.mark.parametrize(("mode", "ring"), [*((each, 3) for each in Mode), (Mode.LONG, 0), (Mode.PROTECTED, 0)])
def test_a_long_loop_is_counted_by_block(mode: Mode, ring: int, monkeypatch: pytest.MonkeyPatch) -> None:
    entered: list[bool] = []
    begin = BlockClock.begin

    def noted(clock: BlockClock) -> bool:
        entered.append(begin(clock))
        return entered[-1]

    monkeypatch.setattr(BlockClock, "begin", noted)
    if mode is Mode.LONG:
        program = replace(loop(bytes.fromhex(SNIPPETS["load"]), rounds=5_000), ring=ring)
    else:
        program = loop_32(bytes.fromhex(SNIPPETS_32["load"]), mode, rounds=5_000, ring=ring)
    result = Bench().run(program)
    assert result.retired == 5_000 * 4 + 1
    assert any(entered)
    assert len(entered) < 5


def test_code_that_the_loop_changes_runs_as_changed() -> None:
    """Each round stores its number into the MOV with which the next one begins, and adds up what that loads."""
    body = bytes.fromhex("4588e6 44887501 0fb6d0 4801d7".replace(" ", ""))
    result = run(loop(body, rounds=200), "by block")
    assert result.registers["RDI"] == 7 + sum(range(2, 201))


def test_the_machine_goes_on_after_an_error_while_it_counted_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """Devices answer again, and code can be changed."""
    made = Bench(by_block=True)
    engine = made.machine.cpu.engine
    enter = engine._enter

    def fails(steps: Steps) -> int:
        if engine.hook.by_block:
            raise KeyError("anything")
        return enter(steps)

    monkeypatch.setattr(engine, "_enter", fails)
    with pytest.raises(KeyError):
        made.run(loop(bytes.fromhex(SNIPPETS["load"])))
    monkeypatch.undo()
    assert not engine.hook.by_block
    engine.hook.warm_up = NEVER_WARM
    body = bytes.fromhex(SNIPPETS["device operand"] + SNIPPETS["code, sometimes"])
    assert made.run(loop(body)) == run(loop(body), "by instruction")


_ESCAPES = {Map.ONE_BYTE: "", Map.TWO_BYTE: "0f", Map.THREE_BYTE_38: "0f38", Map.THREE_BYTE_3A: "0f3a"}
_MANDATORY = ("", "66", "f3", "f2")


@pytest.mark.parametrize("mode", [Mode.LONG, Mode.COMPATIBILITY])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.map.name} {row.opcodes[0]:02X} {sorted(row.traits)}")
def test_the_instructions_of_a_block_are_as_long_as_they_are(row: Row, mode: Mode) -> None:
    """A fault after them in their block: native code finds its place by their lengths."""
    absent = "i32" if mode is Mode.LONG else "i64"
    if row.map not in _ESCAPES or row.traits & {absent, "system", "port", "far"} or row.modrm == "m":
        return
    for opcode in {row.opcodes[0], row.opcodes[-1]}:
        for extension in row.extensions:
            code = bytes.fromhex(f"{_MANDATORY[row.prefixes[0]]}{_ESCAPES[row.map]}{opcode:02x}")
            code += bytes([0xC3 | extension << 3]) if row.modrm != "-" else b""
            found = decode(code + bytes(10), long=mode is Mode.LONG)
            assert found is not None
            body = b"\x90" + (code + bytes(10))[: found.length] + b"\x90"
            if mode is Mode.LONG:
                program = loop(body + b"\x48\x8b\x04\x25\0\0\0\0", rounds=1)
            else:
                program = loop_32(body + b"\x8b\x05\0\0\0\0", mode, rounds=1)
            one, other = (bench(kind).run(program, floating_point=False) for kind in ("by block", "by instruction"))
            assert one == other


def test_a_fetch_that_faults_after_a_block_has_the_address_of_its_target() -> None:
    """LOOP from the end of a page into an absent one: finding its length reads code of that page, too."""
    code = b"\xe2\x3a".rjust(PAGE_SIZE - len(layout.END), b"\x90")
    values = dict.fromkeys(GENERAL, 0) | {"RSP": layout.STACK_POINTER, "RCX": 5}
    program = Program(code, registers=tuple(values.values()), limit=2 * PAGE_SIZE)
    result = run(program, "by block")
    assert (result.vector, result.registers["CR2"]) == (PF, layout.CODE + len(code) + 0x3A)
    assert result == run(program, "by instruction")
