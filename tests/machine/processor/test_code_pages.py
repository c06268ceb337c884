"""Pages from which the processor fetches: the number of permission changes, and correctness."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machine.bus.ram import PAGE_SIZE
from machine.machine import Machine, MachineConfiguration, Outcome
from machine.processor.untranslatable import Edges, looks_untranslatable

MIB = 1 << 20
START = 0x1000
GUARDING = bytes.fromhex("EB04 F00FA3C8")  # JMP over BT ECX, EAX with LOCK
UNTRANSLATABLE = bytes.fromhex("F066F00FBAE805")


def machine_at(where: int, code: bytes, ram: int = 16 * MIB) -> Machine:
    """A machine in protected mode, without an IDT: an exception is a shutdown."""
    machine = Machine(MachineConfiguration(ram))
    machine.ram.write(where, code)
    machine.start(where, {})
    return machine


def calls_of(target: object, name: str, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Arguments of all later calls of a method."""
    calls, method = [], getattr(target, name)

    def spy(*arguments: Any, **options: Any) -> Any:
        calls.append(arguments)
        return method(*arguments, **options)

    monkeypatch.setattr(target, name, spy)
    return calls


def load_hops(machine: Machine, pages: range) -> None:
    for page in pages:
        jump = b"\xe9" + (pages.step - 5).to_bytes(4, "little")
        machine.ram.write(page, jump if page + pages.step in pages else b"\xf4")


