"""The resident VMM from boot to annihilation, on QEMU under GRUB and here: signed WebAssembly modules, the same run,
without residue.

QEMU has no mailbox, so the kernel compares the module's SHA-256 with its command line. An enclave with all its devices,
where AetherHost checks the signatures, runs beside them.
"""

import hashlib
from functools import cache

import pytest

import firmware
import payloads
from enclave_sim import Enclave
from tests.oracle import qemu
from tests.oracle.compare import difference
from tests.oracle.image import Image
from tests.oracle.lives import (
    ANNIHILATION,
    CYCLE_0,
    CYCLES,
    QUANTUM,
    QUANTUM_NS,
    USABLE,
    WAKE,
    WAKE_NS,
    Lives,
    live,
    residue,
    without_time_slices,
)

pytestmark = pytest.mark.slow

ENDS = {
    "beacon": "COMPLETED 00000000",
    "counter": "COMPLETED 00000000",
    "digest": "COMPLETED 00000000",
    "greedy": "COMPLETED 00000000",
    "shredder": "SHRED_SELF 00000000",
    "trespasser": "GUEST_FAULT 0000000e",
    "abyss": "GUEST_FAULT 0000000e",
    "divider": "GUEST_FAULT 00000000",
    "mismatch": "GUEST_FAULT 00000006",
}
"""All built-in payloads but `spinner`, which takes 5,000,000,000 instructions."""
SLICE_NS = {"digest": 20_000_000}
"""Time slices, for a guest that would be interrupted ten thousand times."""


def image_of(name: str, payload: bytes) -> Image:
    """Return the kernel with a module, and what its command line says of the payload."""
    sha256 = hashlib.sha256(payloads.read(name)).hexdigest()
    words = (f"cycles={CYCLES}", f"wake_ns={WAKE_NS}", f"quantum_ns={SLICE_NS.get(name, QUANTUM_NS)}")
    command = " ".join([*words, "guest=resident", f"sha256={sha256}"])
    return Image(firmware.image(), command, (("payload0", payload),))


@cache
def lives(name: str) -> Lives:
    return live(image_of(name, payloads.read(name)), name, "resident", SLICE_NS.get(name, QUANTUM_NS))


def test_every_payload_is_compared() -> None:
    assert sorted([*ENDS, "spinner"]) == sorted(payloads.names())


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


def test_the_timer_interrupts_the_interpreter_and_the_guest_never_notices() -> None:
    told = lives("digest").theirs
    preempted = {record.rip for record in told.records if record.vector == QUANTUM and record.ring == 3}
    assert len(preempted) > 3
    signals = [f"SIGNAL {signal:08x}" for signal in Enclave("digest", cycles=CYCLES).run().signals]
    assert [line for line in told.lines if line.startswith("SIGNAL")] == signals


@pytest.mark.parametrize("name", [name for name in ENDS if name != "beacon"])
def test_the_enclaves_own_devices_change_nothing_but_time(name: str) -> None:
    life = lives(name)
    assert without_time_slices(life.enclave) == without_time_slices(life.theirs)
    assert life.enclave.lines == life.theirs.lines


@pytest.mark.parametrize("name", ENDS)
def test_nothing_is_left_in_qemus_ram(name: str) -> None:
    assert lives(name).left_on_qemu.ranges == ()


def test_a_module_that_is_not_the_one_measured_is_rejected_and_erased() -> None:
    image = image_of("counter", payloads.read("greedy"))
    theirs = qemu.run(image, memory=True)
    assert theirs.lines == ["PROT_ENTRY", "MEM_MAP", "PAYLOAD_REJECTED 00000107", *ANNIHILATION]
    assert residue(theirs, image, USABLE).ranges == ()
