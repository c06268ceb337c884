"""The state of a machine in parts: all that can differ, with one line for each difference."""

from dataclasses import replace
from functools import cache

import pytest

from enclave_sim.guarantees import observe
from enclave_sim.guarantees.watchers.machine_state import MachineState
from enclave_sim.memory_map import region
from machine.bus.ram import PAGE_SIZE


@cache
def state() -> MachineState:
    return observe("beacon").final


def test_the_parts_of_devices_are_state_and_the_vmm_behind_the_mailbox_is_not_a_device() -> None:
    parts = {"LocalApic._timer", "LocalApic._table", "PicPair.first", "Pit8254.channels", "TpmCrb.tpm"}
    assert parts | {"AttestationPort.verifier", "Mailbox._registers"} <= state().devices.keys()
    assert "Mailbox._vmm" not in state().devices


def test_every_register_that_the_manual_names_is_state() -> None:
    names = "RAX R15 RIP RFLAGS CS SS DS ES FS GS CR0 CR2 CR3 CR4 EFER DR0 DR1 DR2 DR3 DR6 DR7 MXCSR GDTR IDTR LDTR TR"
    assert {*names.split(), "FS.base", "GS.base", "XMM", "x87", "TSC_AUX", "APIC_BASE"} <= state().registers.keys()


def test_a_state_does_not_differ_from_itself_nor_by_its_time() -> None:
    assert state().differences(replace(state(), at_ns=state().at_ns + 1)) == []


def test_a_page_differs_by_its_bytes_whichever_side_has_it() -> None:
    heap = region("heap").base
    page = b"\0\0\5\0\6" + bytes(PAGE_SIZE - 5)
    other = replace(state(), pages={**state().pages, heap: page})
    line = f"RAM, heap: 2 bytes of page {heap:#x} differ, the first at {heap + 2:#x}"
    assert state().differences(other) == other.differences(state()) == [line]
    assert replace(state(), pages={**state().pages, heap: bytes(PAGE_SIZE)}).differences(state()) == []


def test_a_register_and_a_device_are_shown_with_both_values() -> None:
    other = replace(
        state(),
        registers={**state().registers, "R10": 0x70},
        devices={**state().devices, "PostCode.code": "other"},
    )
    code = state().devices["PostCode.code"]
    assert state().differences(other) == ["register R10: 0x0 and 0x70", f"device PostCode.code: {code!r} and 'other'"]


@pytest.mark.parametrize(("length", "shown"), [(58, "x" * 58), (59, "x" * 56 + "...")])
def test_a_long_value_is_cut_to_60_characters(length: int, shown: str) -> None:
    """Quotation marks included."""
    other = replace(state(), devices={**state().devices, "PostCode.code": "x" * length})
    (line,) = state().differences(other)
    assert line.endswith(f" and '{shown}" + ("'" if length < 59 else ""))
