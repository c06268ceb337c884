"""The enclave's firmware from boot to annihilation, on QEMU and here: the same run, without residue. A flat payload
runs in ring 3 (`guest=native`). QEMU has none of the enclave's devices, so our machine is a plain PC too; an enclave
with all its devices runs beside them. QEMU's whole RAM is then dumped and checked for residue as an enclave's.
"""

from functools import cache

import pytest

import firmware
import payloads
from enclave_sim import Status
from enclave_sim.memory_map import region
from tests.firmware.plain_pc import command_line
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
    available,
    kernel_without,
    live,
    on_a_plain_pc,
    residue,
    without_time_slices,
)
from tests.sampling import explored

pytestmark = pytest.mark.slow

OPTIONS = (f"cycles={CYCLES}", f"wake_ns={WAKE_NS}", f"quantum_ns={QUANTUM_NS}")
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
SOME = explored(ENDS, "surveyor", "runner", "smuggler")
"""Each payload in `make oracle`, these in all tests."""


def image_of(payload: bytes, kernel: bytes | None = None) -> Image:
    return Image(kernel or firmware.built_in().image, command_line(payload, *OPTIONS), (("payload0", payload),))


@cache
def lives(name: str) -> Lives:
    payload = payloads.read_flat(name)
    return live(image_of(payload), payload, "native")


def test_every_flat_payload_is_compared() -> None:
    assert sorted(ENDS) == list(payloads.flat_names())


@pytest.mark.parametrize("name", SOME)
def test_qemu_and_our_plain_pc_live_the_same_life(name: str) -> None:
    life = lives(name)
    assert difference(life.image, life.theirs, life.plain) == ""


@pytest.mark.parametrize("name", SOME)
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


@pytest.mark.parametrize("name", SOME)
def test_the_enclaves_own_devices_change_nothing_but_time(name: str) -> None:
    """The timer fires elsewhere because the scrub engine is faster, and there is an uplink that is ready."""
    life = lives(name)
    assert without_time_slices(life.enclave) == without_time_slices(life.theirs)
    assert [without_uplink(name, line) for line in life.enclave.lines] == life.theirs.lines


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


@pytest.mark.parametrize("name", SOME)
def test_nothing_is_left_in_qemus_ram(name: str) -> None:
    left = lives(name).left_on_qemu
    assert left.ranges == ()
    assert left.scanned_bytes == qemu.RAM_SIZE - 0x6_0400 - 0x2_0000


def test_nothing_is_left_in_ours() -> None:
    assert lives("surveyor").left_on_plain_pc.ranges == ()


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
    source: str, line: str, name: str, where: str
) -> None:
    image = image_of(payloads.read_flat(name), kernel_without(source, line))
    theirs = qemu.run(image, memory=True)
    assert theirs.lines == lives(name).theirs.lines
    assert {found.region for found in residue(theirs, image, USABLE).ranges} == {where}


def test_what_is_checked_is_all_that_grubs_memory_map_calls_available() -> None:
    """A kernel that does not scrub its data leaves the boot information, too."""
    image = image_of(payloads.read_flat("quitter"), kernel_without("dormant.S", "scrub   DATA_BASE, DATA_SIZE"))
    theirs = qemu.run(image, memory=True)
    assert {found.region for found in residue(theirs, image, USABLE).ranges} == {"data"}
    assert theirs.memory is not None
    assert list(available(theirs.memory, image.symbols["boot_information"])) == USABLE
