"""Pages from which the processor fetches: how often their permissions change, and what that costs nobody."""

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
    """Arguments of all calls of a method from now on."""
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
    entered = calls_of(machine.cpu, "_enter", monkeypatch)
    assert machine.run() is Outcome.HALTED
    assert machine.clock.now_ns > 3000
    assert len(entered) < 20


def test_a_guarded_page_is_left_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop lies in a page without such code, and is translated."""
    machine = machine_at(START, GUARDING + bytes.fromhex("E9F50F0000"))
    machine.ram.write(2 * START, bytes.fromhex("B9E8030000 01C3 49 75FB F4"))
    entered = calls_of(machine.cpu, "_enter", monkeypatch)
    assert machine.run() is Outcome.HALTED
    assert machine.clock.now_ns > 3000
    assert [steps for (steps,) in entered if steps][1:].count(4) <= 2
    assert len(entered) < 20


@pytest.mark.parametrize("step", [PAGE_SIZE, 2 * PAGE_SIZE, 5 * PAGE_SIZE])
def test_permissions_change_less_often_the_more_pages_there_are(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unicorn takes time for each change that grows with the number of changes before."""
    pages = range(START, 16 * MIB, step)
    machine = machine_at(START, b"")
    load_hops(machine, pages)
    machine.start(START, {})
    changes = calls_of(machine.cpu.uc, "mem_protect", monkeypatch)
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
