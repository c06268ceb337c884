"""The enclave's firmware from boot to annihilation, on QEMU and here: the same run, without residue. A flat payload
runs in ring 3 (`guest=native`). QEMU has none of the enclave's devices, so our machine is a plain PC too; an enclave
with all its devices runs beside them. QEMU's whole RAM is then dumped and checked for residue as an enclave's.
"""

import functools
import shutil
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import firmware
import payloads
from enclave_sim import Enclave, Status
from enclave_sim.memory_map import region
from enclave_sim.recording.outcome.residue import Residue, scan
from firmware.build import SOURCES, build
from machine.boot import elf
from machine.boot.multiboot2 import MEMORY_MAP
from machine.bus.ram import Ram
from machine.machine import Outcome
from tests.firmware.plain_pc import command_line
from tests.oracle import ours, qemu
from tests.oracle.compare import difference
from tests.oracle.image import Image
from tests.oracle.records import Record, Run

pytestmark = pytest.mark.slow

CYCLES, WAKE_NS, QUANTUM_NS = 3, 50_000, 200_000
OPTIONS = (f"cycles={CYCLES}", f"wake_ns={WAKE_NS}", f"quantum_ns={QUANTUM_NS}")
LIMIT_NS = 20_000_000_000
QUANTUM, WAKE = (firmware.layout()[f"VECTOR_{name}"] for name in ("QUANTUM", "WAKE"))
CYCLE_0 = ["PROT_ENTRY", "MEM_MAP", "WASM_INIT", "CYCLE 00000000", "EXEC_LOOP"]
ANNIHILATION = [f"A{step}" for step in range(1, 8)]
ENDS = {
    "surveyor": "COMPLETED 00000000",
    "runner": "COMPLETED 00000000",
    "quitter": "SHRED_SELF 00000000",
    "stray": "GUEST_FAULT 0000000e",
    "vandal": "GUEST_FAULT 0000000e",
    "smuggler": "GUEST_FAULT 0000000e",
    "usurper": "GUEST_FAULT 0000000d",
    "forger": "GUEST_FAULT 0000000d",
}

# What SeaBIOS calls available in its memory map. The rest is not the kernel's: the extended BIOS data area, the video
# and ROM range with the BIOS's own data (including system management mode), and its ACPI tables.
USABLE = [range(0x9_FC00), range(0x10_0000, qemu.RAM_SIZE - 0x2_0000)]


@dataclass(frozen=True)
class Lives:
    """One payload's three runs."""

    image: Image
    theirs: Run
    plain: Run
    enclave: Run


def image_of(payload: bytes, kernel: bytes | None = None) -> Image:
    return Image(kernel or firmware.image(), command_line(payload, *OPTIONS), (("payload0", payload),))


@functools.cache
def lives(name: str) -> Lives:
    payload = payloads.read_flat(name)
    image = image_of(payload)
    return Lives(image, qemu.run(image, memory=True), on_a_plain_pc(image), in_an_enclave(payload))


def on_a_plain_pc(image: Image) -> Run:
    machine, recording = ours.start(image)
    assert machine.run(LIMIT_NS) is Outcome.HALTED
    return Run(bytes(machine.uart.transmitted), tuple(recording.records), "halted", None, bytes(machine.ram.view))


def in_an_enclave(payload: bytes) -> Run:
    recording = ours.Recording()
    enclave = Enclave(
        payload,
        engine="native",
        attestation="off",
        cycles=CYCLES,
        wake_ns=WAKE_NS,
        quantum_ns=QUANTUM_NS,
        ns_per_instruction=qemu.NS_PER_INSTRUCTION,
        recorder=recording,
    )
    recording.machine = enclave.machine
    assert enclave.run(LIMIT_NS).clean
    return Run(enclave.serial.encode(), tuple(recording.records), "halted")


