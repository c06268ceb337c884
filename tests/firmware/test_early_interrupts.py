"""Interrupts and exceptions before the kernel has its own IDT: early.S."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

import firmware
from enclave_sim import Enclave, Phase
from enclave_sim.events import PhaseEntered
from enclave_sim.inputs import HardwareFault, MemoryFault
from enclave_sim.recording.outcome.summary import RunResult
from enclave_sim.sweeps import Arrival, Sweep
from machine.boot import loader
from machine.events import ModeSwitched
from machine.machine import Machine, Outcome
from tests.firmware.plain_pc import command_line, pc

FIRST_WITH_TABLES = 4
"""LIDT is the fourth instruction; before it nothing can be had."""
NMI, LIMIT_NS = 2, 10_000_000
UD2 = b"\x0f\x0b"
EARLY_FAULT = ("KERNEL_FAULT", "an exception before the kernel had its IDT")


@cache
def moments() -> tuple[int, int, int]:
    """Virtual times: long mode is active, 64-bit code begins, phase PROT_ENTRY is entered."""
    enclave = Enclave("beacon")
    enclave.run_to(Phase.PROT_ENTRY)
    assert enclave.recording is not None
    compatible, long = [one.at_ns for one in enclave.recording.of_kind(ModeSwitched)][-2:]
    return compatible, long, enclave.recording.of_kind(PhaseEntered)[0].at_ns


def nmi(at_ns: int) -> HardwareFault:
    return HardwareFault(at_ns=at_ns, part="interrupt", effect="raise", value=NMI)


def result_with(*inputs: Any) -> RunResult:
    """The result of the beacon with some inputs; whatever comes, nothing else must stay in RAM."""
    result = Enclave("beacon", inputs=inputs).run(LIMIT_NS)
    spoilt = {one.address for one in inputs if isinstance(one, MemoryFault)}
    assert {one["base"] + n for one in result.residue for n in range(len(one["bytes"]) // 2)} <= spoilt
    return result


def windows() -> Iterator[range]:
    """Instants of all kinds: the first ones, the mode switch, and the time at which the kernel's own IDT is loaded."""
    compatible, long, prot_entry = moments()
    yield range(FIRST_WITH_TABLES, 40)
    yield range(compatible - 30, long + 30)
    yield range(prot_entry - 40, prot_entry + 10)


def test_nothing_can_be_had_in_the_first_four_instructions() -> None:
    (entry,) = Sweep("beacon", kinds=[Arrival.NMI], window=range(FIRST_WITH_TABLES)).run().entries
    assert (entry.runs, entry.outcome.verdict) == (FIRST_WITH_TABLES, "NOT ANNIHILATED")


@pytest.mark.slow
def test_an_nmi_at_any_later_instant_annihilates() -> None:
    for window in windows():
        table = Sweep("beacon", kinds=[Arrival.NMI], window=window).run()
        assert table.holds
        assert {(one.outcome.outcome, one.outcome.detail) for one in table.entries} == {("TAMPER", "NMI")}


@pytest.mark.parametrize("at_ns", [FIRST_WITH_TABLES, 700, 12_000])
def test_it_does_so_before_anything_else(at_ns: int) -> None:
    result = result_with(nmi(at_ns))
    assert (result.outcome, result.detail, result.halted) == ("TAMPER", "NMI", True)
    assert [phase.name for phase in result.phases] == ["PROT_ENTRY"]


def test_several_nmis_are_as_one() -> None:
    compatible, long, _ = moments()
    result = result_with(*map(nmi, (5, 6, 300, compatible, long + 1)))
    assert (result.outcome, result.detail) == ("TAMPER", "NMI")


def spoilt(symbol: str) -> list[MemoryFault]:
    """Inputs that put UD2 at a symbol before boot."""
    at, image = firmware.built_in().symbols[symbol], pc()
    loader.load(image, firmware.built_in().image, "", [])
    known = image.ram.read(at, len(UD2))
    wrong = [MemoryFault(at_ns=0, address=at + n, bits=known[n] ^ UD2[n]) for n in range(len(UD2))]
    return [one for one in wrong if one.bits]


@pytest.mark.parametrize("symbol", ["move", "skip", "zero_free_ram"])
def test_a_fault_in_32_bit_code_annihilates_and_leaves_no_module_where_the_loader_put_it(symbol: str) -> None:
    result = result_with(*spoilt(symbol))
    if symbol == "zero_free_ram":  # the enclave's node does not need it
        assert result.outcome == "COMPLETED"
    else:
        assert ((result.outcome, result.detail), result.halted) == (EARLY_FAULT, True)


@pytest.mark.parametrize(("mode", "after_ns", "bit"), [
    (0, 0, 21),  # in compatibility mode, to a page that is not mapped
    (1, 0, 40),
    (1, 5, 46),
])  # fmt: skip
def test_a_fault_after_the_switch_to_long_mode_annihilates(mode: int, after_ns: int, bit: int) -> None:
    fault = HardwareFault(at_ns=moments()[mode] + after_ns, part="rip", effect="flip", value=1 << bit)
    result = result_with(fault)
    assert ((result.outcome, result.detail), result.halted) == (EARLY_FAULT, True)


def test_a_fault_on_the_way_to_annihilation_halts() -> None:
    result = result_with(*spoilt("move"), *spoilt("protections"))
    assert result.outcome == "KERNEL_STOPPED"
    assert result.detail.startswith("halted for good")


@pytest.mark.slow
def test_a_plain_pc_annihilates_too() -> None:
    machine: Machine = pc()
    payload = b"\xb8\x02\x00\x00\x00\xcd\x80"  # mov eax, 2; int 80h
    loader.load(machine, firmware.built_in().image, command_line(payload), [loader.Module(payload, "payload0")])
    machine.run(100)
    machine.request_nmi()
    assert machine.run(60_000_000_000) is Outcome.HALTED
    assert payload not in machine.ram.read(0, machine.ram.size)
    assert machine.uart.transmitted == b""
