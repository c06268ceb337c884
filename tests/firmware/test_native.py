"""guest=native: a flat payload is measured, locked, run in ring 3 and erased, on a PC without the enclave's devices."""

import random
import struct

import pytest

import payloads
from enclave_sim.memory_map import region
from enclave_sim.recording.outcome.residue import scan
from machine.boot.multiboot2 import MEMORY_MAP
from machine.machine import Machine, Outcome
from tests.firmware.plain_pc import command_line, lines, load, pc
from tests.sampling import sampled

pytestmark = pytest.mark.slow

BOOT = ["PROT_ENTRY", "MEM_MAP", "WASM_INIT", "CYCLE 00000000", "EXEC_LOOP"]
END = [f"A{step}" for step in range(1, 8)]
UNUSABLE = range(0x9_FC00, 0x10_0000)
QUITTER = payloads.read_flat("quitter")
REJECTED = ["PROT_ENTRY", "MEM_MAP", "PAYLOAD_REJECTED 00000107", *END]


def run(command: str, *modules: bytes) -> Machine:
    machine = pc()
    load(machine, command, modules)
    assert machine.run(60_000_000_000) is Outcome.HALTED
    return machine


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("quitter", ["SIGNAL 00000001", "SHRED_SELF 00000000"]),
        ("stray", ["SIGNAL 00000002", "GUEST_FAULT 0000000e"]),
        ("usurper", ["SIGNAL 00000003", "GUEST_FAULT 0000000d"]),
        ("forger", ["SIGNAL 00000004", "GUEST_FAULT 0000000d"]),
        ("vandal", ["SIGNAL 00000005", "GUEST_FAULT 0000000e"]),
        ("smuggler", ["SIGNAL 00000006", "GUEST_FAULT 0000000e"]),
        ("runner", ["SIGNAL 00004e20", "SIGNAL 00000000", "COMPLETED 00000000"]),
        ("surveyor", ["SIGNAL 0000008f", "SIGNAL 00000000", "COMPLETED 00000000"]),
    ],
)
def test_the_serial_line_tells_a_whole_life(name: str, told: list[str]) -> None:
    payload = payloads.read_flat(name)
    assert lines(run(command_line(payload), payload)) == [*BOOT, *told, *END]


def test_nothing_of_a_cycle_is_found_in_the_next() -> None:
    payload = payloads.read_flat("surveyor")
    told = lines(run(command_line(payload, "cycles=3"), payload))
    assert [line for line in told if line.startswith("SIGNAL")][1::2] == ["SIGNAL 00000000"] * 3


# The measurement.


@pytest.mark.parametrize("length", sampled([55, 56, 63, 64, 65, 119, 120, 128, 5000], 55, 5000))
def test_the_kernel_computes_the_sha_256_that_everybody_computes(length: int) -> None:
    payload = QUITTER + random.Random(length).randbytes(length - len(QUITTER))
    assert lines(run(command_line(payload), payload))[: len(BOOT)] == BOOT


@pytest.mark.slow
def test_a_payload_may_fill_the_staging_area() -> None:
    payload = QUITTER + bytes(region("staging").size - len(QUITTER))
    machine = pc(64 << 20)
    load(machine, command_line(payload), [payload])
    assert machine.run(60_000_000_000) is Outcome.HALTED
    assert lines(machine)[: len(BOOT)] == BOOT


@pytest.mark.parametrize("at", sampled([0, 20, 47], 20))
def test_a_payload_that_differs_in_one_bit_from_the_one_measured_is_rejected(at: int) -> None:
    changed = bytearray(QUITTER)
    changed[at] ^= 1
    assert lines(run(command_line(QUITTER), bytes(changed))) == REJECTED


def test_a_payload_without_a_measurement_is_rejected() -> None:
    assert lines(run("guest=native", QUITTER)) == REJECTED


def test_a_flat_payload_runs_alone() -> None:
    told = lines(run(command_line(QUITTER), QUITTER, QUITTER))
    assert told == ["PROT_ENTRY", "MEM_MAP", "PAYLOAD_REJECTED 00000108", *END]


@pytest.mark.parametrize(
    "word",
    sampled(
        ["guest=nativ", "guest=natives", "sha256=", "sha256=" + 63 * "0", "sha256=" + 65 * "0"],
        "guest=nativ",
        "sha256=",
    ),
)
def test_a_word_that_is_not_an_option_is_a_kernel_fault(word: str) -> None:
    told = lines(run(f"guest=native {word}", QUITTER))
    assert told == ["KERNEL_FAULT 00000104", *END]