def residue(run: Run, image: Image, usable: list[range]) -> Residue:
    """The enclave's residue check, on a dump."""
    assert run.memory is not None
    ram = Ram(len(run.memory))
    ram.write(0, run.memory)
    return scan(ram, elf.parse(image.elf).segments, usable)


def test_every_flat_payload_is_compared() -> None:
    assert sorted(ENDS) == list(payloads.flat_names())


@pytest.mark.parametrize("name", ENDS)
def test_qemu_and_our_plain_pc_live_the_same_life(name: str) -> None:
    life = lives(name)
    assert difference(life.image, life.theirs, life.plain) == ""


@pytest.mark.parametrize("name", ENDS)
def test_the_life_on_qemu_is_the_one_the_specification_tells(name: str) -> None:
    told = lives(name).theirs.lines
    assert told[: len(CYCLE_0)] == CYCLE_0
    assert told[-8:] == [ENDS[name], *ANNIHILATION]
    vectors = [record.vector for record in lives(name).theirs.records]
    assert vectors.count(WAKE) == (CYCLES - 1 if ENDS[name].startswith("COMPLETED") else 0)


def test_the_timer_interrupts_ring_3_and_ring_3_never_notices() -> None:
    told = lives("runner").theirs
    preempted = {record.rip for record in told.records if record.vector == QUANTUM and record.ring == 3}
    assert len(preempted) > 3
    assert [line for line in told.lines if line.startswith("SIGNAL")] == ["SIGNAL 00004e20", "SIGNAL 00000000"] * CYCLES


@pytest.mark.parametrize("name", ENDS)
def test_the_enclaves_own_devices_change_nothing_but_time(name: str) -> None:
    """The timer fires elsewhere because the scrub engine is faster, and there is an uplink that is ready."""
    life = lives(name)
    assert list(but_for_time(life.enclave.records)) == list(but_for_time(life.theirs.records))
    assert [without_uplink(name, line) for line in life.enclave.lines] == life.theirs.lines


def but_for_time(records: tuple[Record, ...]) -> Iterator[Record]:
    return (record for record in records if record.vector != QUANTUM)


def without_uplink(name: str, line: str) -> str:
    word, _, number = line.partition(" ")
    if name != "surveyor" or word != "SIGNAL":
        return line
    return f"{word} {int(number, 16) & ~Status.SIGNAL_READY:08x}"


def test_a_payload_that_is_not_the_one_measured_is_rejected_and_erased() -> None:
    payload = payloads.read_flat("quitter")
    named = image_of(payload)
    image = Image(named.elf, named.command_line, (("payload0", payload + b"\x90"),))
    theirs = qemu.run(image, memory=True)
    assert theirs.lines == ["PROT_ENTRY", "MEM_MAP", "PAYLOAD_REJECTED 00000107", *ANNIHILATION]
    assert difference(image, theirs, on_a_plain_pc(image)) == ""
    assert residue(theirs, image, USABLE).ranges == ()


def test_a_machine_with_more_ram_than_can_be_erased_is_refused() -> None:
    theirs = qemu.run(image_of(payloads.read_flat("quitter")), memory=True, options=("-m", "5G"))
    assert theirs.lines == ["there is RAM beyond 4 GiB, which would not be scrubbed"]
    assert (theirs.records, theirs.end) == ((), "halted")


@pytest.mark.parametrize("lacking", ["-umip", "-smep", "-smap", "-umip,-smep,-smap", "level=6"])
def test_the_kernel_boots_on_a_processor_that_lacks_a_protection(lacking: str) -> None:
    """With `level=6` the highest leaf of CPUID is 6, so no leaf can offer a feature."""
    image = image_of(payloads.read_flat("quitter"))
    theirs = qemu.run(image, memory=True, options=("-cpu", f"{qemu.CPU_MODEL},{lacking}"))
    assert theirs.lines == lives("quitter").theirs.lines
    assert residue(theirs, image, USABLE).ranges == ()


