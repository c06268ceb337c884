"""The resident VMM from boot to annihilation, on QEMU under GRUB and here: signed WebAssembly modules, the same run,
without residue.

QEMU has no mailbox, so the kernel verifies the signatures itself, with the trust anchors that GRUB loads. An enclave
with all its devices, where AetherHost verifies them, runs beside them.
"""

from functools import cache

import pytest

import firmware
import payloads
from enclave_sim import Enclave
from enclave_sim.payload import anchor_list
from enclave_sim.payload.errors import PayloadCheck
from enclave_sim.payload.keys import SigningKey, development_anchor
from enclave_sim.payload.signature import inspect, sign, strip
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
from tests.sampling import explored

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
KEPT = "counter", "trespasser", "shredder"
SOME = explored(ENDS, *KEPT)
"""Each payload in `make oracle`, these in all tests."""
SLICE_NS = {"digest": 20_000_000}
"""Time slices, for a guest that would be interrupted ten thousand times."""


ANCHORS = anchor_list.pack([development_anchor()])
PAYLOAD_REJECTED = ["PAYLOAD_REJECTED 00000000", *ANNIHILATION]


def image_of(payload: bytes, quantum_ns: int = QUANTUM_NS, *words: str, anchors: bytes = ANCHORS) -> Image:
    """Return the kernel with a module and trust anchors."""
    command = (f"cycles={CYCLES}", f"wake_ns={WAKE_NS}", f"quantum_ns={quantum_ns}", "guest=resident", *words)
    return Image(firmware.built_in().image, " ".join(command), (("payload0", payload), ("anchors", anchors)))


@cache
def lives(name: str) -> Lives:
    quantum_ns = SLICE_NS.get(name, QUANTUM_NS)
    return live(image_of(payloads.read(name), quantum_ns), name, "resident", quantum_ns)


def changed(module: bytes, at: int) -> bytes:
    """The module with another byte."""
    return module[:at] + bytes([module[at] ^ 1]) + module[at + 1 :]


def test_every_payload_is_compared() -> None:
    assert sorted([*ENDS, "spinner"]) == sorted(payloads.names())


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


def test_the_timer_interrupts_the_interpreter_and_the_guest_never_notices() -> None:
    told = lives("digest").theirs
    preempted = {record.rip for record in told.records if record.vector == QUANTUM and record.ring == 3}
    assert len(preempted) > 3
    signals = [f"SIGNAL {signal:08x}" for signal in Enclave("digest", cycles=CYCLES).run().signals]
    assert [line for line in told.lines if line.startswith("SIGNAL")] == signals


@pytest.mark.parametrize("name", explored([name for name in ENDS if name != "beacon"], *KEPT))
def test_the_enclaves_own_devices_change_nothing_but_time(name: str) -> None:
    life = lives(name)
    assert without_time_slices(life.enclave) == without_time_slices(life.theirs)
    assert life.enclave.lines == life.theirs.lines


@pytest.mark.parametrize("name", SOME)
def test_nothing_is_left_in_qemus_ram(name: str) -> None:
    assert lives(name).left_on_qemu.ranges == ()


COUNTER = payloads.read("counter")
OTHER = SigningKey("other", b"\1" * 32, b"\1" * 32, development=False)
SIGNATURES = [COUNTER.index(each.signature) for each in inspect(COUNTER).records]
REFUSED = {
    "a changed module": (image_of(COUNTER[:-1] + bytes([COUNTER[-1] ^ 1])), PayloadCheck.BAD_ED25519),
    "a forged Ed25519": (image_of(changed(COUNTER, SIGNATURES[0])), PayloadCheck.BAD_ED25519),
    "a forged ML-DSA-65": (image_of(changed(COUNTER, SIGNATURES[1])), PayloadCheck.BAD_ML_DSA_65),
    "an unknown key": (image_of(sign(COUNTER, OTHER)), PayloadCheck.UNKNOWN_KEY),
    "no signature": (image_of(strip(COUNTER)), PayloadCheck.UNSIGNED),
    "a development key": (image_of(COUNTER, QUANTUM_NS, "production=1"), PayloadCheck.DEVELOPMENT_KEY),
}


@pytest.mark.parametrize("what", REFUSED)
def test_the_kernel_itself_refuses_and_erases_a_module_that_is_signed_wrongly(what: str) -> None:
    image, check = REFUSED[what]
    theirs = qemu.run(image, memory=True)
    refused = f"REFUSED {firmware.built_in().description.checks.index(check.name):08x}"
    assert theirs.lines == ["PROT_ENTRY", "MEM_MAP", refused, *PAYLOAD_REJECTED]
    assert residue(theirs, image, USABLE).ranges == ()


def test_another_key_that_is_trusted_signs_as_well() -> None:
    image = image_of(sign(COUNTER, OTHER), QUANTUM_NS, "production=1", anchors=anchor_list.pack([OTHER.anchor()]))
    assert qemu.run(image, memory=True).lines == lives("counter").theirs.lines


def test_what_is_no_list_of_anchors_is_refused() -> None:
    told = qemu.run(image_of(COUNTER, anchors=ANCHORS[:-1]), memory=True).lines
    assert told == ["PROT_ENTRY", "MEM_MAP", "KERNEL_FAULT 00000109", *ANNIHILATION]