def test_without_the_option_a_pc_has_no_vmm_and_the_enclave_says_nothing_more() -> None:
    assert lines(run("", QUITTER)) == ["PROT_ENTRY", "MEM_MAP"]


# Residue.


@pytest.mark.parametrize("ram_size", sampled([16 << 20, 17 << 20, 48 << 20], 17 << 20))
def test_all_usable_ram_is_erased_whatever_was_in_it(ram_size: int) -> None:
    machine = pc(ram_size)
    noise = random.Random(ram_size).randbytes(1 << 20) * (ram_size >> 20)
    machine.ram.write(0, noise)
    loaded = load(machine, command_line(QUITTER), [QUITTER])
    assert machine.run(60_000_000_000) is Outcome.HALTED
    usable = [range(UNUSABLE.start), range(UNUSABLE.stop, ram_size)]
    left = scan(machine.ram, loaded.executable.segments, usable)
    assert (left.total_bytes, left.scanned_bytes) == (0, ram_size - len(UNUSABLE))
    # The kernel must not write the BIOS's memory.
    assert machine.ram.read(UNUSABLE.start, len(UNUSABLE)) == noise[UNUSABLE.start : UNUSABLE.stop]


def test_a_guests_secret_makes_no_difference_in_the_end() -> None:
    payload = payloads.read_flat("surveyor")
    secret = struct.pack("<Q", 0x5EC2E75EC2E75EC2)
    assert secret in payload
    ends = []
    for value in (secret, b"\x11\x22\x33\x44\x55\x66\x77\x01"):
        guest = payload.replace(secret, value)
        machine = run(command_line(guest, "cycles=2"), guest)
        names = "RAX RBX RCX RDX RSI RDI RBP RSP R8 R9 R10 R11 R12 R13 R14 R15 RIP RFLAGS".split()
        names += "CS DS ES FS GS SS FS_BASE GS_BASE CR0 CR2 CR3 CR4 MXCSR FPSW FPCW FPTAG DR6 DR7".split()
        names += [f"XMM{n}" for n in range(16)] + [f"ST{n}" for n in range(8)]
        registers = {name: machine.cpu.engine.uc.reg_read(_constant(name)) for name in names}
        tables = {name: machine.cpu.read_table_register(name) for name in ("GDTR", "IDTR", "LDTR", "TR")}
        ends.append((registers, tables, bytes(machine.ram.view)))
    assert ends[0] == ends[1]
    assert {ends[0][0][name] for name in ("DS", "ES", "FS", "GS", "RAX", "RSI", "RDI", "R9", "XMM7")} == {0}


def _constant(name: str) -> int:
    from unicorn import x86_const

    return int(getattr(x86_const, f"UC_X86_REG_{name}"))


# Configurations that the kernel refuses before it begins.


def refused(change: tuple[bytes, bytes]) -> Machine:
    """A PC whose boot information holds `change[1]` in place of `change[0]`."""
    machine = pc()
    loaded = load(machine, command_line(QUITTER), [QUITTER])
    at, length = loaded.information
    information = machine.ram.read(at, length)
    assert information.count(change[0]) == 1
    machine.ram.write(at, information.replace(*change))
    assert machine.run() is Outcome.HALTED
    return machine


@pytest.mark.parametrize("length", [0xFFF0_0000, 0x1_0000_0000, 0x10_0000_0000])
def test_ram_beyond_4_gib_is_refused(length: int) -> None:
    usable = struct.pack("<QQI", 0x10_0000, (16 << 20) - 0x10_0000, 1)
    machine = refused((usable, struct.pack("<QQI", 0x10_0000, length, 1)))
    assert lines(machine) == ["there is RAM beyond 4 GiB, which would not be scrubbed"]
    assert machine.post_code.code == 0xE5


def test_a_loader_without_a_memory_map_is_refused() -> None:
    tag = struct.pack("<IIII", MEMORY_MAP, 16 + 3 * 24, 24, 0)
    machine = refused((tag, struct.pack("<IIII", 99, 16 + 3 * 24, 24, 0)))
    assert lines(machine) == ["the loader gave no memory map"]
    assert machine.post_code.code == 0xE4