def test_a_guarded_page_is_stepped_without_returning_to_python(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = bytes.fromhex("B9E8030000 01C3 49 75FB F4")  # MOV ECX, 1000; ADD EBX, EAX; DEC ECX; JNZ; HLT
    machine = machine_at(START, GUARDING + loop)
    entered = calls_of(machine.cpu.engine, "_enter", monkeypatch)
    assert machine.run() is Outcome.HALTED
    assert machine.clock.now_ns > 3000
    assert len(entered) < 20


def test_a_guarded_page_is_left_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop is in a page without such code, and is translated."""
    machine = machine_at(START, GUARDING + bytes.fromhex("E9F50F0000"))
    machine.ram.write(2 * START, bytes.fromhex("B9E8030000 01C3 49 75FB F4"))
    entered = calls_of(machine.cpu.engine, "_enter", monkeypatch)
    assert machine.run() is Outcome.HALTED
    assert machine.clock.now_ns > 3000
    assert [steps for (steps,) in entered if steps][1:].count(4) <= 2
    assert len(entered) < 20


@pytest.mark.slow
@pytest.mark.parametrize("step", [PAGE_SIZE, 2 * PAGE_SIZE, 5 * PAGE_SIZE])
def test_permissions_change_less_often_the_more_pages_there_are(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unicorn's time for each change grows with the number of earlier changes."""
    pages = range(START, 16 * MIB, step)
    machine = machine_at(START, b"")
    load_hops(machine, pages)
    machine.start(START, {})
    changes = calls_of(machine.cpu.engine.uc, "mem_protect", monkeypatch)
    assert machine.run() is Outcome.HALTED
    assert machine.clock.now_ns == len(pages)
    assert len(changes) < 32 * (16 * MIB // PAGE_SIZE).bit_length()


def test_data_beside_many_pages_of_code_is_written_by_unicorn(monkeypatch: pytest.MonkeyPatch) -> None:
    pages = range(START, START + 301 * PAGE_SIZE, PAGE_SIZE)
    machine = machine_at(START, b"")
    load_hops(machine, pages)
    data = pages[-1] + PAGE_SIZE
    loop = b"\xb9\xe8\x03\0\0" + b"\xa3" + data.to_bytes(4, "little") + bytes.fromhex("49 75F8 F4")  # MOV [data], EAX
    machine.ram.write(pages[-1], loop)
    machine.start(START, {})
    machine.cpu.write_register("RAX", 0x1234_5678)
    stores = calls_of(machine.ram, "write", monkeypatch)
    assert machine.run() is Outcome.HALTED
    assert machine.ram.read(data, 4) == bytes.fromhex("78563412")
    assert len(stores) <= 1


def test_such_data_is_executed_when_it_is_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """The program writes INC EAX; HLT after itself, first over a page that was included, then over its own code."""
    pages = range(START, START + 301 * PAGE_SIZE, PAGE_SIZE)
    machine = machine_at(START, b"")
    load_hops(machine, pages)
    data = pages[-1] + PAGE_SIZE
    store = b"\xc7\x05" + data.to_bytes(4, "little") + bytes.fromhex("40F49090")
    machine.ram.write(pages[-1], store + b"\xe9" + (PAGE_SIZE - len(store) - 5).to_bytes(4, "little"))
    for rounds in (1, 2, 3):
        machine.start(START, {})
        machine.cpu.write_register("RAX", rounds)
        assert machine.run() is Outcome.HALTED
        assert machine.cpu.read_register("RAX") == rounds + 1


@pytest.mark.parametrize("where", [0, 7, 150, 299])
def test_one_untranslatable_instruction_among_many_pages(where: int) -> None:
    pages = range(START, START + 300 * PAGE_SIZE, PAGE_SIZE)
    machine = machine_at(START, b"")
    load_hops(machine, pages)
    machine.ram.write(pages[where] + 64, UNTRANSLATABLE)
    machine.start(START, {})
    assert machine.run() is Outcome.HALTED
    machine.start(pages[where] + 64, {})
    assert (machine.run(), machine.cpu.rip) == (Outcome.SHUTDOWN, pages[where] + 64)


@given(st.integers(1, len(UNTRANSLATABLE) - 1), st.binary(max_size=8), st.binary(max_size=8))
def test_an_instruction_cut_in_two_is_recognized_by_its_edges(cut: int, before: bytes, after: bytes) -> None:
    start, end = UNTRANSLATABLE[cut:] + after, before + UNTRANSLATABLE[:cut]
    assert looks_untranslatable(end + start)
    whole = looks_untranslatable(UNTRANSLATABLE[:cut]) or looks_untranslatable(UNTRANSLATABLE[cut:])
    for order in ((0, 1), (1, 0)):
        edges = Edges()
        found = [edges.update(page, *((b"", end), (start, b""))[page]) for page in order]
        assert found == [False, True] or whole


def test_edges_that_are_gone_fit_nothing() -> None:
    edges = Edges()
    assert not edges.update(0, b"", b"\xf0")
    assert edges.update(1, b"\x0f\xa3\xc8", b"")
    assert not edges.update(0, b"", b"\x90")
    assert not edges.update(1, b"\x0f\xa3\xc8", b"")
    assert edges.update(2, b"", b"\xf0\x2e")
    edges.forget(2)
    assert not edges.update(1, b"\x0f\xa3\xc8", b"")


def test_lock_does_not_leave_a_guarded_page(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = bytes.fromhex("B9E8030000 F0FF0500800000 49 75F6 F4")  # MOV ECX, 1000; LOCK INC [8000H]; DEC ECX; JNZ; HLT
    machine = machine_at(START, GUARDING + loop)
    entered = calls_of(machine.cpu.engine, "_enter", monkeypatch)
    assert machine.run() is Outcome.HALTED
    assert machine.ram.read(0x8000, 4) == (1000).to_bytes(4, "little")
    assert len(entered) < 20


def test_a_call_from_a_guarded_page_enters_the_engine_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once for each page, and it looks up one page."""
    loop = bytes.fromhex("B9E8030000 E8F00F0000 49 75F8 F4")  # MOV ECX, 1000; CALL 2000H; DEC ECX; JNZ; HLT
    machine = machine_at(START, GUARDING + loop)
    machine.cpu.write_register("RSP", 0x9000)
    machine.ram.write(2 * START, b"\xc3")
    entered, looked = (
        calls_of(machine.cpu.engine, "_enter", monkeypatch),
        calls_of(machine.cpu.memory, "look", monkeypatch),
    )
    assert machine.run() is Outcome.HALTED
    assert len(entered) <= 3 * 1000 + 20
    assert len(looked) <= 1000 + 20


STORES = {2: "66A3", 4: "A3", 8: "0F7F05", 16: "0F1105"}
"""MOV AX and EAX, MOVQ MM0 and MOVUPS XMM0 to an absolute address of 32 bits, by size in bytes."""


@pytest.mark.parametrize("size", STORES)
def test_a_store_into_code_that_is_not_aligned_is_made_once(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In pages with code."""
    at = START + 0x801
    machine = machine_at(START, bytes.fromhex(STORES[size]) + at.to_bytes(4, "little") + b"\xf4")
    enable_sse(machine)
    writes = calls_of(machine.ram, "write", monkeypatch)
    assert machine.run() is Outcome.HALTED
    assert len([where for where, _ in writes if at <= where < at + size]) == 1


def enable_sse(machine: Machine) -> None:
    machine.cpu.registers.cr[4] |= 1 << 9
    machine.cpu.registers.hflags |= 1 << 22


def swap_two_pages(machine: Machine, linear: int, physical: int) -> None:
    """Turn on paging; all but two of the first 1024 pages lie at their own addresses."""
    entries = [number * PAGE_SIZE | 7 for number in range(1024)]
    first, second = linear // PAGE_SIZE, physical // PAGE_SIZE
    entries[first], entries[second] = entries[second], entries[first]
    machine.ram.write(0x10000, (0x11000 | 7).to_bytes(4, "little"))
    machine.ram.write(0x11000, b"".join(entry.to_bytes(4, "little") for entry in entries))
    machine.cpu.registers.cr[3] = 0x10000
    machine.cpu.registers.cr[0] |= 1 << 31
    machine.cpu.engine.paging.flush_tlb()


@given(st.sampled_from(sorted(STORES)), st.integers(-20, 4), st.binary(min_size=16, max_size=16), st.booleans())
def test_a_store_to_two_pages_of_code(size: int, offset: int, value: bytes, both: bool) -> None:
    """They are not adjacent in RAM. The second may never have been executed."""
    second, at = 0x5000, 2 * START + offset
    code = bytes.fromhex(STORES[size]) + at.to_bytes(4, "little") + b"\xf4"
    machine = machine_at(START, b"\xe8\xfb\x0f\0\0" + code if both else code)
    machine.ram.write(second + 0x800, b"\xc3")
    machine.ram.write(second, bytes.fromhex("E9FB070000"))
    enable_sse(machine)
    swap_two_pages(machine, 2 * START, second)
    registers = machine.cpu.registers
    registers.rsp, registers.rax = 0x9000, int.from_bytes(value[:4], "little")
    machine.cpu.context.write_mmx(0, int.from_bytes(value[:8], "little"))
    machine.cpu.context.write_vector(0, int.from_bytes(value, "little"))
    assert machine.run() is Outcome.HALTED
    in_first = max(0, min(size, -offset))
    assert machine.ram.read(at, in_first) == value[:in_first]
    assert machine.ram.read(second + max(0, offset), size - in_first) == value[in_first:size]
    assert machine.ram.read(2 * START, PAGE_SIZE) == bytes(PAGE_SIZE)
