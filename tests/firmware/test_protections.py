"""UMIP, SMEP and SMAP: the kernel turns on those offered by CPUID leaf 7, checks them in PROT_ENTRY, and obeys them."""

from contextlib import ExitStack
from typing import Any

import pytest

import firmware
import payloads
from enclave_sim import Enclave
from enclave_sim.specification import Cause, describe_detail
from machine.architecture import cpuid
from machine.architecture.control_registers import CR4_SMAP, CR4_SMEP, CR4_UMIP
from machine.boot import loader
from machine.machine import Machine, Outcome
from machine.processor.cpu import FLAG_AC
from tests.firmware.changed_kernel import build_changed
from tests.firmware.plain_pc import command_line, lines, pc
from tests.mutants.defect import Edit, Kernel

pytestmark = pytest.mark.slow

END = [f"A{step}" for step in range(1, 8)]
LIFE = ["PROT_ENTRY", "MEM_MAP", "WASM_INIT", "CYCLE 00000000", "EXEC_LOOP", "SIGNAL 00000001", "SHRED_SELF 00000000"]
CHECK_FAILED = firmware.layout()["DETAIL_CHECK_FAILED"]
QUITTER = payloads.read_flat("quitter")
ALL = CR4_UMIP | CR4_SMEP | CR4_SMAP
_EBX, _ECX = 1, 2


def run(kernel: bytes | None = None, payload: bytes = QUITTER, outcome: Outcome = Outcome.HALTED) -> Machine:
    """A plain PC on which the kernel hashes and scrubs by itself, so that it accesses the guest's pages."""
    machine = pc()
    modules = [loader.Module(payload, "payload0")]
    loader.load(machine, kernel or firmware.built_in().image, command_line(payload), modules)
    assert machine.run(60_000_000_000) is outcome
    return machine


def offer(monkeypatch: Any, without: tuple[tuple[int, int], ...]) -> None:
    """Remove bits from CPUID leaf 7, each given as a register and a number."""
    leaf = list(cpuid.cpuid(7))
    for register, bit in without:
        leaf[register] &= ~(1 << bit)
    monkeypatch.setitem(cpuid._LEAVES, 7, (tuple(leaf),))


def changed(*edits: Edit) -> bytes:
    """The kernel, built from changed sources."""
    return build_changed(edits)[0]


def test_what_is_offered_is_on() -> None:
    machine = run()
    assert machine.cpu.registers.cr[4] & ALL == ALL
    assert lines(machine) == [*LIFE, *END]


@pytest.mark.parametrize(
    ("without", "on"),
    [
        (((_ECX, 2),), CR4_SMEP | CR4_SMAP),
        (((_EBX, 7),), CR4_UMIP | CR4_SMAP),
        (((_EBX, 20),), CR4_UMIP | CR4_SMEP),
        (((_ECX, 2), (_EBX, 7), (_EBX, 20)), 0),
    ],
)
def test_what_is_not_offered_stays_off(monkeypatch: Any, without: tuple[tuple[int, int], ...], on: int) -> None:
    offer(monkeypatch, without)
    machine = run()
    assert machine.cpu.registers.cr[4] & ALL == on
    assert lines(machine) == [*LIFE, *END]


def test_a_processor_without_leaf_7_offers_nothing(monkeypatch: Any) -> None:
    """On Intel processors a leaf above the highest returns the highest one, whose bits mean something else."""
    everything = (1 << 32) - 1
    monkeypatch.setattr(cpuid, "_HIGHEST_BASIC", 6)
    monkeypatch.setitem(cpuid._LEAVES, 6, ((everything, everything, everything, everything),))
    machine = run()
    assert machine.cpu.registers.cr[4] & ALL == 0
    assert lines(machine) == [*LIFE, *END]


@pytest.mark.slow
@pytest.mark.parametrize(
    "line", ["%ecx, CPUID_UMIP, CR4_UMIP", "%ebx, CPUID_SMEP, CR4_SMEP", "%ebx, CPUID_SMAP, CR4_SMAP"]
)
def test_prot_entry_does_not_end_while_one_is_off(line: str) -> None:
    with ExitStack() as stack:
        kernel = Kernel((Edit("boot.S", f"        offered {line}\n"),)).made(stack)
        result = Enclave("counter", firmware=kernel).run()
    assert (result.outcome, result.detail) == ("KERNEL_FAULT", describe_detail(Cause.KERNEL_FAULT, CHECK_FAILED))
    assert [phase.state for phase in result.phases] == [None]


_SERVE = "    case CALL_SHRED_SELF:\n"
_TOUCH = "        *(volatile u32 *)(u64)HEAP_BASE = 1;\n"
_READ = "        (void)*(volatile u32 *)(u64)GUEST_STACK_BASE;\n"
_EXECUTE = "        ((void (*)(void))gate)();\n"


@pytest.mark.slow
@pytest.mark.parametrize("mistake", [_TOUCH, _READ, _EXECUTE], ids=["write", "read", "execute"])
def test_a_kernel_that_uses_a_page_of_ring_3_is_stopped(mistake: str) -> None:
    kernel = changed(Edit("traps.c", _SERVE, _SERVE + mistake))
    assert lines(run(kernel)) == [*LIFE[:-1], "KERNEL_FAULT 0000000e", *END]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("edit", "outcome"),
    [
        (Edit("digest.c", "user_pages_open();"), Outcome.HALTED),  # its own digest: again and again, before its IDT
        (Edit("scrub.c", 'user_pages_open();\n    __asm__ volatile("rep stosq"', '__asm__ volatile("rep stosq"'), None),
    ],
)
def test_ring_0_reaches_ring_3s_pages_only_where_it_says_so(
    monkeypatch: Any, edit: Edit, outcome: Outcome | None
) -> None:
    kernel = changed(edit)
    machine = run(kernel, outcome=outcome or Outcome.HALTED)
    assert lines(machine) == ([] if outcome else ["PROT_ENTRY", "KERNEL_FAULT 0000000e", *END])
    offer(monkeypatch, ((_EBX, 20),))
    assert lines(run(kernel)) == [*LIFE, *END]


def test_a_guest_that_sets_ac_does_not_suspend_smap() -> None:
    """PUSHFQ; OR [RSP], 40000h; POPFQ; then host call 2: the flags in DORMANT are the kernel's own."""
    guest = bytes.fromhex("9c 48810c2400000400 9d b802000000 cd80")
    assert not run(payload=guest).cpu.rflags & FLAG_AC