@pytest.mark.parametrize(
    ("lacking", "end"),
    [("-smap", "GUEST_FAULT 0000000d"), ("-umip", "COMPLETED 00000000"), ("level=6", "COMPLETED 00000000")],
)
def test_ring_3_learns_where_the_gdt_is_without_umip_alone(lacking: str, end: str) -> None:
    """SGDT [heap]; host call RETURNED."""
    guest = bytes.fromhex("0f010425") + region("heap").base.to_bytes(4, "little") + bytes.fromhex("b803000000cd80")
    theirs = qemu.run(image_of(guest), memory=True, options=("-cpu", f"{qemu.CPU_MODEL},{lacking}"))
    assert theirs.lines[-8] == end


# Residue.


@pytest.mark.parametrize("name", ENDS)
def test_nothing_is_left_in_qemus_ram(name: str) -> None:
    life = lives(name)
    left = residue(life.theirs, life.image, USABLE)
    assert left.ranges == ()
    assert left.scanned_bytes == qemu.RAM_SIZE - 0x6_0400 - 0x2_0000


def test_nothing_is_left_in_ours() -> None:
    life = lives("surveyor")
    assert residue(life.plain, life.image, [range(qemu.RAM_SIZE)]).ranges == ()


def mutant(directory: Path, source: str, line: str) -> bytes:
    """The kernel without one of its lines."""
    shutil.copytree(SOURCES, directory, dirs_exist_ok=True)
    text = (directory / source).read_text()
    assert text.count(line) == 1
    (directory / source).write_text(text.replace(line, ""))
    return build(directory)[0]


@pytest.mark.parametrize(
    ("source", "line", "name", "where"),
    [
        ("annihilate.c", "scrub(STAGING_BASE, STAGING_SIZE);", "quitter", "staging"),
        ("annihilate.c", "scrub(HEAP_BASE, HEAP_SIZE);", "stray", "heap"),
        ("annihilate.c", "scrub(GUEST_STACK_BASE, GUEST_STACK_SIZE);", "quitter", "guest_stack"),
        ("dormant.S", "scrub   CALL_STACK_BASE, CALL_STACK_SIZE", "quitter", "call_stack"),
        ("boot.S", "call    zero_free_ram", "quitter", "unmapped"),
    ],
)
def test_a_kernel_that_skips_one_scrub_leaves_what_the_check_finds(
    tmp_path: Path, source: str, line: str, name: str, where: str
) -> None:
    image = image_of(payloads.read_flat(name), mutant(tmp_path, source, line))
    theirs = qemu.run(image, memory=True)
    assert theirs.lines == lives(name).theirs.lines
    assert {found.region for found in residue(theirs, image, USABLE).ranges} == {where}


def test_what_is_checked_is_all_that_grubs_memory_map_calls_available(tmp_path: Path) -> None:
    """A kernel that does not scrub its data leaves the boot information, too."""
    image = image_of(payloads.read_flat("quitter"), mutant(tmp_path, "dormant.S", "scrub   DATA_BASE, DATA_SIZE"))
    theirs = qemu.run(image, memory=True)
    assert {found.region for found in residue(theirs, image, USABLE).ranges} == {"data"}
    assert theirs.memory is not None
    assert list(available(theirs.memory, image.symbols["boot_information"])) == USABLE


def available(memory: bytes, at: int) -> Iterator[range]:
    """The ranges of type 1 in the memory map tag of boot information."""
    total, _ = struct.unpack_from("<II", memory, at)
    end, at = at + total, at + 8
    while at < end:
        kind, size, entry_size, _ = struct.unpack_from("<4I", memory, at)
        if kind == MEMORY_MAP:
            for entry in range(at + 16, at + size, entry_size):
                base, length, usable = struct.unpack_from("<QQI", memory, entry)
                if usable == 1:
                    yield range(base, base + length)
        at += (size + 7) & -8
