"""A change after loading is measured as found, and the refusal names what was changed."""

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256

import pytest

import firmware
from enclave_sim import Attestation, Enclave, events
from enclave_sim.inputs import MemoryFault
from enclave_sim.payload import anchor_list
from enclave_sim.payload.keys import SigningKey, development_anchor
from enclave_sim.recording.outcome.summary import RunResult
from tests.enclave_sim.enclave.measured_boot.support import Interposer, extended, kinds, pcr_values, reference, required

OWN = SigningKey("own", bytes(32), bytes([1]) * 32, development=False).anchor()


def information(enclave: Enclave) -> tuple[int, bytes]:
    """The address and content of the boot information."""
    at = enclave.machine.cpu.read_register("RBX")
    size = int.from_bytes(enclave.machine.ram.read(at, 4), "little")
    return at, enclave.machine.ram.read(at, size)


def where(enclave: Enclave, content: bytes) -> int:
    """The address of a module in RAM."""
    return enclave.machine.ram.read(0, enclave.machine.ram.size).index(content)


def in_text() -> int:
    """A byte of code that is not executed if there is a hash engine."""
    return firmware.built_in().symbols["sha256"] + 5


def in_tables() -> int:
    """An unused page table entry: the last of the kernel's."""
    return firmware.layout()["PT_KERNEL"] + 8 * 511


@pytest.mark.parametrize("place", [in_text, in_tables], ids=["text", "page tables"])
@pytest.mark.parametrize("attestation", [Attestation.RECORD, Attestation.REQUIRE])
def test_the_kernel_image(place: Callable[[], int], attestation: Attestation) -> None:
    enclave = Enclave(
        "beacon",
        attestation=attestation,
        reference=reference("beacon", attestation),
        inputs=[MemoryFault(at_ns=0, address=place(), bits=0x40)],
    )
    enclave.boot()
    (decided,) = kinds(enclave, events.AttestationDecided)
    assert decided.verdict == "refused"
    assert decided.message.startswith("kernel image: ")
    assert ";" not in decided.message
    assert enclave.dormant == (attestation is Attestation.REQUIRE)
    if enclave.dormant:
        assert enclave.run().outcome == "ATTESTATION_REFUSED"


def test_the_kernel_image_changed_after_its_measurement_is_not_seen() -> None:
    """The premise of the `MemoryFault` tests above: the time matters."""
    enclave = required(inputs=[MemoryFault(at_ns=300_000, address=in_tables(), bits=0x40)])
    assert enclave.boot()


def test_the_command_line() -> None:
    plain = Enclave("beacon", attestation=Attestation.REQUIRE)
    at, content = information(plain)
    address = at + content.index(b"cycles=1") + len("cycles=")
    device = Interposer()
    enclave = required(tpm=device, inputs=[MemoryFault(at_ns=0, address=address, bits=2)])
    result = enclave.run()
    assert result.outcome == "ATTESTATION_REFUSED"
    assert "configuration: " in result.detail
    assert "loader information: " in result.detail
    assert "kernel image" not in result.detail
    assert enclave.evidence is not None
    assert b"cycles=3 wake_ns" in enclave.evidence.event_log
    changed = plain.configuration.command_line(plain.payloads).replace("cycles=1", "cycles=3")
    assert pcr_values(device, [10]) == [extended(sha256(changed.encode()).digest())]


def test_the_trust_anchors() -> None:
    """An anchor that signed nothing here, so that boot continues to the verifier."""
    anchors = [development_anchor(), OWN]
    genuine = Enclave("beacon", attestation=Attestation.REQUIRE, trust_anchors=anchors)
    packed = anchor_list.pack(anchors)
    offset = packed.rindex(b"ml_dsa_65") + 100
    address = where(genuine, packed) + offset
    device = Interposer()
    enclave = required(
        tpm=device,
        reference=genuine.reference_values(),
        trust_anchors=anchors,
        inputs=[MemoryFault(at_ns=0, address=address, bits=1)],
    )
    assert genuine.boot()
    result = enclave.run()
    assert result.outcome == "ATTESTATION_REFUSED"
    assert "trust anchors: " in result.detail
    assert ";" not in result.detail
    changed = packed[:offset] + bytes([packed[offset] ^ 1]) + packed[offset + 1 :]
    assert pcr_values(device, [12]) == [extended(sha256(changed).digest())]


def changed_payload(payload: str, engine: str) -> tuple[Enclave, RunResult, Interposer]:
    device = Interposer()
    plain = Enclave(payload, engine=engine)
    inputs = [MemoryFault(at_ns=0, address=where(plain, plain.payloads[0]) + 40, bits=1)]
    enclave = Enclave(payload, engine=engine, tpm=device, attestation=Attestation.REQUIRE, inputs=inputs)
    return enclave, enclave.run(), device


@pytest.mark.parametrize(("payload", "engine"), [("beacon", "wasmtime"), ("runner", "native")])
def test_a_payload_is_measured_as_it_is_and_rejected_before_anybody_is_asked(payload: str, engine: str) -> None:
    enclave, result, device = changed_payload(payload, engine)
    (genuine,) = enclave.payloads
    changed = genuine[:40] + bytes([genuine[40] ^ 1]) + genuine[41:]
    assert result.outcome == "PAYLOAD_REJECTED"
    assert pcr_values(device, [11]) == [extended(sha256(changed).digest())]
    assert kinds(enclave, events.GuestInstantiated, events.Quoted) == []


def test_another_payload_that_is_well_signed_is_refused_where_it_is_not_on_the_list() -> None:
    both = reference("beacon").merge(reference("counter"))
    enclave = required("counter", reference=replace(both, payloads=reference("beacon").payloads))
    result = enclave.run()
    assert result.outcome == "ATTESTATION_REFUSED"
    assert "payloads: payload 0: " in result.detail
    assert ";" not in result.detail
