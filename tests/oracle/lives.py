"""The kernel from boot to annihilation, on QEMU, on our plain PC and in an enclave, and the residue of its runs."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import firmware
from enclave_sim import Enclave
from enclave_sim.recording.outcome.residue import Residue, scan
from machine.boot import elf
from machine.boot.multiboot2 import MEMORY_MAP
from machine.bus.ram import Ram
from machine.machine import Outcome
from tests.firmware.changed_kernel import build_changed
from tests.mutants.defect import Edit
from tests.oracle import ours, qemu
from tests.oracle.image import Image
from tests.oracle.records import Record, Run

CYCLES, WAKE_NS, QUANTUM_NS = 3, 50_000, 200_000
LIMIT_NS = 20_000_000_000
QUANTUM, WAKE = (firmware.layout()[f"VECTOR_{name}"] for name in ("QUANTUM", "WAKE"))
CYCLE_0 = ["PROT_ENTRY", "MEM_MAP", "WASM_INIT", "CYCLE 00000000", "EXEC_LOOP"]
ANNIHILATION = [f"A{step}" for step in range(1, 8)]

# What SeaBIOS calls available in its memory map. The rest is not the kernel's: the extended BIOS data area, the video
# and ROM range with the BIOS's own data (including system management mode), and its ACPI tables.
USABLE = [range(0x9_FC00), range(0x10_0000, qemu.RAM_SIZE - 0x2_0000)]


@dataclass(frozen=True)
class Lives:
    """One payload's three runs, and the residue of two. They do not keep the memory, which is 64 MiB each."""

    image: Image
    theirs: Run
    plain: Run
    enclave: Run
    left_on_qemu: Residue
    left_on_plain_pc: Residue


def live(image: Image, payload: str | bytes, engine: str, quantum_ns: int = QUANTUM_NS) -> Lives:
    """Run an image on QEMU and here, and its payload in an enclave."""
    theirs, plain = qemu.run(image, memory=True), on_a_plain_pc(image)
    return Lives(
        image,
        replace(theirs, memory=None),
        replace(plain, memory=None),
        in_an_enclave(payload, engine, quantum_ns),
        residue(theirs, image, USABLE),
        residue(plain, image, [range(qemu.RAM_SIZE)]),
    )


def on_a_plain_pc(image: Image) -> Run:
    """Run an image on our machine without the enclave's devices."""
    machine, recording = ours.start(image)
    assert machine.run(LIMIT_NS) is Outcome.HALTED
    return Run(bytes(machine.uart.transmitted), tuple(recording.records), "halted", None, bytes(machine.ram.view))


def in_an_enclave(payload: str | bytes, engine: str, quantum_ns: int) -> Run:
    """Run a payload in an enclave with all its devices."""
    recording = ours.Recording()
    enclave = Enclave(
        payload,
        engine=engine,
        attestation="off",
        cycles=CYCLES,
        wake_ns=WAKE_NS,
        quantum_ns=quantum_ns,
        ns_per_instruction=qemu.NS_PER_INSTRUCTION,
        recorder=recording,
    )
    recording.machine = enclave.machine
    assert enclave.run(LIMIT_NS).clean
    return Run(enclave.serial.encode(), tuple(recording.records), "halted")


def residue(run: Run, image: Image, usable: Sequence[range]) -> Residue:
    """The enclave's residue check, on a dump."""
    assert run.memory is not None
    ram = Ram(len(run.memory))
    ram.write(0, run.memory)
    return scan(ram, elf.parse(image.elf).segments, usable)


def without_time_slices(run: Run) -> list[Record]:
    """A run's records but for the interrupts that end a time slice."""
    return [record for record in run.records if record.vector != QUANTUM]


def kernel_without(source: str, line: str) -> bytes:
    """The kernel without one of its lines."""
    return build_changed([Edit(source, line)])[0]


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
